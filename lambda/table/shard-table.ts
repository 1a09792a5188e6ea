import {
  type AttributeValue,
  BatchGetItemCommand,
  ConditionalCheckFailedException,
  type DynamoDBClient,
  PutItemCommand,
} from '@aws-sdk/client-dynamodb';
import type { Clock } from '../clock.ts';
import type { Counts } from '../log/counts.ts';
import { expiresAt } from '../trust/entry.ts';
import { isOver, type Timing } from '../trust/time.ts';
import { TableError } from '../errors.ts';
import { type Entries, shardKey } from './shard.ts';
import { packShard, unpackShard } from './shard-format.ts';

/** A shard as it stands in the table; without a version it does not exist yet. */
export interface StoredShard {
  readonly version: string | undefined;
  readonly entries: Entries;
}

/** DynamoDB's limit on the keys of one BatchGetItem. */
const KEYS_PER_BATCH = 100;
/** DynamoDB's limit on an item, less its other attributes. */
const LARGEST_ITEM_BYTES = 399_000;
const FIRST_BACKOFF_MS = 50;
const LONGEST_BACKOFF_MS = 1_000;
/** How long after a call that failed nobody waits for the table. */
const DOWN_MS = 5_000;
/** However late it is, a single fault is no reason yet to go without the table; this is how long a late call may take. */
const LEAST_TRIES = 2;
const SHORTEST_CALL_MS = 500;
/** Faults that another try cannot mend: rights, names and shapes. */
const FINAL_FAULTS = new Set([
  'AccessDeniedException',
  'CredentialsProviderError',
  'IncompleteSignatureException',
  'InvalidSignatureException',
  'MissingAuthenticationTokenException',
  'ResourceNotFoundException',
  'UnrecognizedClientException',
  'ValidationException',
]);

interface PendingRead {
  /** The latest of those who asked. */
  until: number;
  readonly promise: Promise<StoredShard>;
  readonly resolve: (shard: StoredShard) => void;
  readonly reject: (error: unknown) => void;
}

/** The shards in DynamoDB: an item each, with a version that every write is conditional on. */
export class ShardTable {
  readonly #client: DynamoDBClient;
  readonly #name: string;
  readonly #count: number;
  readonly #timing: Timing;
  readonly #clock: Clock;
  readonly #counts: Counts;
  #failedAt = -Infinity;
  readonly #pending = { eventual: new Map<number, PendingRead>(), strong: new Map<number, PendingRead>() };

  constructor(options: {
    readonly client: DynamoDBClient;
    readonly name: string;
    readonly shardCount: number;
    readonly timing: Timing;
    readonly clock: Clock;
    readonly counts: Counts;
  }) {
    this.#client = options.client;
    this.#name = options.name;
    this.#count = options.shardCount;
    this.#timing = options.timing;
    this.#clock = options.clock;
    this.#counts = options.counts;
  }

  /** Whether DynamoDB did not do what it was asked just now, so that it is not worth waiting for. */
  isDown(): boolean {
    return !isOver(this.#failedAt + DOWN_MS, this.#clock.now());
  }

  /**
   * Reads a shard; the reads of one turn go out together, and are tried for as long as the most patient of them has.
   * @param until when to stop trying again, epoch milliseconds; a second try is always made
   * @throws {TableError} where DynamoDB did not answer by then
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
   * Writes a shard, if its version still is the one given.
   * @param next the version to give it, never used before
   * @returns whether it was written; if not, somebody else has written it, or an earlier try of this call
   * @throws {TableError} where DynamoDB did not answer by `until`, or the entries do not fit one item: the table is well then
   */
  async put(
    index: number,
    entries: Entries,
    versions: { readonly known: string | undefined; readonly next: string },
    until: number,
  ): Promise<boolean> {
    const { known, next } = versions;
    const packed = packShard(entries);
    if (packed.length > LARGEST_ITEM_BYTES) {
      const error = new TableError(`a shard of ${packed.length} bytes does not fit one item`);
      this.#counts.fault('TableFaults', error);
      throw error;
    }
    const command = new PutItemCommand({
      TableName: this.#name,
      Item: {
        shard: { S: shardKey(index, this.#count) },
        version: { S: next },
        expires_at: { N: String(expiresAt(this.#clock.now(), this.#timing)) },
        entries: { B: packed },
      },
      ExpressionAttributeNames: { '#version': 'version' },
      ...(known === undefined
        ? { ConditionExpression: 'attribute_not_exists(#version)' }
        : { ConditionExpression: '#version = :known', ExpressionAttributeValues: { ':known': { S: known } } }),
    });
    try {
      await this.#retry(until, (abortSignal) => this.#client.send(command, { abortSignal }));
      return true;
    } catch (error) {
      if (error instanceof ConditionalCheckFailedException) return false;
      throw error;
    }
  }

  async #sendReads(consistency: 'eventual' | 'strong'): Promise<void> {
    const reads = [...this.#pending[consistency]];
    this.#pending[consistency].clear();
    const batches = [];
    for (let i = 0; i < reads.length; i += KEYS_PER_BATCH) {
      const batch = new Map(reads.slice(i, i + KEYS_PER_BATCH));
      batches.push(
        this.#readBatch(batch, consistency === 'strong').catch((error: unknown) => {
          for (const { reject } of batch.values()) reject(error);
        }),
      );
    }
    await Promise.all(batches);
  }

  /** Reads at most a hundred shards, those that DynamoDB leaves over again and again. */
  async #readBatch(batch: ReadonlyMap<number, PendingRead>, ConsistentRead: boolean): Promise<void> {
    const until = Math.max(...Array.from(batch.values(), (read) => read.until));
    const left = new Map(Array.from(batch.keys(), (index) => [shardKey(index, this.#count), index]));
    await this.#retry(until, async (abortSignal) => {
      const Keys = Array.from(left.keys(), (shard) => ({ shard: { S: shard } }));
      const command = new BatchGetItemCommand({ RequestItems: { [this.#name]: { Keys, ConsistentRead } } });
      const { Responses, UnprocessedKeys } = await this.#client.send(command, { abortSignal });
      const items = new Map((Responses?.[this.#name] ?? []).map((item) => [item['shard']?.S, item]));
      const unprocessed = new Set((UnprocessedKeys?.[this.#name]?.Keys ?? []).map((key) => key['shard']?.S));
      for (const [key, index] of left) {
        if (unprocessed.has(key)) continue;
        left.delete(key);
        batch.get(index)?.resolve(this.#parse(items.get(key)));
      }
      if (left.size > 0) throw new TableError(`DynamoDB left ${left.size} keys unprocessed`);
    });
  }

  #parse(item: Record<string, AttributeValue> | undefined): StoredShard {
    const version = item?.['version']?.S;
    const packed = item?.['entries']?.B;
    if (version === undefined || packed === undefined) return { version, entries: new Map() };
    try {
      return { version, entries: unpackShard(packed, this.#timing) };
    } catch (error) {
      this.#counts.fault('DamagedShards', error);
      return { version, entries: new Map() };
    }
  }

  async #retry<T>(until: number, send: (abortSignal: AbortSignal) => Promise<T>): Promise<T> {
    for (
      let tries = 1, backoffMs = FIRST_BACKOFF_MS;
      ;
      tries++, backoffMs = Math.min(backoffMs * 2, LONGEST_BACKOFF_MS)
    ) {
      try {
        const leftMs = Math.max(until - this.#clock.now(), SHORTEST_CALL_MS);
        return await send(AbortSignal.timeout(Math.ceil(leftMs)));
      } catch (error) {
        if (error instanceof ConditionalCheckFailedException) throw error;
        this.#counts.fault('TableFaults', error);
        const isFinal = Error.isError(error) && FINAL_FAULTS.has(error.name);
        const pauseMs = backoffMs * (0.5 + Math.random() / 2);
        const now = this.#clock.now();
        if (isFinal || (tries >= LEAST_TRIES && isOver(until, now + pauseMs))) {
          this.#failedAt = now;
          throw new TableError('DynamoDB did not do what was asked', { cause: error });
        }
        await this.#clock.wait(pauseMs);
      }
    }
  }
}
