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

/** One JSON line and one set of metrics for each invocation of a function. */
export class FunctionLog {
  readonly #counts: Counts;
  readonly #logger = new Logger({ serviceName: 'trusted-filter' });
  readonly #metrics = new Metrics({ namespace: 'TrustedFilter', serviceName: 'trusted-filter' });
  #isCold = true;

  constructor(counts: Counts) {
    this.#counts = counts;
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
    // What did not happen costs nothing: a sum over no data is zero.
    for (const [name, value = 0] of [...Object.entries(counted), ...values]) {
      if (value !== 0) this.#metrics.addMetric(name, MetricUnit.Count, value);
    }
    for (const [name, value] of [...measures, ...(Object.entries(measured) as [MeasureName, number][])]) {
      this.#metrics.addMetric(name, UNITS[name], value);
    }
    this.#metrics.addMetric('Duration', MetricUnit.Milliseconds, durationMs);
    this.#metrics.publishStoredMetrics();
  }
}

/** Milliseconds since a time of `performance.now()`, to three decimals. */
export function sinceMs(startedAt: number): number {
  return Math.round((performance.now() - startedAt) * 1000) / 1000;
}
