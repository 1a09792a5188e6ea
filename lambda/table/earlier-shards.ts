import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { type Entry, expiresAt } from '../trust/entry.ts';
import type { Timing } from '../trust/time.ts';
import { type Layout, sharing } from './layout.ts';
import { type Entries, nextVersion, shardKey, shardOf } from './shard.ts';
import { type Item, type Items, KEYS_PER_BATCH, type TableCalls } from './table-calls.ts';

/** Since when the layout holds that a shard was written in. */
export function sinceOf(item: Item | undefined): number {
  return Number(item?.['since']?.N ?? 0);
}

/** Since when the layout holds for which a shard was closed; 0 where it is open. */
export function closedBy(item: Item | undefined): number {
  return Number(item?.['closed']?.N ?? 0);
}

/** The shards of the layouts before the one that holds: what they have of hosts is read over, each until it is written anew. */
export class EarlierShards {
  readonly #layout: Layout;
  readonly #calls: TableCalls;
  readonly #clock: Clock;
  readonly #timing: Timing;
  readonly #entriesOf: (item: Item | undefined) => Entries | undefined;
  /** Those that this environment has closed, and which version of each. */
  readonly #closed = new Map<string, { readonly version: string | undefined; readonly isDone: Promise<boolean> }>();

  constructor(
    layout: Layout,
    parts: {
      readonly calls: TableCalls;
      readonly clock: Clock;
      readonly timing: Timing;
      readonly entriesOf: (item: Item | undefined) => Entries | undefined;
    },
  ) {
    this.#layout = layout;
    this.#calls = parts.calls;
    this.#clock = parts.clock;
    this.#timing = parts.timing;
    this.#entriesOf = parts.entriesOf;
  }

  /**
   * What there is of the hosts of shards that were not written yet since the layout holds.
   * @param shards their items by their indices, as they are
   * @returns also all items that were looked at for it
   */
  async read(
    shards: ReadonlyMap<number, Item | undefined>,
    isStrong: boolean,
    until: number,
  ): Promise<{ readonly entries: Entries; readonly from: Items }> {
    const { count } = this.#layout;
    const indexes = [...shards.keys()];
    const from = new Map(Array.from(shards, ([index, item]) => [shardKey(index, count), item]));
    const keys = [...new Set(this.#keys(indexes).flat())].filter((key) => !from.has(key));
    const batches = [];
    for (let i = 0; i < keys.length; i += KEYS_PER_BATCH) {
      const take = (items: Items): void => items.forEach((item, key) => from.set(key, item));
      batches.push(this.#calls.get(keys.slice(i, i + KEYS_PER_BATCH), isStrong, until, take));
    }
    await Promise.all(batches);
    return { entries: this.#merged(indexes, from), from };
  }

  /**
   * Sees to it that nobody writes what a shard was read over from, who does not know yet that another layout holds: whoever
   * tries finds another version, and that the shard is closed.
   * @returns false where somebody has written one of those since
   */
  async close(index: number, from: Items, until: number): Promise<boolean> {
    const keys = new Set(this.#keys([index]).flat());
    // Its own item of before is about to be written anyway.
    keys.delete(shardKey(index, this.#layout.count));
    const closed = await Promise.all(Array.from(keys, (key) => this.#closeItem(key, from.get(key), until)));
    return closed.every((isClosed) => isClosed);
  }

  async #closeItem(key: string, item: Item | undefined, until: number): Promise<boolean> {
    const { since } = this.#layout;
    if (closedBy(item) === since) return true;
    const version = item?.['version']?.S;
    const known = this.#closed.get(key);
    // Another version is one that somebody has written meanwhile, and then this one comes to nothing; or TTL has deleted what was closed.
    if (known !== undefined && known.version === version) return known.isDone;
    const now = this.#clock.now();
    const closed: Item = {
      expires_at: { N: String(expiresAt(now, this.#timing)) },
      ...item,
      shard: { S: key },
      version: { S: nextVersion(version, now, randomUUID()) },
      closed: { N: String(since) },
    };
    let isClosed = false;
    try {
      const isDone = this.#calls.put(closed, version, until);
      this.#closed.set(key, { version, isDone });
      isClosed = await isDone;
    } finally {
      if (!isClosed) this.#closed.delete(key);
    }
    return isClosed;
  }

  /** The keys that the hosts of shards had in each of the layouts before, the latest first. */
  #keys(indexes: readonly number[]): string[][] {
    const { before, count } = this.#layout;
    return before.map((tenure) => {
      const its = new Set(indexes.flatMap((index) => sharing(index, count, tenure.count)));
      return Array.from(its, (index) => shardKey(index, tenure.count));
    });
  }

  /** Of each host what the latest layout has in which its shard was written. */
  #merged(indexes: readonly number[], items: Items): Entries {
    const { before } = this.#layout;
    const keys = this.#keys(indexes);
    const known = new Map<string, Entry>();
    for (const [i, { count, since }] of [...before.entries()].toReversed()) {
      const written = new Map<string, Entries>();
      for (const key of keys[i] ?? []) {
        const item = items.get(key);
        const entries = item !== undefined && sinceOf(item) === since ? this.#entriesOf(item) : undefined;
        if (entries !== undefined) written.set(key, entries);
      }
      for (const host of known.keys()) if (written.has(shardKey(shardOf(host, count), count))) known.delete(host);
      for (const entries of written.values()) entries.forEach((entry, host) => known.set(host, entry));
    }
    return known;
  }
}
