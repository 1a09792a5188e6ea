import {
  type AttributeValue,
  BatchGetItemCommand,
  ConditionalCheckFailedException,
  type DynamoDBClient,
  PutItemCommand,
} from '@aws-sdk/client-dynamodb';
import type { Clock } from '../clock.ts';
import { TableError } from '../errors.ts';
import type { Counts } from '../log/counts.ts';
import { isOver, isYounger, LONG_AGO } from '../trust/time.ts';

export type Item = Record<string, AttributeValue>;
/** By their keys; undefined for one that is not there. */
export type Items = ReadonlyMap<string, Item | undefined>;

/** DynamoDB's limit on the keys of one BatchGetItem. */
export const KEYS_PER_BATCH = 100;
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

/** The two calls of DynamoDB that the table needs, made again for as long as there is time. */
export class TableCalls {
  readonly #client: DynamoDBClient;
  readonly #name: string;
  readonly #clock: Clock;
  readonly #counts: Counts;
  #failed = LONG_AGO;

  constructor(options: {
    readonly client: DynamoDBClient;
    readonly name: string;
    readonly clock: Clock;
    readonly counts: Counts;
  }) {
    this.#client = options.client;
    this.#name = options.name;
    this.#clock = options.clock;
    this.#counts = options.counts;
  }

  /** Whether the table did not do what it was asked just now, so that it is not worth waiting for. */
  isDown(): boolean {
    return isYounger(this.#failed, DOWN_MS, this.#clock.moment());
  }

  /** The table is of no use now. */
  failed(error: TableError): void {
    this.#counts.fault('TableFaults', error);
    this.#failed = this.#clock.moment();
  }

  /**
   * Reads items by their keys, at most a hundred, those that DynamoDB leaves over again and again.
   * @param take gets them as they come
   * @throws {TableError} where some are left by `until`
   */
  async get(
    keys: Iterable<string>,
    ConsistentRead: boolean,
    until: number,
    take: (items: Items) => void,
  ): Promise<void> {
    const left = new Set(keys);
    await this.#retry(until, async (abortSignal) => {
      const Keys = Array.from(left, (shard) => ({ shard: { S: shard } }));
      const command = new BatchGetItemCommand({ RequestItems: { [this.#name]: { Keys, ConsistentRead } } });
      const { Responses, UnprocessedKeys } = await this.#client.send(command, { abortSignal });
      const items = new Map((Responses?.[this.#name] ?? []).map((item) => [item['shard']?.S, item]));
      const unprocessed = new Set((UnprocessedKeys?.[this.#name]?.Keys ?? []).map((key) => key['shard']?.S));
      const processed = [...left].filter((key) => !unprocessed.has(key));
      for (const key of processed) left.delete(key);
      take(new Map(processed.map((key) => [key, items.get(key)])));
      if (left.size > 0) throw new TableError(`DynamoDB left ${left.size} keys unprocessed`);
    });
  }

  /**
   * Writes an item, if its version still is the one given.
   * @param known undefined where there must be none
   * @returns whether it was written; if not, somebody else has written it, or an earlier try of this call
   * @throws {TableError} where DynamoDB did not answer by `until`
   */
  async put(item: Item, known: string | undefined, until: number): Promise<boolean> {
    const command = new PutItemCommand({
      TableName: this.#name,
      Item: item,
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

  async #retry<T>(until: number, send: (abortSignal: AbortSignal) => Promise<T>): Promise<T> {
    for (
      let tries = 1, backoffMs = FIRST_BACKOFF_MS;
      ;
      tries++, backoffMs = Math.min(backoffMs * 2, LONGEST_BACKOFF_MS)
    ) {
      try {
        const leftMs = Math.max(until - this.#clock.monotonic(), SHORTEST_CALL_MS);
        return await send(AbortSignal.timeout(Math.ceil(leftMs)));
      } catch (error) {
        if (error instanceof ConditionalCheckFailedException) throw error;
        this.#counts.fault('TableFaults', error);
        const isFinal = Error.isError(error) && FINAL_FAULTS.has(error.name) && !isClockSkew(error);
        const pauseMs = backoffMs * (0.5 + Math.random() / 2);
        const now = this.#clock.monotonic();
        if (isFinal || (tries >= LEAST_TRIES && isOver(until, now + pauseMs))) {
          this.#failed = this.#clock.moment();
          throw new TableError('DynamoDB did not do what was asked', { cause: error });
        }
        await this.#clock.wait(pauseMs);
      }
    }
  }
}

/** Whether the request was signed by a wrong clock, and the SDK has learned the right time from the refusal. */
function isClockSkew(error: Error): boolean {
  const { $metadata } = error as { readonly $metadata?: { readonly clockSkewCorrected?: boolean } };
  return $metadata?.clockSkewCorrected === true;
}
