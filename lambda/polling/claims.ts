import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { type Entry, held, hourOf, isClaimed, newClaim } from '../trust/entry.ts';
import type { Target } from './poll-queue.ts';
import type { Outcome } from './poller.ts';
import type { Stale } from './polls.ts';
import type { ShardActor } from '../table/shard-actor.ts';
import type { TableAccess } from './table-access.ts';

/** What an environment has claimed of a shard. */
export interface Claimed {
  readonly targets: readonly Target[];
  /** Until when; undefined where the table did not take the claim. */
  readonly until: number | undefined;
}

export interface ClaimOptions {
  /** Whether the host, as it stands in the table now, is to be claimed. */
  readonly isNeeded: (host: string, stored: Entry, now: number) => boolean;
  /** Whether a request asks about the host: that is stamped on it. */
  readonly isAsked: (host: string) => boolean;
  /** When to stop trying, epoch milliseconds. */
  readonly by: number;
  /** In whose name; this environment's own, unless the hosts are handed over. */
  readonly owner?: string;
  /** Hosts of the shard, claimed or not, that wait for a probe, and until when. */
  readonly waiting?: { readonly hosts: readonly string[]; readonly until: number };
}

/** The claims of one environment, by which all others see that it is polling a host. */
export class Claims {
  readonly #owner: string = randomUUID();
  /** Owners whose claims this environment may take over, and how many invocations say so. */
  readonly #adopted = new Map<string, number>();
  readonly #table: TableAccess;
  readonly #clock: Clock;
  readonly #limitMs: number;

  /** @param limitMs the longest that a poll may take */
  constructor(table: TableAccess, clock: Clock, limitMs: number) {
    this.#table = table;
    this.#clock = clock;
    this.#limitMs = limitMs;
  }

  isOthers(claim: Entry['claim'], now: number): boolean {
    return isClaimed(claim, now) && claim.owner !== this.#owner && !this.#adopted.has(claim.owner);
  }

  /** Has this environment take over what an owner has claimed, until `abandon`. */
  adopt(owner: string): void {
    this.#adopted.set(owner, (this.#adopted.get(owner) ?? 0) + 1);
  }

  abandon(owner: string): void {
    const times = (this.#adopted.get(owner) ?? 1) - 1;
    if (times === 0) this.#adopted.delete(owner);
    else this.#adopted.set(owner, times);
  }

  /** When a claim that is made now would end. */
  end(): number {
    return newClaim(this.#owner, this.#clock.now(), this.#limitMs).until;
  }

  /** Claims hosts of a shard by a write. Those that others have claimed meanwhile, or that are not needed, are left out. */
  async take(shard: ShardActor, hosts: Stale<ShardActor>['hosts'], options: ClaimOptions): Promise<Claimed> {
    const { isNeeded, isAsked, by, owner = this.#owner, waiting = { hosts: [], until: 0 } } = options;
    const targets = hosts.map(({ host, most }) => ({ host, most, shard }));
    const asked = new Set(hosts.map(({ host }) => host));
    const others = new Set(waiting.hosts);
    const claimed = new Set<string>();
    let until: number | undefined = Infinity;
    const apply = (host: string, stored: Entry, now: number): Entry => {
      claimed.delete(host);
      if (this.isOthers(stored.claim, now) || !isNeeded(host, stored, now)) return stored;
      const next = others.has(host) ? held(stored, waiting.until) : stored;
      if (!asked.has(host)) return next;
      const claim = newClaim(owner, now, this.#limitMs);
      claimed.add(host);
      until = claim.until;
      return { ...next, claim, ...(isAsked(host) ? { asked: hourOf(now) } : {}) };
    };
    if (this.#table.isTableDown()) return { targets, until: undefined };
    const written = await this.#table.try(shard, { hosts: new Set([...asked, ...others]), apply, until: by });
    if (!written) return { targets, until: undefined };
    return { targets: targets.filter(({ host }) => claimed.has(host)), until };
  }

  /** The same outcome, and the end of the claims that an owner has on the hosts. */
  ending(outcome: Outcome, owner = this.#owner): Outcome {
    return (host, entry, now) => {
      const changed = outcome(host, entry, now);
      return changed.claim?.owner === owner ? { ...changed, claim: undefined } : changed;
    };
  }
}
