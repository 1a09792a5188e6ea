import { randomUUID } from 'node:crypto';
import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { causeOf, type Counts, type MeasureName } from './counts.ts';
import { TrustedFilterError } from './errors.ts';

/** What the handler knows of a request by the time it is answered; each field is a field of the log line. */
export interface RequestRecord {
  hosts?: number;
  passed?: number;
  rejected?: Record<string, number>;
  required_trust?: string | undefined;
  workload?: Readonly<Record<string, string>> | undefined;
  from_memory?: number;
  from_table?: number;
  from_poll?: number;
  polls?: number;
  parse_ms?: number;
  attest_ms?: number;
  render_ms?: number;
}

const UNITS: Readonly<Record<MeasureName, (typeof MetricUnit)[keyof typeof MetricUnit]>> = {
  CertificateDaysLeft: MetricUnit.NoUnit,
  VtimeDifference: MetricUnit.Milliseconds,
};

type Event = Partial<APIGatewayProxyEventV2>;
type Result = APIGatewayProxyStructuredResultV2;

/** One JSON line and one set of metrics for each request; and its id, which goes out with every answer. */
export class RequestLog {
  readonly #counts: Counts;
  readonly #logger = new Logger({ serviceName: 'trusted-filter' });
  readonly #metrics = new Metrics({ namespace: 'TrustedFilter', serviceName: 'trusted-filter' });
  readonly #records = new WeakMap<object, RequestRecord>();
  #isCold = true;

  constructor(counts: Counts) {
    this.#counts = counts;
  }

  /** Adds to what the request's line will say. */
  note(event: object, record: RequestRecord): void {
    this.#records.set(event, { ...this.#records.get(event), ...record });
  }

  middleware(): MiddlewareObj<Event, Result> {
    const startedAt = new WeakMap<object, number>();
    return {
      before: (request) => {
        // Whoever invokes the function without API Gateway may send anything.
        if (typeof request.event !== 'object' || (request.event as unknown) === null) request.event = {};
        startedAt.set(request.event, performance.now());
      },
      after: ({ event, context, response }) => {
        this.#finish(event, context.awsRequestId, response, undefined, startedAt.get(event));
      },
      onError: ({ event, context, response, error }) => {
        this.#finish(event, context.awsRequestId, response, error, startedAt.get(event));
      },
    };
  }

  #finish(
    event: Event,
    functionRequestId: string | undefined,
    response: Result | null | undefined,
    error: unknown,
    startedAt: number | undefined,
  ): void {
    const requestId = event.requestContext?.requestId || functionRequestId || randomUUID();
    if (response) response.headers = { ...response.headers, 'x-request-id': requestId };
    const durationMs = startedAt === undefined ? 0 : round(performance.now() - startedAt);
    const record = this.#records.get(event) ?? {};
    const { values, faults } = this.#counts.take();
    const measures = this.#counts.takeMeasures();
    const status = response?.statusCode ?? 500;
    const line = {
      request_id: requestId,
      function_request_id: functionRequestId,
      route: event.routeKey,
      status,
      cold_start: this.#isCold,
      ...record,
      duration_ms: durationMs,
      ...(values.size > 0 ? { counts: Object.fromEntries(values) } : {}),
      ...(measures.size > 0 ? { measures: Object.fromEntries(measures) } : {}),
      ...(faults.length > 0 ? { faults } : {}),
      ...(error === undefined ? {} : describe(error)),
    };
    this.#isCold = false;
    if (status >= 500) this.#logger.error('request failed', line);
    else if (status >= 400) this.#logger.warn('request refused', line);
    else this.#logger.info('request answered', line);
    for (const [name, value] of measures) this.#metrics.addMetric(name, UNITS[name], value);
    this.#publish(record, values, status, durationMs);
  }

  #publish(record: RequestRecord, values: ReadonlyMap<string, number>, status: number, durationMs: number): void {
    const metrics = this.#metrics;
    // What did not happen costs nothing: a sum over no data is zero.
    const count = (name: string, value = 0): void => {
      if (value !== 0) metrics.addMetric(name, MetricUnit.Count, value);
    };
    count('Requests', 1);
    count('ClientErrors', status >= 400 && status < 500 ? 1 : 0);
    count('ServerErrors', status >= 500 ? 1 : 0);
    metrics.addMetric('Duration', MetricUnit.Milliseconds, durationMs);
    count('Hosts', record.hosts);
    count('HostsPassed', record.passed);
    count('HostsFromMemory', record.from_memory);
    count('HostsFromTable', record.from_table);
    count('HostsFromPoll', record.from_poll);
    for (const [name, value] of values) count(name, value);
    metrics.publishStoredMetrics();
  }
}

function describe(error: unknown): { error_code: string; error: string; stack?: string[] } {
  const code = error instanceof TrustedFilterError ? error.code : 'internal-error';
  const cause = error instanceof TrustedFilterError ? error.cause : error;
  const frames = Error.isError(cause) ? (cause.stack ?? '').split('\n').filter((row) => /^\s+at /.test(row)) : [];
  return {
    error_code: code,
    error: causeOf(error),
    ...(frames.length > 0 ? { stack: frames.slice(0, 10).map((row) => row.trim()) } : {}),
  };
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
