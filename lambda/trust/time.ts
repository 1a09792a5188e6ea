/** What a time means now. All times are epoch milliseconds; this folder is the only one that compares them. */

/** The spans by which an entry is judged, in milliseconds. */
export interface Timing {
  readonly validityMs: number;
  /** Never longer than the validity. */
  readonly recheckMs: number;
}

/** How far the clocks of two environments may differ; a time further ahead than this was written by a wrong clock. */
export const CLOCK_DIFFERENCE_MS = 2_000;
export const HOUR_MS = 3_600_000;

/** Whether a time has come. */
export function isOver(until: number, now: number): boolean {
  return now >= until;
}

/** Whether what happened at a time is at most so old. What lies ahead of the clock is not. */
export function isWithinLast(spanMs: number, time: number, now: number): boolean {
  return time <= now && time >= now - spanMs;
}

/** Whether a moment came after another, or in the same millisecond. */
export function isSince(time: number, since: number): boolean {
  return time >= since;
}

/** Whether somebody with a right clock can have written this time. */
export function isFromNow(time: number, now: number): boolean {
  return time <= now + CLOCK_DIFFERENCE_MS;
}

/**
 * One moment by an environment's own two clocks, in milliseconds. The wall clock can be set; the monotonic one is never set, but
 * may stand still while the environment is frozen.
 */
export interface Moment {
  /** Epoch milliseconds, as this environment's wall clock says, be it right or wrong. */
  readonly wall: number;
  /** Since whenever. */
  readonly monotonic: number;
}

/** Before everything. */
export const LONG_AGO: Moment = { wall: -Infinity, monotonic: -Infinity };

/** How long ago a moment was, by whichever clock says more: neither a freeze nor a clock that was set back makes anything young. */
export function ageOf(moment: Moment, now: Moment): number {
  return Math.max(now.wall - moment.wall, now.monotonic - moment.monotonic);
}

/** Whether a moment was less than so long ago. */
export function isYounger(moment: Moment, spanMs: number, now: Moment): boolean {
  return ageOf(moment, now) < spanMs;
}

/** Of two moments the one that came later, by the clock that nobody sets. */
export function laterOf(a: Moment, b: Moment): Moment {
  return a.monotonic > b.monotonic ? a : b;
}

/** Whether both clocks say the same of the time since a moment: neither was set since, nor stood still. */
export function doClocksAgree(since: Moment, now: Moment): boolean {
  return Math.abs(now.wall - since.wall - (now.monotonic - since.monotonic)) <= CLOCK_DIFFERENCE_MS;
}

/** The hour that a time lies in, in epoch hours. */
export function hourOf(now: number): number {
  return Math.floor(now / HOUR_MS);
}
