import type { ShardActor } from '../table/shard-actor.ts';
import { type Entry } from '../trust/entry.ts';
import { hasNewsSince } from '../trust/freshness.ts';
import { isOver, isSince } from '../trust/time.ts';
import { HANDED_MS } from './hand-over.ts';
import { type Batch, type Claimed, isProbe, isWaiting } from './batch.ts';
import type { PollEnd, Polled } from './outcome.ts';
import { PollQueue, type PollQueueOptions } from './poll-queue.ts';
import { type Load, type Stale, type StaleHost, targetsOf } from './polls.ts';
import type { Steps } from './steps.ts';
import type { Waiter } from './waiter.ts';
import { type KnownShard, type Place, WantedHosts } from './wanted-hosts.ts';

/**
 * What an environment knows of the hosts that its requests wait for, and what it is doing about them. Data: it changes by
 * the steps that are taken and by what comes of them.
 */
export class Situation<S extends KnownShard = ShardActor> {
  readonly wanted = new WantedHosts<S>();
  readonly polls: PollQueue<S>;
  /** Hosts that this environment is claiming, has queued, polls, or writes the result of. */
  readonly busy = new Set<string>();
  /** Shards that are being looked at, each with the number of the look. */
  readonly looking = new Map<S, number>();
  nextLook = 1;
  /** Shards that were looked at, and hosts whose result was written, since the last steps were taken. */
  readonly looked = new Set<S>();
  readonly polled = new Set<string>();
  /** When others' claims are looked at again; and how often that was so in a row. */
  reread: 'none' | 'planned' | 'due' = 'none';
  rereads = 0;
  /** When it is looked anew at whether polls are late. */
  wakesAt = Infinity;
  /** When hosts were handed over last. */
  readonly #handedAt = new Map<string, number>();
  readonly #claiming = new Set<readonly Stale<S>[]>();
  readonly #waiters = new Set<Waiter>();

  constructor(options: PollQueueOptions) {
    this.polls = new PollQueue(options);
  }

  /** A request waits for hosts. */
  want(hostsByShard: ReadonlyMap<S, readonly string[]>, waiter: Waiter): void {
    this.#waiters.add(waiter);
    this.wanted.add(hostsByShard, waiter, this.nextLook);
  }

  /** A request waits no longer for hosts. */
  leave(hostsByShard: ReadonlyMap<S, readonly string[]>, waiter: Waiter): void {
    this.#waiters.delete(waiter);
    this.wanted.remove(hostsByShard, waiter);
  }

  /** Whether nobody waits but who attests hosts for later. */
  get isForLater(): boolean {
    return [...this.#waiters].every(({ invocation }) => invocation.refresh !== undefined);
  }

  /** Whether a request waits for what comes of a batch; for a probe, also those that wait for all who wait for it. */
  isWanted(batch: Batch<S>): boolean {
    if (batch.targets.some((target) => this.wanted.has(target))) return true;
    return isProbe(batch) && this.polls.queued.some((other) => isWaiting(other) && this.isWanted(other));
  }

  /** Whether claims are being written, which look at what others have claimed, too. */
  get isClaiming(): boolean {
    return this.#claiming.size > 0;
  }

  /** What is claimed, queued or polled already. */
  load(now: number): Load {
    return this.polls.loadWith(Array.from(this.#claiming, targetsOf), now);
  }

  /** These steps are being taken now. */
  begun(steps: Steps<S>, now: number): void {
    for (const { shard } of steps.looks) this.looking.set(shard, this.nextLook);
    if (steps.looks.length > 0) this.nextLook++;
    if (steps.rereadInMs !== undefined) {
      this.reread = 'planned';
      this.rereads++;
    } else if (this.reread === 'due') {
      this.reread = 'none';
    }
    if (!steps.isWaiting) this.rereads = 0;
    for (const { waiter, shard, host, entry } of steps.decided) {
      waiter.decide(host, entry, this.busy.has(host) || this.polled.has(host));
      this.wanted.decided({ shard, host }, waiter);
    }
    for (const { waiter, ...place } of steps.leftOut) {
      waiter.leaveOut(place.host);
      this.wanted.decided(place, waiter);
    }
    this.looked.clear();
    this.polled.clear();
    for (const [shard, findings] of steps.found) this.wanted.found(shard, findings);
    this.handedOver(steps.handOver, now);
    this.polls.ended = [];
    for (const { batch } of steps.writes) this.polls.writing.add(batch);
    this.#claimsBegun(steps.claims);
    this.#pollsBegun(steps, now);
    if (steps.wakeInMs !== undefined) this.wakesAt = now + steps.wakeInMs;
  }

  /** Shards were looked at in the table. */
  tableLooked(looks: Steps<S>['looks']): void {
    for (const { shard } of looks) {
      this.looking.delete(shard);
      this.looked.add(shard);
      this.wanted.changed(shard);
    }
  }

  /** Claims were made, or not; what could be claimed is queued. */
  claimed(claims: readonly Stale<S>[], claimed: readonly Claimed<S>[]): void {
    this.#claiming.delete(claims);
    const taken = new Set(claimed.flatMap(({ targets }) => targets.map(({ host }) => host)));
    this.#free(targetsOf(claims).filter(({ host }) => !taken.has(host)));
    const byClaim = Map.groupBy(claimed, ({ until }) => until !== undefined);
    for (const [isClaimed, its] of byClaim) {
      const claimedUntil = isClaimed ? Math.min(...its.map(({ until }) => until ?? Infinity)) : undefined;
      this.polls.add(its.map(({ targets }) => targets).flat(), claimedUntil);
    }
  }

  /** A poll has ended. */
  pollEnded(batch: Batch<S>, end: PollEnd): Polled {
    const polled = this.polls.pollEnded(batch, end, this.isWanted(batch));
    // An answer settles why other hosts were not answered about.
    if (polled.isAnswered) this.wanted.changedWhere(({ stale }) => stale.some(({ doubt }) => doubt !== undefined));
    return polled;
  }

  /** An outcome was written, as far as the table took it. */
  written(batch: Batch<S>): void {
    this.polls.writing.delete(batch);
    for (const { host } of batch.targets) this.polled.add(host);
    this.#free(batch.targets);
  }

  /** Whether a host was handed over so short a time ago that it is not again: nothing has come of it yet. */
  readonly wasHandedOver = (host: string, entry: Entry, now: number): boolean => {
    const handedAt = this.#handedAt.get(host);
    // What lies ahead was stamped before the clock was set right: nobody knows how long ago.
    const isRecent = handedAt !== undefined && !isOver(handedAt + HANDED_MS, now) && isSince(now, handedAt);
    return isRecent && !hasNewsSince(entry, handedAt);
  };

  /** Hosts are being handed over. */
  handedOver(hosts: readonly StaleHost[], now: number): void {
    if (hosts.length === 0) return;
    for (const [host, at] of this.#handedAt) if (isOver(at + HANDED_MS, now)) this.#handedAt.delete(host);
    for (const { host } of hosts) this.#handedAt.set(host, now);
  }

  /** These hosts were not taken over. */
  notHandedOver(hosts: readonly string[]): void {
    for (const host of hosts) this.#handedAt.delete(host);
    this.wanted.changedWhere(({ waits }) => waits);
  }

  #claimsBegun(claims: readonly Stale<S>[]): void {
    if (claims.length === 0) return;
    this.#claiming.add(claims);
    for (const { shard, host, doubt } of targetsOf(claims)) {
      this.busy.add(host);
      if (doubt === 'probe') this.polls.probes.add(host);
      this.wanted.changed(shard);
    }
  }

  #pollsBegun({ aborts, drops, sends, setsAside }: Steps<S>, now: number): void {
    this.polls.take(new Set([...drops, ...sends].map(({ batch }) => batch)));
    for (const batch of [...aborts, ...setsAside]) this.polls.aborted.add(batch);
    for (const batch of setsAside) this.polls.setAside.add(batch);
    for (const { batch } of sends) {
      this.polls.underWay.set(batch, now);
      for (const { invocation } of this.wanted.waitersOf(batch.targets)) invocation.polls++;
    }
    for (const { batch, isWanted } of drops) this.polls.dropped(batch, isWanted);
  }

  #free(places: readonly Place<S>[]): void {
    for (const { shard, host } of places) {
      this.busy.delete(host);
      this.polls.probes.delete(host);
      this.wanted.changed(shard);
    }
  }
}
