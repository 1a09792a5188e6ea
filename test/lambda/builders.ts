/** Plain data for unit tests: one moment in time, and entries as they may stand then. */
import type { Clock } from '../../lambda/clock.ts';
import type { Attestation } from '../../lambda/trust/attestation.ts';
import { type Entry, NO_ENTRY } from '../../lambda/trust/entry.ts';
import { levelOf } from '../../lambda/trust/reason.ts';
import type { Moment, Timing } from '../../lambda/trust/time.ts';
import type { Try } from '../../lambda/trust/try.ts';
import { newInvocation, type Invocation } from '../../lambda/polling/waiter.ts';

/** The moment at which tests take place; a whole hour. */
export const NOW = Date.UTC(2026, 10, 23, 16);
export const SECOND = 1_000;
export const HOUR = 3_600_000;

/** The default configuration's. */
export const TIMING: Timing = { validityMs: 60 * SECOND, recheckMs: 5 * SECOND };

/** By default a `trusted` of a poll that was sent two seconds ago and answered one second ago, validated in between. */
export function attestation(overrides: Partial<Attestation> = {}): Attestation {
  const reason = overrides.reason ?? 'trusted';
  const sentAt = overrides.sentAt ?? NOW - 2 * SECOND;
  const receivedAt = overrides.receivedAt ?? sentAt + SECOND;
  const vtime = overrides.vtime ?? sentAt + 500;
  const validUntil = Math.min(vtime, receivedAt) + TIMING.validityMs;
  return { level: levelOf(reason), reason, sentAt, receivedAt, vtime, validUntil, ...overrides };
}

/** By default one that was sent two seconds ago, failed one second ago and pauses for the recheck. */
export function failedTry(overrides: Partial<Try> = {}): Try {
  const sentAt = overrides.sentAt ?? NOW - 2 * SECOND;
  const endedAt = overrides.endedAt ?? sentAt + SECOND;
  return { level: 'unknown', reason: 'unreachable', sentAt, endedAt, pauseMs: TIMING.recheckMs, ...overrides };
}

export function entry(overrides: Partial<Entry> = {}): Entry {
  return { ...NO_ENTRY, ...overrides };
}

/** A request that arrived now. */
export function invocation(arrivedAt = NOW): Invocation {
  return newInvocation({
    arrivedAt,
    beganAt: arrivedAt,
    answerBy: arrivedAt + 25 * SECOND,
    stopAt: arrivedAt + 24 * SECOND,
    tableBy: arrivedAt + 12 * SECOND,
  });
}

/** A clock that stands still until somebody moves its hands. */
export class StoppedClock implements Clock {
  time: number;

  constructor(time = NOW) {
    this.time = time;
  }

  now(): number {
    return this.time;
  }

  monotonic(): number {
    return this.time;
  }

  moment(): Moment {
    return { wall: this.time, monotonic: this.time };
  }

  timeOf({ wall }: Moment): number {
    return wall;
  }

  async wait(): Promise<void> {}

  async turn(): Promise<void> {}
}
