import type { Clock } from '../../lambda/clock.ts';
import type { Moment } from '../../lambda/trust/time.ts';

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly fire: () => void;
}

const MOST_AT_ONCE = 100_000;

/**
 * Time that goes on only when nothing is left to do at its present moment. Whatever waits, waits on this clock, so that a
 * run of many environments is one sequence of events, the same each time.
 */
export class VirtualClock implements Clock {
  #now: number;
  readonly #startedAt: number;
  #timers: Timer[] = [];
  #order = 0;
  #sameMoment = 0;

  constructor(now = Date.UTC(2026, 10, 23, 16)) {
    this.#now = now;
    this.#startedAt = now;
  }

  now(): number {
    return Math.floor(this.#now);
  }

  /** Begins with the clock, so that whoever takes one for the other is found out. */
  monotonic(): number {
    return Math.floor(this.#now) - this.#startedAt;
  }

  moment(): Moment {
    return { wall: this.now(), monotonic: this.monotonic() };
  }

  timeOf({ wall }: Moment): number {
    return wall;
  }

  turn(): Promise<void> {
    return this.wait(0);
  }

  wait(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const timer = { at: this.#now + Math.max(0, ms), order: this.#order++, fire: resolve };
      this.#timers.push(timer);
      signal?.addEventListener('abort', () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
        resolve();
      });
    });
  }

  /**
   * The same time on a clock that is off, by an offset that may change.
   * @param frozenMs for how long in all the monotonic clock stood still, while the environment was frozen
   */
  skewed(offsetMs: () => number, frozenMs = (): number => 0): Clock {
    const now = (): number => this.now() + offsetMs();
    const monotonic = (): number => this.monotonic() - frozenMs();
    return {
      now,
      monotonic,
      moment: () => ({ wall: now(), monotonic: monotonic() }),
      timeOf: ({ wall }) => wall,
      wait: (ms, signal) => this.wait(ms, signal),
      turn: () => this.turn(),
    };
  }

  /** Lets time go on until the promise is settled. */
  async run<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const settled = promise.finally(() => {
      isSettled = true;
    });
    settled.catch(() => {});
    await goOn();
    // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- set when the promise settles
    while (!isSettled) {
      if (!this.#fireNext()) throw new Error('nothing is left that could settle the promise');
      await goOn();
    }
    return settled;
  }

  /** Lets time go on by so much. */
  async advance(ms: number): Promise<void> {
    await this.run(this.wait(ms));
  }

  #fireNext(): boolean {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (next === undefined || timer.at < next.at || (timer.at === next.at && timer.order < next.order)) next = timer;
    }
    if (next === undefined) return false;
    this.#sameMoment = next.at > this.#now ? 0 : this.#sameMoment + 1;
    if (this.#sameMoment > MOST_AT_ONCE) throw new Error('time does not go on: something goes round and round');
    this.#timers = this.#timers.filter((timer) => timer !== next);
    this.#now = Math.max(this.#now, next.at);
    next.fire();
    return true;
  }
}

/** Everything that is waiting for no clock goes on until it waits for one. */
function goOn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A sequence that looks random and is always the same for its seed. */
export function lehmer(seed = 1): () => number {
  let state = seed;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}
