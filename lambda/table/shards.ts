import { sharing } from './layout.ts';
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
  readonly #options: Omit<ShardActorParts, 'memory' | 'current'>;
  readonly #shards = new Map<number, ShardActor>();
  #memory = new Map<string, Cell<ShardActor>>();
  #era: number;

  constructor(options: Omit<ShardActorParts, 'memory' | 'current'>) {
    this.#options = options;
    this.#era = options.table.era;
  }

  /** What is remembered of each host, whichever shard it belongs to. */
  get memory(): ReadonlyMap<string, Cell<ShardActor>> {
    this.#follow();
    return this.#memory;
  }

  of(host: string): ShardActor {
    return this.memory.get(host)?.shard ?? this.#shard(shardOf(host, this.#options.table.count));
  }

  byShard(hosts: Iterable<string>): Map<ShardActor, string[]> {
    return Map.groupBy(hosts, (host) => this.of(host));
  }

  /** The shards that have hosts in common with one of another layout, which had so many. */
  sharing(index: number, count: number): ShardActor[] {
    return sharing(index, count, this.#options.table.count).map((each) => this.#shard(each));
  }

  /** Every shard of the table, looked at. That memory serves on where the table does not answer is no reading of it. */
  async all(until: number): Promise<WholeTable> {
    const { clock, table } = this.#options;
    const { count, era } = table;
    const now = clock.moment();
    const all = Array.from({ length: count }, (_, index) => this.#shard(index));
    const isRead = await Promise.all(all.map(async (shard) => shard.isRead(now) || shard.look('eventual', until)));
    if (era !== table.era) return this.all(until);
    return { read: all.filter((_, index) => isRead[index]), unread: all.filter((_, index) => !isRead[index]) };
  }

  /** Looks at those of the shards that were not looked at lately. */
  async look(shards: Iterable<ShardActor>, until: number): Promise<void> {
    const now = this.#options.clock.moment();
    const old = [...shards].filter((shard) => !shard.serves(now));
    await Promise.all(old.map((shard) => shard.look('eventual', until)));
  }

  /** Forgets everything where another layout holds: what was known may have been overtaken there. */
  #follow(): void {
    const { era } = this.#options.table;
    if (era === this.#era) return;
    this.#era = era;
    this.#memory = new Map();
    this.#shards.clear();
  }

  #shard(index: number): ShardActor {
    this.#follow();
    const known = this.#shards.get(index);
    if (known !== undefined) return known;
    const shard = new ShardActor(index, { ...this.#options, memory: this.#memory, current: this });
    this.#shards.set(index, shard);
    return shard;
  }
}
