import {
  type AttributeValue,
  BatchGetItemCommand,
  ConditionalCheckFailedException,
  type DynamoDBClient,
  PutItemCommand,
} from '@aws-sdk/client-dynamodb';
import type { Clock } from '../../lambda/clock.ts';
import { LAYOUT_KEY } from '../../lambda/table/layout.ts';

type Item = Record<string, AttributeValue>;

/** What a call meets with: an error instead of its effect, or after it, or an old state. */
export interface Weather {
  /** How long a call takes, each of its two ways, in milliseconds. */
  readonly latencyMs?: number;
  /** The call fails before it does anything. */
  readonly fault?: Error;
  /** The call does what it should, and its answer is lost. */
  readonly answerIsLost?: boolean;
  /** An eventually consistent read returns the state of so many writes ago. */
  readonly staleBy?: number;
  /** Keys that a batch leaves unprocessed. */
  readonly unprocessed?: number;
}

/** One DynamoDB table in memory, on a clock of the test's, whose every call may meet with bad weather. */
export class MemoryDynamoDb {
  readonly items = new Map<string, Item>();
  /** What was called, in order. */
  readonly calls: { readonly name: string; readonly keys: number; readonly isStrong: boolean }[] = [];
  /** Asked for each call: `BatchGetItem`, `PutItem` of a shard, or `PutLayout` of the item that says which layout holds. */
  weather: (command: string) => Weather = () => ({});
  /** Called before each effect of a put. */
  onPut: (before: Item | undefined, after: Item) => void = () => {};
  /** Called with each item that a read returns. */
  onRead: (item: Item) => void = () => {};
  readonly #history = new Map<string, (Item | undefined)[]>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get client(): DynamoDBClient {
    return this.clientFor(() => {});
  }

  /** @param onDate called with the time that an answer says it was given at, in whole seconds as epoch milliseconds */
  clientFor(onDate: (date: number) => void): DynamoDBClient {
    const send = (command: unknown): Promise<unknown> => this.#send(command, onDate);
    return { send } as unknown as DynamoDBClient;
  }

  /** Removes an item as TTL does, without a word; one that has no such attribute stays. */
  expire(key: string): void {
    if (this.items.get(key)?.['expires_at'] === undefined) return;
    this.#remember(key);
    this.items.delete(key);
  }

  async #send(command: unknown, onDate: (date: number) => void): Promise<unknown> {
    const name = command instanceof PutItemCommand ? putName(command) : 'BatchGetItem';
    const { latencyMs = 1, fault, answerIsLost = false, staleBy = 0, unprocessed = 0 } = this.weather(name);
    await this.#clock.wait(latencyMs);
    if (fault !== undefined) throw fault;
    const date = Math.floor(this.#clock.now() / 1000) * 1000;
    const effect = (): unknown =>
      command instanceof PutItemCommand ? this.#put(command) : this.#get(command, staleBy, unprocessed);
    let answer: unknown;
    try {
      answer = effect();
    } catch (error) {
      onDate(date);
      throw error;
    }
    await this.#clock.wait(latencyMs);
    if (!answerIsLost) onDate(date);
    if (answerIsLost) throw Object.assign(new Error('the connection was closed'), { name: 'TimeoutError' });
    return answer;
  }

  #put(command: PutItemCommand): unknown {
    const { Item: item = {}, ConditionExpression, ExpressionAttributeValues } = command.input;
    const key = item['shard']?.S ?? '';
    this.calls.push({ name: putName(command), keys: 1, isStrong: true });
    const known = this.items.get(key);
    const expected = ExpressionAttributeValues?.[':known']?.S;
    if (ConditionExpression === undefined || known?.['version']?.S !== expected) {
      throw new ConditionalCheckFailedException({ $metadata: {}, message: 'The conditional request failed' });
    }
    this.onPut(known, item);
    this.#remember(key);
    this.items.set(key, item);
    return {};
  }

  #get(command: unknown, staleBy: number, unprocessed: number): unknown {
    if (!(command instanceof BatchGetItemCommand)) throw new Error('this table does no such thing');
    const [[table, request] = ['', undefined]] = Object.entries(command.input.RequestItems ?? {});
    const { Keys = [], ConsistentRead = false } = request ?? {};
    this.calls.push({ name: 'BatchGetItem', keys: Keys.length, isStrong: ConsistentRead });
    const done = Keys.slice(0, Math.max(0, Keys.length - unprocessed));
    const left = Keys.slice(done.length);
    const items = done
      .map((key) => this.#read(key['shard']?.S ?? '', ConsistentRead ? 0 : staleBy))
      .filter((item) => item !== undefined);
    for (const item of items) this.onRead(item);
    return {
      Responses: { [table]: items },
      UnprocessedKeys: left.length === 0 ? {} : { [table]: { Keys: left } },
    };
  }

  #read(key: string, staleBy: number): Item | undefined {
    const history = this.#history.get(key) ?? [];
    if (staleBy === 0 || history.length === 0) return this.items.get(key);
    return history[Math.max(0, history.length - staleBy)];
  }

  #remember(key: string): void {
    const history = this.#history.get(key) ?? [];
    history.push(this.items.get(key));
    this.#history.set(key, history);
  }
}

function putName(command: PutItemCommand): string {
  return command.input.Item?.['shard']?.S === LAYOUT_KEY ? 'PutLayout' : 'PutItem';
}
