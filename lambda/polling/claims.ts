import { randomUUID } from 'node:crypto';
import type { ShardActor } from '../table/shard-actor.ts';
import type { ShardTable } from '../table/shard-table.ts';
import { isClaimedByOther, newClaim } from '../trust/claim.ts';
import { type Entry, withoutClaim } from '../trust/entry.ts';
import { hourOf } from '../trust/time.ts';
import type { Claimed } from './batch.ts';
import type { Outcome } from './outcome.ts';
import type { Stale } from './polls.ts';
import type { Place } from './wanted-hosts.ts';

export interface ClaimOptions {
  /** Whether a host is still to be claimed, now that the table was read. */
  readonly isNeeded: (host: string, now: number) => boolean;
  /** Whether a request asks about the host: that is stamped on it. */
  readonly isAsked: (host: string) => boolean;
  /** When to stop trying, by the monotonic clock. */
  readonly until: number;
}

/** The claims of one environment, by which all others see that it is polling a host. */
export class Claims {
  readonly owner: string = randomUUID();
  readonly #table: ShardTable;
  readonly #limitMs: number;

  /** @param limitMs the longest that a poll may take */
  constructor(table: ShardTable, limitMs: number) {
    this.#table = table;
    this.#limitMs = limitMs;
  }

  /** Claims hosts of a shard by a write. Those that others have claimed meanwhile, or that are not needed, are left out. */
  async take({ shard, hosts }: Stale<ShardActor>, { isNeeded, isAsked, until: by }: ClaimOptions): Promise<Claimed> {
    const targets = hosts.map((host) => ({ ...host, shard }));
    const claimed = new Set<string>();
    let until = Infinity;
    const apply = (host: string, stored: Entry, now: number, hasRoom: boolean): Entry => {
      claimed.delete(host);
      if (!hasRoom) return stored;
      if (isClaimedByOther(stored.claim, this.owner, now)) return stored;
      if (!isNeeded(host, now)) return withoutClaim(stored, this.owner);
      // An own claim of this moment: it was written already, by a put whose answer was lost.
      if (stored.claim?.owner === this.owner && stored.claim.until === until) {
        claimed.add(host);
        return stored;
      }
      const claim = newClaim(this.owner, now, this.#limitMs);
      claimed.add(host);
      until = claim.until;
      return { ...stored, claim, ...(isAsked(host) ? { asked: hourOf(now) } : {}) };
    };
    const names = targets.map(({ host }) => host);
    const isWritten = !this.#table.isDown() && (await shard.write({ hosts: names, apply, until: by }));
    return isWritten
      ? { shard, targets: targets.filter(({ host }) => claimed.has(host)), until }
      : { shard, targets, until: undefined };
  }

  /**
   * Writes what came of hosts, with the end of this environment's claims on them; what the table does not take is at least
   * remembered.
   * @param until when to stop trying, by the monotonic clock
   */
  async write(places: readonly Place<ShardActor>[], outcome: Outcome, until: number): Promise<void> {
    const apply = (host: string, entry: Entry, now: number, hasRoom: boolean): Entry => {
      const changed = outcome(host, entry, now);
      return withoutClaim(changed.definite || hasRoom ? changed : entry, this.owner);
    };
    const byShard = Map.groupBy(places, ({ shard }) => shard);
    const writes = Array.from(byShard, async ([shard, its]) => {
      const change = { hosts: its.map(({ host }) => host), apply, until };
      if (!(await shard.write(change))) shard.remember(change);
    });
    await Promise.all(writes);
  }
}
