import { randomUUID } from 'node:crypto';
import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { causeOf } from './counts.ts';
import { TrustedFilterError } from '../errors.ts';
import { type FunctionLog, type Said, sinceMs } from './function-log.ts';
import { clean } from '../quote.ts';

/** What the handler knows of a request by the time it is answered; each field is a field of the log line. */
export interface RequestRecord {
  /** The subject of the client certificate, where one lets schedulers in. */
  client?: string;
  /** Of a verifier's notification: whether it is about an agent, and one that was not hinted at just now. */
  hint?: 'none' | 'known' | 'taken';
  hosts?: number;
  passed?: number;
  rejected?: Record<string, number>;
  required_trust?: string | undefined;
  /** How long the request may take. */
  limit_ms?: number;
  workload?: Readonly<Record<string, string>> | undefined;
  from_memory?: number;
  from_table?: number;
  from_poll?: number;
  polls?: number;
  parse_ms?: number;
  attest_ms?: number;
  render_ms?: number;
}

type Event = Partial<APIGatewayProxyEventV2>;
type Result = APIGatewayProxyStructuredResultV2;

/** What is logged of each request; and its id, which goes out with every answer. */
export class RequestLog {
  readonly #log: FunctionLog;
  readonly #records = new WeakMap<object, RequestRecord>();

  constructor(log: FunctionLog) {
    this.#log = log;
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
    const requestId = textOf(event.requestContext?.requestId) || functionRequestId || randomUUID();
    if (response) response.headers = { ...response.headers, 'x-request-id': requestId };
    const record = this.#records.get(event) ?? {};
    const status = response?.statusCode ?? 500;
    // Some protocols answer a fault with status 200, too.
    const severity = error === undefined ? status : error instanceof TrustedFilterError ? error.status : 500;
    const isRefused = severity >= 400 && severity < 500;
    const durationMs = startedAt === undefined ? 0 : sinceMs(startedAt);
    this.#log.say({
      level: severity >= 500 ? 'error' : isRefused ? 'warn' : 'info',
      message: severity >= 500 ? 'request failed' : isRefused ? 'request refused' : 'request answered',
      fields: {
        request_id: requestId,
        function_request_id: functionRequestId,
        route: textOf(event.routeKey),
        status,
        ...record,
        ...(error === undefined ? {} : describe(error)),
      },
      durationMs,
      counted: {
        Requests: 1,
        ClientErrors: isRefused ? 1 : 0,
        ServerErrors: severity >= 500 ? 1 : 0,
        Hosts: record.hosts,
        HostsPassed: record.passed,
        ...countByLevel(record),
        HostsFromMemory: record.from_memory,
        HostsFromTable: record.from_table,
        HostsFromPoll: record.from_poll,
      },
      measured: measureDeadline(record, durationMs),
    });
  }
}

/** Percent of its time that a request took, where trust was asked for: the others need next to none. */
function measureDeadline(
  { required_trust: required, limit_ms: limitMs }: RequestRecord,
  ms: number,
): NonNullable<Said['measured']> {
  return required === undefined || limitMs === undefined ? {} : { DeadlineUsed: Math.round((100 * ms) / limitMs) };
}

/** How many hosts are of each level, where trust was asked for: of the others nobody looked. */
function countByLevel({ required_trust: required, passed = 0, rejected = {} }: RequestRecord): Said['counted'] {
  if (required === undefined) return {};
  const { trusted = 0, untrusted = 0, ...unknown } = { ...rejected, [required]: passed };
  const HostsUnknown = Object.values(unknown).reduce((sum, number) => sum + number, 0);
  return { HostsTrusted: trusted, HostsUntrusted: untrusted, HostsUnknown };
}

/** Of what whoever invokes the function without API Gateway may make as long as they like, as much as a line has room for. */
function textOf(sent: unknown): string | undefined {
  return typeof sent === 'string' ? clean(sent) : undefined;
}

export function describe(error: unknown): { error_code: string; error: string; stack_trace?: string[] } {
  const code = error instanceof TrustedFilterError ? error.code : 'internal-error';
  const cause = error instanceof TrustedFilterError ? error.cause : error;
  const frames = Error.isError(cause) ? (cause.stack ?? '').split('\n').filter((row) => /^\s+at /.test(row)) : [];
  return {
    error_code: code,
    error: causeOf(error),
    ...(frames.length > 0 ? { stack_trace: frames.slice(0, 10).map((row) => row.trim()) } : {}),
  };
}
