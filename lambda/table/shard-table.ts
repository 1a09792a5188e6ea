import { randomUUID } from 'node:crypto';
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { Clock } from '../clock.ts';
import type { Counts } from '../log/counts.ts';
import { expiresAt } from '../trust/entry.ts';
import { isOver, type Timing } from '../trust/time.ts';
import { TableError } from '../errors.ts';
import { closedBy, EarlierShards, sinceOf } from './earlier-shards.ts';
import { type Layout, LAYOUT_KEY, newLayout, readLayout, writeLayout } from './layout.ts';
import { type Entries, nextVersion, shardKey, shardOf } from './shard.ts';
import { packShard, unpackShard } from './shard-format.ts';
import { type Item, type Items, KEYS_PER_BATCH, TableCalls } from './table-calls.ts';

/** A shard as it stands in the table; without a version it does not exist yet. */
export interface StoredShard {
  readonly version: string | undefined;
  readonly entries: Entries;
  /** What it was read over from, where it was not written yet since its layout holds. */
  readonly from?: Items;
}

/** DynamoDB's limit on an item, less its other attributes. */
const LARGEST_ITEM_BYTES = 399_000;
const DEPLOYMENT_MS = 300_000;
const NOTHING: StoredShard = { version: undefined, entries: new Map() };

interface PendingRead {
  /** The latest of those who asked. */
  until: number;
  readonly promise: Promise<StoredShard>;
  readonly resolve: (shard: StoredShard) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The shards in DynamoDB: an item each, with a version that every write is conditional on, and the layout since when it
 * is written. Works in the layout that holds, as far as it knows.
 */
export class ShardTable {
  readonly #calls: TableCalls;
  readonly #count: number;
  readonly #timing: Timing;
  readonly #clock: Clock;
  readonly #counts: Counts;
  readonly #deploymentMs: number;
  #layout: Layout;
  #isLayoutKnown = false;
  #era = 0;
  #earlier: EarlierShards;
  readonly #pending = { eventual: new Map<number, PendingRead>(), strong: new Map<number, PendingRead>() };

  constructor(options: {
    readonly client: DynamoDBClient;
    readonly name: string;
    /** The number of shards, unless the table has another and that was put there since. */
    readonly shardCount: number;
    readonly timing: Timing;
    readonly clock: Clock;
    readonly counts: Counts;
    /** How long a deployment may take, in which functions of before it still begin; 5 minutes. */
    readonly deploymentMs?: number;
  }) {
    this.#calls = new TableCalls(options);
    this.#count = options.shardCount;
    this.#timing = options.timing;
    this.#clock = options.clock;
    this.#counts = options.counts;
    this.#deploymentMs = options.deploymentMs ?? DEPLOYMENT_MS;
    this.#layout = { count: this.#count, since: 0, before: [] };
    this.#earlier = this.#shardsBefore();
  }

  /** The number of shards. */
  get count(): number {
    return this.#layout.count;
  }

  /** Changes where another layout is found to hold: nothing that was known of the table before counts after that. */
  get era(): number {
    return this.#era;
  }

  /** Whether DynamoDB did not do what it was asked just now, so that it is not worth waiting for. */
  isDown(): boolean {
    return this.#calls.isDown();
  }

  /**
   * Reads a shard; the reads of one turn go out together, and are tried for as long as the most patient of them has. Where
   * the era is another when it returns, what it returns says nothing.
   * @param until when to stop trying again, by the monotonic clock; a second try is always made
   * @throws {TableError} where DynamoDB did not answer by then, or a later release has the table
   */
  read(index: number, consistency: 'eventual' | 'strong', until: number): Promise<StoredShard> {
    const pending = this.#pending[consistency];
    const known = pending.get(index);
    if (known !== undefined) {
      known.until = Math.max(known.until, until);
      return known.promise;
    }
    if (pending.size === 0) void this.#clock.turn().then(() => this.#sendReads(consistency));
    const read = { until, ...Promise.withResolvers<StoredShard>() };
    pending.set(index, read);
    return read.promise;
  }

  /**
   * Writes a shard, if nobody has written it since it was read, nor what it was read over from.
   * @param next the version to give it, never used before
   * @returns whether it was written; if not, somebody else has written it, or an earlier try of this call
   * @throws {TableError} where DynamoDB did not answer by `until`, or the entries do not fit one item: the table is well then
   */
  async put(
    index: number,
    entries: Entries,
    versions: { readonly known: Pick<StoredShard, 'version' | 'from'>; readonly next: string },
    until: number,
  ): Promise<boolean> {
    const { known, next } = versions;
    const packed = packShard(entries);
    if (packed.length > LARGEST_ITEM_BYTES) {
      const error = new TableError(`a shard of ${packed.length} bytes does not fit one item`);
      this.#counts.fault('TableFaults', error);
      throw error;
    }
    const item: Item = {
      shard: { S: shardKey(index, this.count) },
      version: { S: next },
      since: { N: String(this.#layout.since) },
      expires_at: { N: String(expiresAt(this.#clock.now(), this.#timing)) },
      entries: { B: packed },
    };
    if (known.from !== undefined && !(await this.#earlier.close(index, known.from, until))) return false;
    return this.#calls.put(item, known.version, until);
  }

  async #sendReads(consistency: 'eventual' | 'strong'): Promise<void> {
    const reads = [...this.#pending[consistency]];
    this.#pending[consistency].clear();
    const batches = [];
    for (let i = 0; i < reads.length; i += KEYS_PER_BATCH - 1) {
      const batch = new Map(reads.slice(i, i + KEYS_PER_BATCH - 1));
      batches.push(
        this.#readBatch(batch, consistency === 'strong').catch((error: unknown) => {
          for (const { reject } of batch.values()) reject(error);
        }),
      );
    }
    await Promise.all(batches);
  }

  /** Reads shards, and in the same call the layout. */
  async #readBatch(batch: ReadonlyMap<number, PendingRead>, isStrong: boolean): Promise<void> {
    const until = Math.max(...Array.from(batch.values(), (read) => read.until));
    const { count, era } = this;
    const keys = new Map(Array.from(batch.keys(), (index) => [shardKey(index, count), index]));
    const layout = Promise.withResolvers<Layout>();
    const deliver = async (shards: ReadonlyMap<number, Item | undefined>): Promise<void> => {
      try {
        await layout.promise;
        const read: ReadonlyMap<number, StoredShard> =
          era === this.#era ? await this.#shardsOf(shards, isStrong, until) : new Map();
        for (const index of shards.keys()) batch.get(index)?.resolve(read.get(index) ?? NOTHING);
      } catch (error) {
        for (const index of shards.keys()) batch.get(index)?.reject(error);
      }
    };
    const delivered: Promise<void>[] = [];
    await this.#calls.get([LAYOUT_KEY, ...keys.keys()], isStrong, until, (items) => {
      const shards = Array.from(items, ([key, item]) => [keys.get(key), item] as const);
      delivered.push(deliver(new Map(shards.filter((each): each is [number, Item] => each[0] !== undefined))));
      if (items.has(LAYOUT_KEY)) layout.resolve(this.#follow(items.get(LAYOUT_KEY), until));
    });
    await Promise.all(delivered);
  }

  /** Goes along with the layout that is found, or puts in its place what this environment is set up with. */
  async #follow(item: Item | undefined, until: number): Promise<Layout> {
    for (let read = item; ;) {
      const now = this.#clock.now();
      const found = read && readLayout(read);
      // What an eventually consistent read brings may be older than what is known.
      if (this.#isLayoutKnown && (found === undefined || found.since <= this.#layout.since)) return this.#layout;
      const next = this.#isLayoutKnown ? undefined : newLayout(this.#count, found, this.#deploymentMs, now);
      if (next === undefined) return this.#hold(found?.layout);
      const known = read?.['version']?.S;
      const version = { S: nextVersion(known, now, randomUUID()) };
      if (await this.#calls.put({ ...writeLayout(next), version }, known, until)) return this.#hold(next);
      read = await this.#readLayout(until);
    }
  }

  async #readLayout(until: number): Promise<Item | undefined> {
    let read: Item | undefined;
    await this.#calls.get([LAYOUT_KEY], true, until, (items) => (read = items.get(LAYOUT_KEY)));
    return read;
  }

  #hold(layout: Layout | undefined): Layout {
    if (layout === undefined) {
      // It can neither be read nor be written in; and what memory has may have been overtaken there.
      this.#era++;
      const error = new TableError('the table has a layout of another release');
      this.#calls.failed(error);
      throw error;
    }
    // Another read of the same time may have found it already, or a later one.
    if (this.#isLayoutKnown && layout.since <= this.#layout.since) return this.#layout;
    if (this.#isLayoutKnown || layout.count !== this.count) this.#era++;
    this.#isLayoutKnown = true;
    this.#layout = layout;
    this.#earlier = this.#shardsBefore();
    return layout;
  }

  async #shardsOf(
    items: ReadonlyMap<number, Item | undefined>,
    isStrong: boolean,
    until: number,
  ): Promise<ReadonlyMap<number, StoredShard>> {
    const { era } = this;
    const { before, count, since } = this.#layout;
    // Where the shard knows of a later layout, the item that says so was read too early, or from an older copy.
    const isOutdated = (item: Item | undefined): boolean => sinceOf(item) > since || closedBy(item) > since;
    if ([...items.values()].some(isOutdated)) await this.#follow(await this.#readLayout(until), until);
    if (era !== this.#era) return new Map();
    const shards = new Map<number, StoredShard>();
    const missing = new Map<number, Item | undefined>();
    const isOld = isOver(expiresAt(since, this.#timing) * 1000, this.#clock.now());
    for (const [index, item] of items) {
      const isOfNow = sinceOf(item) === since;
      const isNew = item === undefined && before.every((tenure) => tenure.count === count);
      if (isOfNow || isNew || isOld) {
        shards.set(index, { version: item?.['version']?.S, entries: (isOfNow && this.#entriesOf(item)) || new Map() });
      } else {
        missing.set(index, item);
      }
    }
    if (missing.size === 0) return shards;
    const { entries, from } = await this.#earlier.read(missing, isStrong, until);
    const hosts = Map.groupBy(entries, ([host]) => shardOf(host, count));
    for (const [index, item] of missing) {
      shards.set(index, { version: item?.['version']?.S, entries: new Map(hosts.get(index)), from });
    }
    return shards;
  }

  #shardsBefore(): EarlierShards {
    const entriesOf = (item: Item | undefined): Entries | undefined => this.#entriesOf(item);
    return new EarlierShards(this.#layout, { calls: this.#calls, clock: this.#clock, timing: this.#timing, entriesOf });
  }

  #entriesOf(item: Item | undefined): Entries | undefined {
    const packed = item?.['entries']?.B;
    if (packed === undefined) return undefined;
    try {
      return unpackShard(packed, this.#timing);
    } catch (error) {
      this.#counts.fault('DamagedShards', error);
      return undefined;
    }
  }
}
