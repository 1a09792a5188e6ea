/** How far a clock is from another one that says its time in whole seconds: pure functions of times. */

/** A difference that is known as well as can be: how many milliseconds a clock is ahead of the other, at least and at most. */
export interface ClockDifference {
  readonly leastMs: number;
  readonly mostMs: number;
}

/** What the other clock does not say of a second. */
const DATE_STEP_MS = 1_000;
/** A clock that is further off than this is wrong; what is less, readers allow for or see for at most so much longer. */
const LARGEST_MS = 3_000;
/** What took longer than this says too little. */
const LONGEST_MS = 2_000;
/** How far a clock may be off without any answer showing that it is. */
export const LARGEST_UNSEEN_MS = LARGEST_MS + DATE_STEP_MS / 2 + LONGEST_MS;

/**
 * The difference that an answer shows which took `tookMs` until `time`, and which was dated on its way.
 * @param date the answer's time by the other clock, epoch milliseconds, rounded down to a whole second
 * @returns undefined where it took too long
 */
export function clockDifference(time: number, tookMs: number, date: number): ClockDifference | undefined {
  if (tookMs > LONGEST_MS) return undefined;
  return { leastMs: time - tookMs - date - DATE_STEP_MS, mostMs: time - date };
}

/** The difference itself, exact to half a second and half of what the answer took. */
export function middleOf({ leastMs, mostMs }: ClockDifference): number {
  return (leastMs + mostMs) / 2;
}

/** Whether the clocks may be the same. */
export function mayBeNone({ leastMs, mostMs }: ClockDifference): boolean {
  return leastMs <= 0 && mostMs >= 0;
}

/** Whether the clock is wrong: of an answer that took no time, where the difference is above three seconds; surely wrong otherwise. */
export function isTooLarge({ leastMs, mostMs }: ClockDifference): boolean {
  const atLeastMs = LARGEST_MS - DATE_STEP_MS / 2;
  return leastMs > atLeastMs || mostMs < -atLeastMs;
}
