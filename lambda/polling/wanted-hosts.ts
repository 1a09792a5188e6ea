import type { RoomTaken } from '../table/newcomers.ts';
import type { ShardActor } from '../table/shard-actor.ts';
import type { Entry } from '../trust/entry.ts';
import type { StaleHost } from './polls.ts';
import type { Waiter } from './waiter.ts';

/** As much of a shard as decisions need: what is known of its hosts, and whether that was looked at lately. */
export interface KnownShard {
  serves(): boolean;
  known(host: string, now: number): Entry;
  /** How much of its room for newcomers is taken. */
  roomTaken(now: number): RoomTaken;
}

/** What was found of the wanted hosts of a shard when they were gone through last. */
export interface Findings {
  /** Hosts to poll. */
  readonly stale: readonly StaleHost[];
  /** Whether others poll some of the hosts. */
  readonly waits: boolean;
}

/** The hosts of a shard that requests wait for. */
export interface Wanted extends Findings {
  readonly waiters: Map<string, Set<Waiter>>;
  /** Nothing is claimed before this look at the table, and all before it, have come back: so full batches are made of many shards. */
  readonly afterLook: number;
  /** Whether something has changed since they were gone through. */
  readonly isChanged: boolean;
}

/** A host, and the shard that it belongs to. */
export interface Place<S> {
  readonly shard: S;
  readonly host: string;
}

const NOTHING_FOUND = { stale: [], waits: false, isChanged: true };

const NOBODY: ReadonlySet<Waiter> = new Set();

/** Which hosts requests wait for, and which requests those are. */
export class WantedHosts<S extends KnownShard = ShardActor> {
  readonly #shards = new Map<S, Wanted>();

  /** In the order in which they were wanted, as they stand now. */
  get shards(): [S, Wanted][] {
    return [...this.#shards];
  }

  /** @param nextLook the number of the next look at the table, which these hosts may be the reason for */
  add(hostsByShard: ReadonlyMap<S, readonly string[]>, waiter: Waiter, nextLook: number): void {
    for (const [shard, hosts] of hostsByShard) {
      const known = this.#shards.get(shard);
      const { waiters, afterLook } = known ?? { waiters: new Map<string, Set<Waiter>>(), afterLook: nextLook };
      this.#shards.set(shard, { ...NOTHING_FOUND, waiters, afterLook });
      for (const host of hosts) {
        const others = waiters.get(host);
        if (others === undefined) waiters.set(host, new Set([waiter]));
        else others.add(waiter);
      }
    }
  }

  remove(hostsByShard: ReadonlyMap<S, readonly string[]>, waiter: Waiter): void {
    for (const [shard, hosts] of hostsByShard) {
      for (const host of hosts) this.decided({ shard, host }, waiter);
      this.changed(shard);
    }
  }

  /** The waiter has no more need of the host. */
  decided({ shard, host }: Place<S>, waiter: Waiter): void {
    const wanted = this.#shards.get(shard);
    const waiters = wanted?.waiters.get(host);
    if (wanted === undefined || waiters === undefined) return;
    waiters.delete(waiter);
    if (waiters.size === 0) wanted.waiters.delete(host);
    if (wanted.waiters.size === 0) this.#shards.delete(shard);
  }

  /** Something has changed about hosts of the shard: they are to be gone through again, before any of them is claimed. */
  changed(shard: S): void {
    const wanted = this.#shards.get(shard);
    if (wanted?.isChanged === false) this.#shards.set(shard, { ...wanted, stale: [], isChanged: true });
  }

  /** The same of all shards in which this was found. */
  changedWhere(isSuch: (found: Findings) => boolean): void {
    for (const [shard, wanted] of this.#shards) if (isSuch(wanted)) this.changed(shard);
  }

  /** The hosts of a shard were gone through. */
  found(shard: S, { stale, waits }: Findings): void {
    const wanted = this.#shards.get(shard);
    if (wanted !== undefined) this.#shards.set(shard, { ...wanted, stale, waits, isChanged: false });
  }

  has(place: Place<S>): boolean {
    return this.#waitersOf(place).size > 0;
  }

  /** Whether one of those who wait for the host is such. */
  someWaiter(place: Place<S>, isSuch: (waiter: Waiter) => boolean): boolean {
    for (const waiter of this.#waitersOf(place)) if (isSuch(waiter)) return true;
    return false;
  }

  waitersOf(places: readonly Place<S>[]): Set<Waiter> {
    const waiters = new Set<Waiter>();
    for (const place of places) for (const waiter of this.#waitersOf(place)) waiters.add(waiter);
    return waiters;
  }

  /** Half of the time of the request that has the least: until then the table is asked again where it fails. */
  tableBy(shard: S): number | undefined {
    let by = Infinity;
    for (const waiters of this.#shards.get(shard)?.waiters.values() ?? []) {
      for (const { invocation } of waiters) by = Math.min(by, invocation.deadline.tableBy);
    }
    return Number.isFinite(by) ? by : undefined;
  }

  #waitersOf({ shard, host }: Place<S>): ReadonlySet<Waiter> {
    return this.#shards.get(shard)?.waiters.get(host) ?? NOBODY;
  }
}
