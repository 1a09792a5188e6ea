import type { ShardActor } from '../table/shard-actor.ts';
import { isOver, type Timing } from '../trust/time.ts';
import { type Batch, type Claimed, isProbe, isWaiting, rankOf, type Target } from './batch.ts';
import { afterPoll, NEVER_ANSWERED, type Outcome, type PollEnd, type Polled, polledOf } from './outcome.ts';
import { cutIntoPolls, halves, isApart, type Load, type PollPlan, type Stale } from './polls.ts';
import { afterPart, type Decided, newRefusal, type PartEnd, type Refusal } from './refusal.ts';
import type { Ended, Steps } from './steps.ts';
import type { Waiter } from './waiter.ts';
import { type KnownShard, WantedHosts } from './wanted-hosts.ts';

interface RefusedPart<S> extends Ended<S> {
  readonly polled: Polled;
}

export interface SituationOptions {
  readonly plan: PollPlan;
  readonly timing: Timing;
  /** The longest that a poll may take. */
  readonly limitMs: number;
}

/** How long after it was handed over a host may be handed over again. */
const HANDED_MS = 20_000;

const unchanged: Outcome = (_host, entry) => entry;

/**
 * What an environment knows of the hosts that its requests wait for, and what it is doing about them. Data: it changes by
 * the facts that it is told, and decides nothing but what becomes of the batches that it is told of.
 */
export class Situation<S extends KnownShard = ShardActor> {
  readonly wanted = new WantedHosts<S>();
  /** Hosts that this environment is claiming, has queued, polls, or writes the result of. */
  readonly busy = new Set<string>();
  readonly underWay = new Set<Batch<S>>();
  /** Those of them that were aborted, and will end soon. */
  readonly aborted = new Set<Batch<S>>();
  /** Batches that wait for their turn, in the order of their ranks. */
  readonly queue: Batch<S>[][] = [[], [], [], []];
  /** Hosts that are polled alone to show whether the service answers at all, until somebody was answered. */
  readonly probes = new Set<string>();
  /** What is still to be written. */
  ended: Ended<S>[] = [];
  /** Shards that are being looked at, each with the number of the look. */
  readonly looking = new Map<S, number>();
  nextLook = 1;
  /** Shards that were looked at, and hosts whose result was written, since the last steps were taken. */
  readonly looked = new Set<S>();
  readonly polled = new Set<string>();
  /** When others' claims are looked at again; and how often that was so in a row. */
  reread: 'none' | 'planned' | 'due' = 'none';
  rereads = 0;
  service = NEVER_ANSWERED;
  readonly #options: SituationOptions;
  /** When hosts were handed over last. */
  readonly #handedAt = new Map<string, number>();
  readonly #claiming = new Set<readonly Stale<S>[]>();
  readonly #refusals = new Map<number, Refusal<RefusedPart<S>>>();
  #lastRefusal = 0;

  constructor(options: SituationOptions) {
    this.#options = options;
  }

  /** A request waits for hosts. */
  want(hostsByShard: ReadonlyMap<S, readonly string[]>, waiter: Waiter): void {
    this.wanted.add(hostsByShard, waiter, this.nextLook);
  }

  isWanted({ targets }: Batch<S>): boolean {
    return targets.some((target) => this.wanted.has(target));
  }

  /** What is claimed, queued or polled already. */
  get load(): Load {
    const { plan } = this.#options;
    let hosts = 0;
    let apart = 0;
    const claiming = Array.from(this.#claiming, (claims) =>
      cutIntoPolls(
        claims.flatMap((each) => each.hosts),
        plan,
      ),
    );
    const batches = [...this.queue.flat(), ...this.underWay].map(({ targets }) => targets);
    for (const batch of [...batches, ...claiming.flat()]) {
      if (batch[0] === undefined || batch[0].doubt === 'waits') continue;
      if (isApart(batch[0], plan)) apart++;
      else hosts += batch.length;
    }
    return { hosts, apart };
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
    this.looked.clear();
    this.polled.clear();
    for (const [shard, findings] of steps.found) this.wanted.found(shard, findings);
    this.handedOver(steps.handOver, now);
    this.ended = [];
    this.#claimsBegun(steps.claims);
    this.#pollsBegun(steps);
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
    for (const { shard, hosts } of claims) {
      this.#free(hosts.filter(({ host }) => !taken.has(host)).map(({ host }) => ({ host, shard })));
    }
    const earliest = Math.min(...claimed.map(({ until }) => until ?? Infinity));
    for (const claimedUntil of [earliest, undefined]) {
      const its = claimed.filter(({ until }) => (until === undefined) === (claimedUntil === undefined));
      const polls = cutIntoPolls(
        its.flatMap(({ targets }) => targets),
        this.#options.plan,
      );
      for (const targets of polls) this.#enqueue({ targets, claimedUntil });
    }
  }

  /** A poll has ended. */
  pollEnded(batch: Batch<S>, end: PollEnd): Polled {
    const { plan, timing, limitMs } = this.#options;
    this.underWay.delete(batch);
    this.aborted.delete(batch);
    this.service = afterPoll(this.service, end);
    const { requestCount } = plan;
    const { service } = this;
    const polled = polledOf(end, { asked: batch.targets.length, service, timing, requestCount, limitMs });
    const { outcome, isAnswered, refusedWith } = polled;
    if (isAnswered) this.#answered();
    else if (isProbe(batch)) this.#probeFailed(batch, polled);
    const isCuttable = refusedWith !== undefined && batch.targets.length > 1;
    if (!isCuttable) this.ended.push({ batch, outcome });
    const refused = isCuttable ? { batch, outcome, polled } : undefined;
    if (batch.part !== undefined) this.#partEnded(batch.part.refusal, { isAnswered, refusedWith, refused });
    else if (refused !== undefined) this.#refused(++this.#lastRefusal, newRefusal<RefusedPart<S>>(refused));
    return polled;
  }

  /** An outcome was written, as far as the table took it. */
  written({ targets }: Batch<S>): void {
    for (const { host } of targets) this.polled.add(host);
    this.#free(targets);
  }

  /** What went wrong with a batch is nothing that polls bring: it is as if it had not been there. */
  lost(batch: Batch<S>): void {
    this.underWay.delete(batch);
    this.aborted.delete(batch);
    this.#free(batch.targets);
    this.#givenUp(batch);
  }

  /** Whether a host was handed over so short a time ago that it is not again. */
  readonly wasHandedOver = (host: string, now: number): boolean =>
    !isOver((this.#handedAt.get(host) ?? -Infinity) + HANDED_MS, now);

  /** Hosts are being handed over. */
  handedOver(hosts: readonly string[], now: number): void {
    if (hosts.length === 0) return;
    for (const host of this.#handedAt.keys()) if (!this.wasHandedOver(host, now)) this.#handedAt.delete(host);
    for (const host of hosts) this.#handedAt.set(host, now);
  }

  /** These hosts were not taken over. */
  notHandedOver(hosts: readonly string[]): void {
    for (const host of hosts) this.#handedAt.delete(host);
    this.wanted.changedWhere(({ waits }) => waits);
  }

  /** The service answers: who waited for that is polled, in the company that a failed batch has left. */
  #answered(): void {
    this.probes.clear();
    for (const { targets, ...batch } of this.#takeWaiting()) {
      this.#enqueue({ ...batch, targets: targets.map((target) => ({ ...target, doubt: undefined })) });
    }
    this.wanted.changedWhere(({ stale }) => stale.some(({ doubt }) => doubt !== undefined));
  }

  /** The last probe to which nobody was answered: that is the outcome of all who waited for it. */
  #probeFailed({ targets }: Batch<S>, { isConclusive, outcome }: Polled): void {
    for (const { host } of targets) this.probes.delete(host);
    if (!isConclusive || this.probes.size > 0) return;
    for (const batch of this.#takeWaiting()) this.ended.push({ batch, outcome });
  }

  #takeWaiting(): Batch<S>[] {
    const waiting = this.queue.flat().filter(isWaiting);
    if (waiting.length > 0) this.#dequeue(new Set(waiting));
    return waiting;
  }

  #dequeue(leaving: ReadonlySet<Batch<S>>): void {
    for (const [rank, batches] of this.queue.entries()) {
      this.queue[rank] = batches.filter((batch) => !leaving.has(batch));
    }
  }

  #claimsBegun(claims: readonly Stale<S>[]): void {
    if (claims.length === 0) return;
    this.#claiming.add(claims);
    for (const { shard, hosts } of claims) {
      for (const { host, doubt } of hosts) {
        this.busy.add(host);
        if (doubt === 'probe') this.probes.add(host);
      }
      this.wanted.changed(shard);
    }
  }

  #pollsBegun({ aborts, drops, sends }: Steps<S>): void {
    const leaving = new Set([...drops, ...sends].map(({ batch }) => batch));
    if (leaving.size > 0) this.#dequeue(leaving);
    for (const batch of aborts) this.aborted.add(batch);
    for (const { batch } of sends) {
      this.underWay.add(batch);
      for (const { invocation } of this.wanted.waitersOf(batch.targets)) invocation.polls++;
    }
    for (const { batch, isWanted } of drops) {
      // What is wanted is claimed anew, like any host; what is not has its claim ended.
      if (isWanted || batch.claimedUntil === undefined) this.#free(batch.targets);
      else this.ended.push({ batch, outcome: batch.part?.whole.outcome ?? unchanged });
      this.#givenUp(batch);
    }
  }

  #givenUp({ part }: Batch<S>): void {
    if (part === undefined) return;
    this.#partEnded(part.refusal, { isAnswered: false, refusedWith: undefined, refused: undefined });
  }

  #partEnded(id: number, end: PartEnd<RefusedPart<S>>): void {
    const refusal = this.#refusals.get(id);
    if (refusal !== undefined) this.#refused(id, afterPart(refusal, end));
  }

  #refused(id: number, { refusal, cut, stand }: Decided<RefusedPart<S>>): void {
    if (refusal.open === 0 && refusal.held.length === 0) this.#refusals.delete(id);
    else this.#refusals.set(id, refusal);
    this.ended.push(...stand);
    for (const { batch, polled } of cut) {
      const { claimedUntil } = batch;
      for (const targets of halves(batch.targets)) {
        this.#enqueue({ targets, claimedUntil, part: { refusal: id, whole: polled } });
      }
    }
  }

  #enqueue(batch: Batch<S>): void {
    this.queue[rankOf(batch, this.#options.plan)]?.push(batch);
  }

  #free(places: readonly Pick<Target<S>, 'shard' | 'host'>[]): void {
    for (const { shard, host } of places) {
      this.busy.delete(host);
      this.probes.delete(host);
      this.wanted.changed(shard);
    }
  }
}
