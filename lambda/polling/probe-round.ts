import {
  cleared,
  type Entry,
  isHeldByOther,
  nextPause,
  released,
  type Timing,
  withCompany,
  withTry,
} from '../trust/entry.ts';
import type { Target } from './poll-queue.ts';
import type { Outcome } from './poller.ts';
import type { Waiter } from './waiter.ts';

/** What a probe found out. */
export type Finding = 'answers' | 'hangs' | 'nothing';

/**
 * Finds out whether the service answers at all, after batches to which nobody was answered: a few hosts are polled
 * alone, and the others wait for what comes of that. An answer shows that the batches failed because of their hosts; none
 * shows that the service hangs as a whole, and then no host's company is made smaller.
 */
export class ProbeRound {
  readonly targets: Target[] = [];
  /** Until when hosts are held for the round, at the latest. */
  readonly heldUntil: number;
  /** The requests that the round was begun for, and that wait for its end whatever others find. */
  readonly #waiters: ReadonlySet<Waiter>;
  readonly #hosts = new Set<string>();
  readonly #startedAt: number;
  #probesLeft = Infinity;
  #isConclusive = false;
  #hasEnded = false;

  constructor(options: {
    readonly waiters: ReadonlySet<Waiter>;
    readonly startedAt: number;
    readonly heldUntil: number;
  }) {
    this.#waiters = options.waiters;
    this.#startedAt = options.startedAt;
    this.heldUntil = options.heldUntil;
  }

  /** Adds hosts that wait for the round's end. */
  join(targets: readonly Target[]): void {
    for (const target of targets) {
      this.targets.push(target);
      this.#hosts.add(target.host);
    }
  }

  holds(host: string): boolean {
    return this.#hosts.has(host);
  }

  isWaitedForBy(waiter: Waiter, host: string): boolean {
    return this.#waiters.has(waiter) && this.holds(host);
  }

  /** @param probes how many polls of the round were queued */
  begin(probes: number): void {
    this.#probesLeft = probes;
  }

  /**
   * Takes notice of a poll that ended.
   * @returns what is known now; undefined where the round goes on, or had ended before
   */
  notice(poll: {
    readonly isProbe: boolean;
    readonly isAnswered: boolean;
    readonly isConclusive: boolean;
  }): Finding | undefined {
    if (this.#hasEnded) return undefined;
    if (poll.isProbe) {
      this.#probesLeft--;
      this.#isConclusive ||= poll.isConclusive;
    }
    if (!poll.isAnswered && this.#probesLeft > 0) return undefined;
    this.#hasEnded = true;
    if (poll.isAnswered) return 'answers';
    return this.#isConclusive ? 'hangs' : 'nothing';
  }

  /** What the round's end does to the entries of its hosts. */
  outcome(finding: Finding, endedAt: number, timing: Timing): Outcome {
    if (finding === 'answers') return (_host, entry) => cleared(entry);
    return (_host, entry, now) => {
      if (isHeldByOther(entry, this.heldUntil, now)) return entry;
      const free = released(entry);
      return finding === 'hangs' ? hung(free, { startedAt: this.#startedAt, endedAt }, now, timing) : free;
    };
  }
}

/** The entry of a host whose service hangs as a whole: tried in vain, and none of its company lost by it. */
function hung(
  entry: Entry,
  { startedAt, endedAt }: { readonly startedAt: number; readonly endedAt: number },
  now: number,
  timing: Timing,
): Entry {
  const { lastTry, company } = entry;
  const pauseMs = nextPause(lastTry, true, timing);
  const reason = lastTry?.reason ?? 'pending';
  const tried = withTry(entry, { level: 'unknown', reason, sentAt: startedAt, endedAt, pauseMs }, now);
  const before = company?.before;
  return before === undefined ? tried : withCompany(tried, { most: before, at: endedAt, before }, now);
}
