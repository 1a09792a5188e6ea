import { isSince, isWithinLast } from '../trust/time.ts';

/** How long before a deadline the work for an answer stops, so that results are written and the answer is rendered. */
const RESERVE_MS = 500;
/** How long before the end of Lambda's own limit an answer must be out. */
const CONTEXT_RESERVE_MS = 500;
const OLDEST_EVENT_MS = 10_000;

/** When a request arrived and by when it must be answered: epoch milliseconds. */
export interface Deadline {
  readonly arrivedAt: number;
  /** By when the answer must be out. */
  readonly answerBy: number;
  /** When to stop waiting for polls and for others. */
  readonly stopAt: number;
  /** Until when DynamoDB is asked again where it fails. */
  readonly tableBy: number;
}

export interface DeadlineInput {
  readonly now: number;
  /** The protocol's limit in milliseconds. */
  readonly limitMs: number;
  /** When API Gateway received the request (`requestContext.timeEpoch`); counts where it is 0 to 10 s ago. */
  readonly timeEpoch?: number | undefined;
  /** What is left of the Lambda invocation, where there is one. */
  readonly remainingMs?: number | undefined;
}

/**
 * The deadline of a request that the handler begins to work on at `now`. For what may be passed on from before, the
 * request counts as arrived when the handler began, which is never earlier than when it really did.
 */
export function newDeadline({ now, limitMs, timeEpoch, remainingMs }: DeadlineInput): Deadline {
  const isRecent = timeEpoch !== undefined && isWithinLast(OLDEST_EVENT_MS, timeEpoch, now);
  const start = isRecent ? timeEpoch : now;
  const contextEnd = remainingMs === undefined ? Infinity : now + remainingMs - CONTEXT_RESERVE_MS;
  const answerBy = Math.max(now, Math.min(start + limitMs, contextEnd));
  const leftMs = answerBy - now;
  return {
    arrivedAt: now,
    answerBy,
    stopAt: answerBy - Math.min(RESERVE_MS, leftMs / 5),
    tableBy: now + leftMs / 2,
  };
}

/** Whether a request has less time in all than a poll may take. */
export function isShort({ arrivedAt, answerBy }: Deadline, pollLimitMs: number): boolean {
  return !isSince(answerBy, arrivedAt + pollLimitMs);
}
