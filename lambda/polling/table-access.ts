import type { Clock } from '../clock.ts';
import type { Target } from './poll-queue.ts';
import type { Outcome } from './poller.ts';
import type { Change, ShardActor } from '../table/shard-actor.ts';

/** How long after a table that did not answer polls go out without asking it first. */
const TABLE_PAUSE_MS = 5_000;

/** Reads and writes the shards of many hosts, and remembers whether the table answered the last time. */
export class TableAccess {
  readonly #clock: Clock;
  #failedAt = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether the table did not answer just now, so that it is not worth waiting for. */
  isTableDown(): boolean {
    return this.#clock.now() < this.#failedAt + TABLE_PAUSE_MS;
  }

  /** Looks at a shard; while the table is down, memory serves without that. */
  async look(shard: ShardActor, consistency: 'eventual' | 'strong', until: number): Promise<void> {
    if (this.isTableDown()) shard.serveOn();
    else if (!(await shard.look(consistency, until))) this.#failedAt = this.#clock.now();
  }

  /** @returns whether the table has it */
  async try(shard: ShardActor, change: Change): Promise<boolean> {
    if (await shard.write(change)) return true;
    if (!shard.isTooLarge) this.#failedAt = this.#clock.now();
    return false;
  }

  /** Writes an outcome to the entries of hosts; what the table does not take is at least remembered. */
  async write(targets: readonly Pick<Target, 'shard' | 'host'>[], outcome: Outcome, until: number): Promise<void> {
    const writes = Array.from(groupByShard(targets), async ([shard, hosts]) => {
      const change: Change = { hosts, apply: outcome, until };
      if (!(await this.try(shard, change))) shard.remember(change);
    });
    await Promise.all(writes);
  }
}

function groupByShard(targets: readonly Pick<Target, 'shard' | 'host'>[]): Map<ShardActor, string[]> {
  const groups = new Map<ShardActor, string[]>();
  for (const { shard, host } of targets) {
    const hosts = groups.get(shard);
    if (hosts === undefined) groups.set(shard, [host]);
    else hosts.push(host);
  }
  return groups;
}
