import type { Entry } from '../trust/entry.ts';

/** What a write does to the entries of some hosts. It may be worked out several times, each time on newer entries. */
export interface Change {
  readonly hosts: Iterable<string>;
  /**
   * Returns the same entry where there is nothing to write.
   * @param hasRoom whether the host is in the shard already, or there is room for it, should it be a newcomer still
   */
  readonly apply: (host: string, entry: Entry, now: number, hasRoom: boolean) => Entry;
  /** When to stop trying, by the monotonic clock. */
  readonly until: number;
}

/** A change of no host: what is written with it is the shard as it is believed. */
export function noChange(until: number): Change {
  return { hosts: [], apply: (_host, entry) => entry, until };
}
