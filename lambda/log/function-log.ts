import { COUNTS, type Counts, MEASURES, type MeasureName } from './counts.ts';
import { embeddedMetrics, type Metric } from './embedded-metrics.ts';

export const SERVICE = 'trusted-filter';
export const FUNCTIONS = ['filter', 'refresh'] as const;

/** What is counted of each invocation: of requests, and of what `refresh` is invoked for. */
export const INVOCATION_COUNTS = [
  'Requests',
  'ClientErrors',
  'ServerErrors',
  'Hosts',
  'HostsPassed',
  'HostsTrusted',
  'HostsUntrusted',
  'HostsUnknown',
  'HostsFromMemory',
  'HostsFromTable',
  'HostsFromPoll',
  'Refreshes',
  'RefreshesFailed',
  'HostsRefreshed',
  'HostsRenewed',
  'HostsDue',
] as const;
export type InvocationCountName = (typeof INVOCATION_COUNTS)[number];

/** Every metric that a line may carry. */
export const METRICS = [...INVOCATION_COUNTS, ...COUNTS, ...MEASURES, 'Duration'] as const;
export type MetricName = (typeof METRICS)[number];

const UNITS: Readonly<Record<MeasureName, Metric['unit']>> = {
  CertificateDaysLeft: 'None',
  VtimeDifference: 'Milliseconds',
  OldestAttestation: 'Seconds',
  ClockDifference: 'Milliseconds',
  DeadlineUsed: 'Percent',
  FleetTrusted: 'Count',
  FleetUntrusted: 'Count',
  FleetUnknown: 'Count',
};

/** What is said of one invocation. */
export interface Said {
  readonly level: 'info' | 'warn' | 'error';
  /** One of few fixed texts. */
  readonly message: string;
  /** What else the line says; in lower case, as metrics are not, and by no name of a dimension. */
  readonly fields: Readonly<Record<string, unknown>>;
  readonly durationMs: number;
  /** What is counted beside the counts of the parts, by the metric's name. */
  readonly counted: Readonly<Partial<Record<InvocationCountName, number | undefined>>>;
  /** What was measured beside the measures of the parts, and follows from the fields. */
  readonly measured?: Readonly<Partial<Record<MeasureName, number>>>;
}

/** Whose metrics they are: the dimensions beside `service` that tell functions and stacks apart. */
export interface Dimensions {
  readonly function: (typeof FUNCTIONS)[number];
  readonly stack: string;
}

/**
 * One line of JSON for each invocation of a function, which is the log and carries the metrics. It is written straight to
 * `process.stdout`: Lambda's own `console` would put a time and an id before it, and CloudWatch takes metrics from an object alone.
 */
export class FunctionLog {
  readonly #counts: Counts;
  readonly #getDimensions: () => Dimensions;
  #dimensions: Readonly<Record<string, string>> | undefined;
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
    const metrics: Metric[] = [];
    // What did not happen costs nothing: a sum over no data is zero.
    for (const [name, value = 0] of [...Object.entries(counted), ...values]) {
      if (value !== 0) metrics.push({ name, unit: 'Count', value });
    }
    for (const [name, value] of [...measures, ...(Object.entries(measured) as [MeasureName, number][])]) {
      metrics.push({ name, unit: UNITS[name], value });
    }
    metrics.push({ name: 'Duration', unit: 'Milliseconds', value: durationMs });
    this.#dimensions ??= { service: SERVICE, ...this.#getDimensions() };
    const now = new Date();
    const line = {
      level: level.toUpperCase(),
      message,
      timestamp: now.toISOString(),
      service: SERVICE,
      ...fields,
      cold_start: this.#isCold,
      duration_ms: durationMs,
      ...(values.size > 0 ? { counts: Object.fromEntries(values) } : {}),
      ...(measures.size > 0 ? { measures: Object.fromEntries(measures) } : {}),
      ...(faults.length > 0 ? { faults } : {}),
      ...embeddedMetrics(metrics, this.#dimensions, now.getTime()),
    };
    this.#isCold = false;
    // Whoever reads the log may be gone, and no request is to fail for that.
    if (process.stdout.listenerCount('error') === 0) process.stdout.on('error', () => {});
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
}

/** Milliseconds since a time of `performance.now()`, to three decimals. */
export function sinceMs(startedAt: number): number {
  return Math.round((performance.now() - startedAt) * 1000) / 1000;
}
