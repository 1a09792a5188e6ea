import type { Target } from './poll-queue.ts';
import type { ShardActor } from '../table/shard-actor.ts';
import type { Waiter } from './waiter.ts';

/** The hosts of a shard that requests wait for. */
export interface Wanted {
  readonly waiters: Map<string, Set<Waiter>>;
  /** Whether others have claimed some of the hosts. */
  waits: boolean;
}

type Place = Pick<Target, 'shard' | 'host'>;

/** Which hosts requests wait for, and which requests those are. */
export class WantedHosts {
  readonly #shards = new Map<ShardActor, Wanted>();

  get isEmpty(): boolean {
    return this.#shards.size === 0;
  }

  /** In the order of the shards, as they stand now. */
  get shards(): [ShardActor, Wanted][] {
    return [...this.#shards].sort(([a], [b]) => a.index - b.index);
  }

  add(hostsByShard: ReadonlyMap<ShardActor, readonly string[]>, waiter: Waiter): void {
    for (const [shard, hosts] of hostsByShard) {
      let wanted = this.#shards.get(shard);
      if (wanted === undefined) {
        wanted = { waiters: new Map(), waits: false };
        this.#shards.set(shard, wanted);
      }
      for (const host of hosts) {
        const others = wanted.waiters.get(host);
        if (others === undefined) wanted.waiters.set(host, new Set([waiter]));
        else others.add(waiter);
      }
    }
  }

  remove(hostsByShard: ReadonlyMap<ShardActor, readonly string[]>, waiter: Waiter): void {
    for (const [shard, hosts] of hostsByShard) for (const host of hosts) this.decided({ shard, host }, waiter);
  }

  /** The waiter has no more need of the host. */
  decided({ shard, host }: Place, waiter: Waiter): void {
    const wanted = this.#shards.get(shard);
    const waiters = wanted?.waiters.get(host);
    if (wanted === undefined || waiters === undefined) return;
    waiters.delete(waiter);
    if (waiters.size === 0) wanted.waiters.delete(host);
    if (wanted.waiters.size === 0) this.#shards.delete(shard);
  }

  has({ shard, host }: Place): boolean {
    return this.#shards.get(shard)?.waiters.has(host) === true;
  }

  /** Whether one of those who wait for the host is such. */
  someWaiter({ shard, host }: Place, isSuch: (waiter: Waiter) => boolean): boolean {
    for (const waiter of this.#shards.get(shard)?.waiters.get(host) ?? []) if (isSuch(waiter)) return true;
    return false;
  }

  waitersOf(places: readonly Place[]): Set<Waiter> {
    const waiters = new Set<Waiter>();
    for (const { shard, host } of places) {
      for (const waiter of this.#shards.get(shard)?.waiters.get(host) ?? []) waiters.add(waiter);
    }
    return waiters;
  }

  /** Half of the time of the request that has the least: until then the table is asked again where it fails. */
  tableBy(shard: ShardActor): number | undefined {
    let by = Infinity;
    for (const waiters of this.#shards.get(shard)?.waiters.values() ?? []) {
      for (const { invocation } of waiters) by = Math.min(by, invocation.deadline.tableBy);
    }
    return Number.isFinite(by) ? by : undefined;
  }
}
