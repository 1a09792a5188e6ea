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

/** The hour that a time lies in, in epoch hours. */
export function hourOf(now: number): number {
  return Math.floor(now / HOUR_MS);
}
