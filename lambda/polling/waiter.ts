import type { Entry } from '../trust/entry.ts';
import type { Deadline } from './deadline.ts';

/** What an invocation wants that refreshes attestations for later requests, rather than answer one. */
export interface Refresh {
  /** Attestations received before this do not count; absent where any that is valid will do. Epoch milliseconds. */
  readonly renewSince?: number;
}

/** One request's way through the cache: its times, and what it took to answer. */
export interface Invocation {
  readonly deadline: Deadline;
  /** Absent where a request is answered. */
  readonly refresh?: Refresh | undefined;
  /** Hosts by where their answer came from. */
  readonly from: { memory: number; table: number; poll: number };
  /** Polls that asked for hosts of this request. */
  polls: number;
}

export function newInvocation(deadline: Deadline, refresh?: Refresh): Invocation {
  return { deadline, refresh, from: { memory: 0, table: 0, poll: 0 }, polls: 0 };
}

/** A request that waits for hosts, until each is decided or its time to wait is over. */
export class Waiter {
  readonly invocation: Invocation;
  /** What decided each host so far, and which of them a poll of this environment decided. */
  readonly decided = new Map<string, Entry>();
  readonly polled = new Set<string>();
  /** Newcomers that there was no room for: they stay undecided. */
  readonly leftOut = new Set<string>();
  #undecided: Set<string> = new Set();
  #resolve = (): void => {};

  constructor(invocation: Invocation) {
    this.invocation = invocation;
  }

  /** Resolves when all of these hosts are decided. */
  waitFor(hosts: ReadonlySet<string>): Promise<void> {
    if (hosts.size === 0) return Promise.resolve();
    this.#undecided = new Set(hosts);
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** The hosts that nothing decided yet. */
  get undecided(): ReadonlySet<string> {
    return this.#undecided;
  }

  decide(host: string, entry: Entry, byPoll: boolean): void {
    this.decided.set(host, entry);
    if (byPoll) this.polled.add(host);
    this.#settle(host);
  }

  /** There is no room for the host: the waiter waits no longer for it. */
  leaveOut(host: string): void {
    this.leftOut.add(host);
    this.#settle(host);
  }

  #settle(host: string): void {
    this.#undecided.delete(host);
    if (this.#undecided.size === 0) this.#resolve();
  }
}
