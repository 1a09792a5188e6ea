import type { Context } from 'aws-lambda';
import { newDeadline } from '../polling/deadline.ts';
import { InvalidRequestError } from '../errors.ts';
import { type FunctionLog, type Said, sinceMs } from '../log/function-log.ts';
import { describe } from '../log/request-log.ts';
import { type HandedOver, type Hinted, MOST_HOSTS } from '../polling/hand-over.ts';
import { isHostName } from '../trust/host-name.ts';
import { type RefreshResult, UnreadTableError } from './refresh-result.ts';
import { Refresher, type RefresherParts } from './refresher.ts';

/** The function's own time-out, which the context says too. */
const LIMIT_MS = 300_000;

/**
 * The handler that attests hosts for later requests: those that a request hands over, or, on a schedule, all that
 * somebody asked about within the last day.
 * @param getParts throws where the configuration has faults
 */
export function refreshHandler(getParts: () => RefresherParts, log: FunctionLog) {
  return async (event: unknown, context: Partial<Context>): Promise<RefreshResult> => {
    const startedAt = performance.now();
    const fields = { function_request_id: context.awsRequestId };
    try {
      const handedOver = parse(event);
      const parts = getParts();
      const remainingMs = context.getRemainingTimeInMillis?.();
      const { clock } = parts;
      const deadline = newDeadline({ clock, limitMs: LIMIT_MS, remainingMs });
      const refresh = new Refresher(parts, deadline.answerBy);
      const result = await refreshed(refresh, handedOver);
      log.say({
        level: 'info',
        message: 'attestations refreshed',
        fields: { ...fields, ...result },
        durationMs: sinceMs(startedAt),
        counted: { Refreshes: 1, ...countedOf(result) },
        measured: measuredOf(result),
      });
      return result;
    } catch (error) {
      const done = error instanceof UnreadTableError ? error.done : undefined;
      log.say({
        level: 'error',
        message: 'refresh failed',
        fields: { ...fields, ...done, ...describe(error) },
        durationMs: sinceMs(startedAt),
        counted: { Refreshes: 1, RefreshesFailed: 1, ...(done === undefined ? {} : countedOf(done)) },
        ...(done === undefined ? {} : { measured: measuredOf(done) }),
      });
      throw error;
    }
  };
}

function countedOf({ attested, renewed, due }: RefreshResult): Said['counted'] {
  return { HostsRefreshed: attested, HostsRenewed: renewed, HostsDue: due };
}

function measuredOf({ oldest_age_s: oldest }: RefreshResult): NonNullable<Said['measured']> {
  return oldest === undefined ? {} : { OldestAttestation: oldest };
}

function refreshed(refresher: Refresher, event: HandedOver | Hinted | undefined): Promise<RefreshResult> {
  if (event === undefined) return refresher.round();
  return 'agents' in event ? refresher.takeHint(event) : refresher.takeOver(event);
}

/** @returns undefined for a scheduled event */
function parse(event: unknown): HandedOver | Hinted | undefined {
  const members = (typeof event === 'object' ? event : null) as Readonly<Record<string, unknown>> | null;
  if (members?.['source'] === 'aws.events') return undefined;
  const hosts = members?.['hosts'];
  const at = members?.['at'];
  const agents = members?.['agents'];
  if (Array.isArray(agents) && agents.length <= MOST_HOSTS && agents.every((id) => typeof id === 'string')) {
    if (typeof at === 'number') return { agents, at };
  }
  if (!Array.isArray(hosts) || hosts.length > MOST_HOSTS || !hosts.every(isHostName)) {
    const rule = `"hosts" must be an array of at most ${MOST_HOSTS} host names, or the event a scheduled one.`;
    throw new InvalidRequestError(rule);
  }
  if (at !== undefined && typeof at !== 'number')
    throw new InvalidRequestError('"at" must be a time in epoch milliseconds.');
  return { hosts, at };
}
