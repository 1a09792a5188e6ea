import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { Counts, MeasureName } from './counts.ts';

const UNITS: Readonly<Record<MeasureName, (typeof MetricUnit)[keyof typeof MetricUnit]>> = {
  CertificateDaysLeft: MetricUnit.NoUnit,
  VtimeDifference: MetricUnit.Milliseconds,
  OldestAttestation: MetricUnit.Seconds,
};

/** What is said of one invocation. */
export interface Said {
  readonly level: 'info' | 'warn' | 'error';
  /** One of few fixed texts. */
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly durationMs: number;
  /** What is counted beside the counts of the parts, by the metric's name. */
  readonly counted: Readonly<Record<string, number | undefined>>;
  /** What was measured beside the measures of the parts, and stands in the fields already. */
  readonly measured?: Readonly<Partial<Record<MeasureName, number>>>;
}

/** Whose metrics they are: the dimensions beside `service` that tell functions and stacks apart. */
export interface Dimensions {
  readonly function: 'filter' | 'refresh';
  readonly stack: string;
}

/** One JSON line and one set of metrics for each invocation of a function. */
export class FunctionLog {
  readonly #counts: Counts;
  readonly #getDimensions: () => Dimensions;
  readonly #logger = new Logger({ serviceName: 'trusted-filter' });
  #metrics: Metrics | undefined;
  #isCold = true;

  /** @param getDimensions called when there is something to say, so that the environment is not read before */
  constructor(counts: Counts, getDimensions: () => Dimensions) {
    this.#counts = counts;
    this.#getDimensions = getDimensions;
  }

  /** Writes the line, with all that was counted and measured since the last one. */
  say({ level, message, fields, durationMs, counted, measured = {} }: Said): void {
    const { values, faults } = this.#counts.take();
    const measures = this.#counts.takeMeasures();
    this.#logger[level](message, {
      ...fields,
      cold_start: this.#isCold,
      duration_ms: durationMs,
      ...(values.size > 0 ? { counts: Object.fromEntries(values) } : {}),
      ...(measures.size > 0 ? { measures: Object.fromEntries(measures) } : {}),
      ...(faults.length > 0 ? { faults } : {}),
    });
    this.#isCold = false;
    const metrics = (this.#metrics ??= new Metrics({
      namespace: 'TrustedFilter',
      serviceName: 'trusted-filter',
      defaultDimensions: { ...this.#getDimensions() },
    }));
    // What did not happen costs nothing: a sum over no data is zero.
    for (const [name, value = 0] of [...Object.entries(counted), ...values]) {
      if (value !== 0) metrics.addMetric(name, MetricUnit.Count, value);
    }
    for (const [name, value] of [...measures, ...(Object.entries(measured) as [MeasureName, number][])]) {
      metrics.addMetric(name, UNITS[name], value);
    }
    metrics.addMetric('Duration', MetricUnit.Milliseconds, durationMs);
    metrics.publishStoredMetrics();
  }
}

/** Milliseconds since a time of `performance.now()`, to three decimals. */
export function sinceMs(startedAt: number): number {
  return Math.round((performance.now() - startedAt) * 1000) / 1000;
}
