/** A poll that brought no attestation of a host, and how long the next one waits: pure functions of data and time. */
import type { Reason } from './reason.ts';
import { isFromNow, type Timing } from './time.ts';

/** A poll that brought no attestation of a host. */
export interface Try {
  readonly level: 'unknown';
  readonly reason: Reason;
  readonly sentAt: number;
  readonly endedAt: number;
  readonly pauseMs: number;
}

/** Less than this is no time to answer in. */
const FAIR_WAIT_MS = 2_000;

/** Whether a failed try decides a request: it ended after the request arrived, or its pause was not over then. */
export function isPaused({ endedAt, pauseMs }: Try, now: number, arrivedAt: number): boolean {
  return arrivedAt < endedAt + Math.max(pauseMs, 1) && isFromNow(endedAt, now);
}

/** The pause after a failed try: `recheck`, doubling up to the validity where the fault may be the host's or everybody's. */
export function nextPause(previous: Try | undefined, doubles: boolean, timing: Timing): number {
  if (!doubles || previous === undefined) return timing.recheckMs;
  return Math.max(timing.recheckMs, Math.min(previous.pauseMs * 2, timing.validityMs));
}

/** How much longer than the slowest of the last answers took is time enough. */
const FAIR_TIMES = 1.5;
/** What is left of the slowest answer's time with each that was faster. */
const FADING = 0.9;

/** How long the slowest of the last answers took, after one more. */
export function slowestOf(slowestMs: number, tookMs: number): number {
  return Math.max(tookMs, slowestMs * FADING);
}

/** After how long an answer is late, where the slowest of the last took so long; in milliseconds. */
export function lateAfter(slowestMs: number): number {
  return Math.max(FAIR_WAIT_MS, slowestMs * FAIR_TIMES);
}

/**
 * Whether a poll that was aborted had waited long enough for that to say something of its hosts.
 * @param slowestMs how long the slowest of the last answers took
 */
export function hadItsTime(sentAt: number, now: number, limitMs: number, slowestMs: number): boolean {
  return now - sentAt >= Math.min(limitMs / 2, lateAfter(slowestMs));
}
