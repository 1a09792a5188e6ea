import type { Moment } from './trust/time.ts';

/** The time, and waiting for it: injected, so that tests turn the hands. */
export interface Clock {
  /** What time it is, for all that others see: epoch milliseconds. */
  now(): number;
  /**
   * Milliseconds since whenever, by a clock that nobody sets: by it, deadlines and limits within an invocation are counted.
   */
  monotonic(): number;
  /** This moment by both of the environment's own clocks: by it, ages are counted. */
  moment(): Moment;
  /** What time it was at a moment, as is known by now; where that is not known exactly, rather later than it was. */
  timeOf(moment: Moment): number;
  /** Resolves after `ms`, or at once when the signal is aborted. */
  wait(ms: number, signal?: AbortSignal): Promise<void>;
  /** Resolves when what is going on at this moment has gone on. */
  turn(): Promise<void>;
}

/** Waits for a promise, but not beyond a time of the monotonic clock. */
export async function waitUntil(time: number, promise: Promise<unknown>, clock: Clock): Promise<void> {
  const done = new AbortController();
  await Promise.race([promise, clock.wait(time - clock.monotonic(), done.signal)]);
  done.abort();
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  moment: () => ({ wall: Date.now(), monotonic: performance.now() }),
  timeOf: ({ wall }) => wall,
  turn: () => new Promise((resolve) => setImmediate(resolve)),
  wait: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const end = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, Math.max(0, ms));
      signal?.addEventListener('abort', end);
    }),
};
