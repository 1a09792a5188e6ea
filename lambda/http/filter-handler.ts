import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import { parseBody } from './body.ts';
import { checkClient } from './client-subject.ts';
import type { DistinguishedName } from './distinguished-name.ts';
import type { Clock } from '../clock.ts';
import { newDeadline } from '../polling/deadline.ts';
import type { Reason } from '../trust/reason.ts';
import { TooManyHostsError } from '../errors.ts';
import type { RequestLog } from '../log/request-log.ts';
import { isWebhook, protocolOf } from './routes.ts';
import type { Webhook } from './webhook.ts';
import type { Verdicts } from '../attestation/compute-attestation.ts';
import type { TrustedFilter } from '../attestation/trusted-filter.ts';
import type { ProtocolLimits, ProtocolOptions } from '../protocols/filter-request.ts';
import { newInvocation } from '../polling/waiter.ts';

/** What it takes to answer a request. */
export interface FilterParts {
  readonly config: ProtocolOptions &
    ProtocolLimits & {
      readonly maxHosts: number;
      /** The subjects of the client certificates that may ask; absent where API Gateway checks who asks. */
      readonly clients?: readonly DistinguishedName[] | undefined;
    };
  readonly filter: TrustedFilter;
  /** What takes a verifier's notifications, where the attestation service is Keylime. */
  readonly webhook?: Pick<Webhook, 'handle'> | undefined;
  readonly clock: Clock;
}

type Event = Partial<APIGatewayProxyEventV2>;

/** In bytes: Lambda's limit of 6,291,556, less what stands around the body. */
const LARGEST_ANSWER = 6_290_000;

/**
 * The handler of all HTTP routes: from an API Gateway event to its answer.
 * @param getParts throws where the configuration has faults
 */
export function filterHandler(getParts: () => FilterParts, log: RequestLog) {
  return async (event: Event, context: Partial<Context>): Promise<APIGatewayProxyStructuredResultV2> => {
    if (isWebhook(event)) {
      const { webhook } = getParts();
      if (webhook !== undefined) return webhook.handle(event);
    }
    const protocol = protocolOf(event);
    const { config, filter, clock } = getParts();
    const client = checkClient(event, config.clients);
    if (client !== undefined) log.note(event, { client });
    const limitMs = protocol.limitMs(config);
    const deadline = newDeadline({
      clock,
      limitMs,
      timeEpoch: event.requestContext?.timeEpoch,
      remainingMs: context.getRemainingTimeInMillis?.(),
    });
    const times = [performance.now()];
    const request = protocol.parse(parseBody(event), config.maxHosts, config);
    const { hosts, trust, workload } = request;
    times.push(performance.now());
    log.note(event, { hosts: hosts.length, required_trust: trust, limit_ms: limitMs, workload });
    const invocation = newInvocation(deadline);
    const verdicts = await filter.filterAll(hosts, request, invocation);
    times.push(performance.now());
    const body = JSON.stringify(protocol.render(request, verdicts));
    times.push(performance.now());
    checkSize(body, hosts.length);
    const rejected = countRejected(verdicts);
    const [parse_ms, attest_ms, render_ms] = times
      .slice(1)
      .map((end, i) => Math.round((end - (times[i] ?? end)) * 1000) / 1000);
    log.note(event, {
      passed: hosts.length - Object.values(rejected).reduce((sum, number) => sum + number, 0),
      rejected,
      from_memory: invocation.from.memory,
      from_table: invocation.from.table,
      from_poll: invocation.from.poll,
      polls: invocation.polls,
      ...(parse_ms === undefined ? {} : { parse_ms }),
      ...(attest_ms === undefined ? {} : { attest_ms }),
      ...(render_ms === undefined ? {} : { render_ms }),
    });
    return {
      statusCode: 200,
      headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
      body,
    };
  };
}

/** An answer travels as a text within JSON, where its quotes and backslashes take two bytes each. */
function checkSize(body: string, hosts: number): void {
  if (2 * Buffer.byteLength(body) <= LARGEST_ANSWER) return;
  if (Buffer.byteLength(JSON.stringify(body)) <= LARGEST_ANSWER) return;
  throw new TooManyHostsError(`The answer about these ${hosts} hosts is larger than AWS Lambda can give: send fewer.`);
}

function countRejected({ reasons = [], passing }: Verdicts): Record<string, number> {
  const counts: Record<string, number> = {};
  let counted: Reason | undefined;
  let count = 0;
  for (const reason of reasons) {
    if (reason === passing) continue;
    if (reason !== counted) {
      if (counted !== undefined) counts[counted] = count;
      counted = reason;
      count = counts[reason] ?? 0;
    }
    count++;
  }
  if (counted !== undefined) counts[counted] = count;
  return counts;
}
