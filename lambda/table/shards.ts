import { shardOf } from './shard.ts';
import { ShardActor, type ShardActorParts } from './shard-actor.ts';
import type { Cell } from './shard-memory.ts';

/** What a look at the whole table brought. */
export interface WholeTable {
  readonly read: readonly ShardActor[];
  /** Those that could not be read: what is known of them is older, or nothing. */
  readonly unread: readonly ShardActor[];
}

/** All that one environment knows of the table: its shards, and the memory of their hosts. */
export class Shards {
  /** What is remembered of each host, whichever shard it belongs to. */
  readonly memory = new Map<string, Cell<ShardActor>>();
  readonly #parts: ShardActorParts;
  readonly #count: number;
  readonly #shards = new Map<number, ShardActor>();

  constructor(parts: Omit<ShardActorParts, 'memory'> & { readonly shardCount: number }) {
    this.#parts = { ...parts, memory: this.memory };
    this.#count = parts.shardCount;
  }

  of(host: string): ShardActor {
    return this.memory.get(host)?.shard ?? this.#shard(shardOf(host, this.#count));
  }

  byShard(hosts: Iterable<string>): Map<ShardActor, string[]> {
    return Map.groupBy(hosts, (host) => this.of(host));
  }

  /** Every shard of the table, looked at. That memory serves on where the table does not answer is no reading of it. */
  async all(until: number): Promise<WholeTable> {
    const now = this.#parts.clock.now();
    const all = Array.from({ length: this.#count }, (_, index) => this.#shard(index));
    const isRead = await Promise.all(all.map(async (shard) => shard.isRead(now) || shard.look('eventual', until)));
    return { read: all.filter((_, index) => isRead[index]), unread: all.filter((_, index) => !isRead[index]) };
  }

  /** Looks at those of the shards that were not looked at lately. */
  async look(shards: Iterable<ShardActor>, until: number): Promise<void> {
    const now = this.#parts.clock.now();
    const old = [...shards].filter((shard) => !shard.serves(now));
    await Promise.all(old.map((shard) => shard.look('eventual', until)));
  }

  #shard(index: number): ShardActor {
    const known = this.#shards.get(index);
    if (known !== undefined) return known;
    const shard = new ShardActor(index, this.#parts);
    this.#shards.set(index, shard);
    return shard;
  }
}
