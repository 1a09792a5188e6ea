import type { Clock } from '../clock.ts';
import { isSince, isWithinLast } from '../trust/time.ts';

/** How long before a deadline the work for an answer stops, so that results are written and the answer is rendered. */
const RESERVE_MS = 500;
/** How long before the end of Lambda's own limit an answer must be out. */
const CONTEXT_RESERVE_MS = 500;
const OLDEST_EVENT_MS = 10_000;

/** When a request arrived and by when it must be answered: milliseconds of the monotonic clock, but for `arrivedAt`. */
export interface Deadline {
  /** Epoch milliseconds, as far as is known by now: it may change as the clock is set right. */
  readonly arrivedAt: number;
  /** When the handler began. */
  readonly beganAt: number;
  /** By when the answer must be out. */
  readonly answerBy: number;
  /** When to stop waiting for polls and for others. */
  readonly stopAt: number;
  /** Until when DynamoDB is asked again where it fails. */
  readonly tableBy: number;
}

export interface DeadlineInput {
  readonly clock: Clock;
  /** The protocol's limit in milliseconds. */
  readonly limitMs: number;
  /** When API Gateway received the request (`requestContext.timeEpoch`); counts where it is 0 to 10 s ago. */
  readonly timeEpoch?: number | undefined;
  /** What is left of the Lambda invocation, where there is one. */
  readonly remainingMs?: number | undefined;
}

/**
 * The deadline of a request that the handler begins to work on now. For what may be passed on from before, the
 * request counts as arrived when the handler began, which is never earlier than when it really did.
 */
export function newDeadline({ clock, limitMs, timeEpoch, remainingMs }: DeadlineInput): Deadline {
  const began = clock.moment();
  const beganAt = began.monotonic;
  const now = clock.timeOf(began);
  const isRecent = timeEpoch !== undefined && isWithinLast(OLDEST_EVENT_MS, timeEpoch, now);
  const passedMs = isRecent ? now - timeEpoch : 0;
  const leftMs = Math.max(0, Math.min(limitMs - passedMs, (remainingMs ?? Infinity) - CONTEXT_RESERVE_MS));
  const answerBy = beganAt + leftMs;
  return {
    get arrivedAt() {
      return clock.timeOf(began);
    },
    beganAt,
    answerBy,
    stopAt: answerBy - Math.min(RESERVE_MS, leftMs / 5),
    tableBy: beganAt + leftMs / 2,
  };
}

/** Whether a request has less time in all than a poll may take. */
export function isShort({ beganAt, answerBy }: Deadline, pollLimitMs: number): boolean {
  return !isSince(answerBy, beganAt + pollLimitMs);
}
