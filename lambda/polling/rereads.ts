import type { Clock } from '../clock.ts';

const FIRST_MS = 250;
const LONGEST_MS = 1_000;
const GROWTH = 1.1;

/** When to look again for what others have claimed: at all such shards at once, and ever more seldom. */
export class Rereads {
  readonly #clock: Clock;
  readonly #due: () => void;
  #state: 'none' | 'planned' | 'due' = 'none';
  #count = 0;

  /** @param due told when it is time */
  constructor(clock: Clock, due: () => void) {
    this.#clock = clock;
    this.#due = due;
  }

  /** Plans the next one, unless there is one already, or nothing to wait for. */
  plan(isAnythingClaimed: boolean): void {
    if (!isAnythingClaimed) {
      this.#count = 0;
      return;
    }
    if (this.#state !== 'none') return;
    this.#state = 'planned';
    const delayMs = Math.min(LONGEST_MS, FIRST_MS * GROWTH ** this.#count++);
    void this.#clock.wait(delayMs * (0.75 + Math.random() / 4)).then(() => {
      this.#state = 'due';
      this.#due();
    });
  }

  /** Whether it is time; it is taken for done then. */
  takeDue(): boolean {
    if (this.#state !== 'due') return false;
    this.#state = 'none';
    return true;
  }
}
