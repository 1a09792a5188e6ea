/** The time, and waiting for it: injected, so that tests turn the hands. */
export interface Clock {
  /** Epoch milliseconds. */
  now(): number;
  /** Resolves after `ms`, or at once when the signal is aborted. */
  wait(ms: number, signal?: AbortSignal): Promise<void>;
  /** Resolves when what is going on at this moment has gone on. */
  turn(): Promise<void>;
}

/** Waits for a promise, but not beyond a time: epoch milliseconds. */
export async function waitUntil(time: number, promise: Promise<unknown>, clock: Clock): Promise<void> {
  const done = new AbortController();
  await Promise.race([promise, clock.wait(time - clock.now(), done.signal)]);
  done.abort();
}

export const systemClock: Clock = {
  now: () => Date.now(),
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
