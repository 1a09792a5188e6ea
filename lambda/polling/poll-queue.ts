import type { ShardActor } from '../table/shard-actor.ts';
import { isOver, type Timing } from '../trust/time.ts';
import { type Batch, isProbe, isWaiting, pollLateAfter, rankOf, RANKS, type Target } from './batch.ts';
import { sharedOddities } from './company.ts';
import {
  afterPoll,
  afterRefusedNames,
  hung,
  NEVER_ANSWERED,
  onlyCompany,
  type Outcome,
  type PollEnd,
  type Polled,
  polledOf,
} from './outcome.ts';
import { cutIntoPolls, isApart, type Load, type PollPlan } from './polls.ts';
import { afterPart, cutRefused, type Decided, newRefusal, type PartEnd, type Refusal } from './refusal.ts';
import type { Ended } from './steps.ts';

export interface PollQueueOptions {
  readonly plan: PollPlan;
  readonly timing: Timing;
  /** The longest that a poll may take. */
  readonly limitMs: number;
}

interface RefusedPart<S> extends Ended<S> {
  readonly polled: Polled;
}

/** For how long the ends of polls are gathered before more is claimed for a part of the polls that may be. */
const GATHER_MS = 100;

const unchanged: Outcome = (_host, entry) => entry;

/**
 * The polls of an environment: batches that wait for their turn, those that are under way, and what became of those that
 * ended. Data, which changes by what it is told.
 */
export class PollQueue<S = ShardActor> {
  readonly underWay = new Map<Batch<S>, number>();
  /** Those of them that were aborted, and will end soon. */
  readonly aborted = new Set<Batch<S>>();
  /** Those of these that were late while others waited for a turn. */
  readonly setAside = new Set<Batch<S>>();
  /** Hosts that are, or will be, polled alone to show whether the service answers at all; none once somebody was answered. */
  readonly probes = new Set<string>();
  /** What is still to be written, and what is being written. */
  ended: Ended<S>[] = [];
  readonly writing = new Set<Batch<S>>();
  service = NEVER_ANSWERED;
  /** When it is likely that no poll ends that was sent together with the one that ended last. */
  settledAt = -Infinity;
  readonly #options: PollQueueOptions;
  readonly #queue: Batch<S>[][] = Array.from({ length: RANKS }, () => []);
  readonly #refusals = new Map<number, Refusal<RefusedPart<S>>>();
  #lastRefusal = 0;
  /** What the probes that ended have shown: that nobody is answered. */
  #hung: Outcome | undefined;

  constructor(options: PollQueueOptions) {
    this.#options = options;
  }

  /** Batches that wait for their turn, in the order in which they are sent. */
  get queued(): Batch<S>[] {
    return this.#queue.flat();
  }

  /** After how long a poll is late. */
  get lateAfterMs(): number {
    return pollLateAfter(this.service, this.#options.limitMs);
  }

  /** What is queued, polled or written, or will be once it is claimed; what waits for probes, or is set aside, takes no room. */
  loadWith(claiming: readonly (readonly Target<S>[])[], now: number): Load {
    let hosts = 0;
    let apart = 0;
    const { plan } = this.#options;
    const queued = this.queued.filter(({ isSetAside }) => isSetAside !== true);
    const batches = [...queued, ...this.underWay.keys(), ...this.writing].map(({ targets }) => targets);
    for (const batch of [...batches, ...claiming.flatMap((targets) => cutIntoPolls(targets, plan))]) {
      const [first] = batch;
      if (first === undefined || first.doubt === 'waits') continue;
      if (isApart(first, plan)) apart++;
      else hosts += batch.length;
    }
    return { hosts, apart, isSettled: isOver(this.settledAt, now) };
  }

  /** Queues hosts that were claimed, cut into polls. */
  add(targets: readonly Target<S>[], claimedUntil: number | undefined): void {
    for (const batch of cutIntoPolls(targets, this.#options.plan)) this.#enqueue({ targets: batch, claimedUntil });
  }

  /** Batches leave the queue. */
  take(leaving: ReadonlySet<Batch<S>>): void {
    if (leaving.size === 0) return;
    for (const [rank, batches] of this.#queue.entries()) {
      this.#queue[rank] = batches.filter((batch) => !leaving.has(batch));
    }
  }

  /**
   * A batch that left the queue will not be sent: its claim is to be ended.
   * @param isWanted whether its hosts are claimed anew, like any host; then a part of what was refused says what is known by that
   */
  dropped(batch: Batch<S>, isWanted: boolean): void {
    const { part } = batch;
    const whole = part?.whole.outcome ?? unchanged;
    this.ended.push({ batch, outcome: isWanted ? onlyCompany(whole) : whole });
    if (isProbe(batch)) this.#probeEnded(batch, undefined);
    this.#givenUp(batch);
  }

  /**
   * A poll has ended.
   * @param isWanted whether somebody waits for it
   */
  pollEnded(batch: Batch<S>, end: PollEnd, isWanted: boolean): Polled {
    const { plan, timing, limitMs } = this.#options;
    const wasSetAside = this.setAside.has(batch);
    this.#ended(batch);
    this.settledAt = end.endedAt + GATHER_MS;
    this.service = afterPoll(this.service, end);
    const asked = batch.targets.length;
    const polled = polledOf(end, { ...plan, asked, service: this.service, timing, limitMs });
    const { goesOn, isAnswered, isConclusive, refusedWith } = polled;
    if (wasSetAside && end.failure?.reason === 'pending' && (asked > 1 || this.service.slowestMs === 0)) {
      this.#enqueue({ ...batch, isSetAside: true });
      return polled;
    }
    const outcome = goesOn && isWanted ? onlyCompany(polled.outcome) : polled.outcome;
    if (isAnswered) this.#answered();
    else if (isProbe(batch)) this.#probeEnded(batch, isConclusive ? hung(end, timing) : undefined);
    const oddities = refusedWith === undefined ? [] : sharedOddities(batch.targets.map(({ host }) => host));
    const refused = refusedWith !== undefined && asked > 1 ? { batch, outcome, polled } : undefined;
    if (refused === undefined) this.ended.push({ batch, outcome });
    if (batch.part !== undefined) this.#partEnded(batch.part.refusal, { isAnswered, refusedWith, refused, oddities });
    else if (refused !== undefined) this.#refused(++this.#lastRefusal, newRefusal<RefusedPart<S>>(refused));
    return polled;
  }

  /** What went wrong with a batch is nothing that polls bring: it is as if it had not been there. */
  lost(batch: Batch<S>): void {
    this.#ended(batch);
    this.dropped(batch, true);
  }

  #ended(batch: Batch<S>): void {
    this.underWay.delete(batch);
    this.aborted.delete(batch);
    this.setAside.delete(batch);
  }

  /** The service answers: who waited for that is polled, in the company that a failed batch has left. */
  #answered(): void {
    this.probes.clear();
    this.#hung = undefined;
    for (const { targets, ...batch } of this.#takeWaiting()) {
      this.#enqueue({ ...batch, targets: targets.map((target) => ({ ...target, doubt: undefined })) });
    }
  }

  /** A probe ended, or will not be sent. With the last of them, what any has shown is the outcome of all who waited. */
  #probeEnded({ targets }: Batch<S>, shown: Outcome | undefined): void {
    for (const { host } of targets) this.probes.delete(host);
    this.#hung = shown ?? this.#hung;
    if (this.probes.size > 0 || this.#hung === undefined) return;
    for (const batch of this.#takeWaiting()) this.ended.push({ batch, outcome: this.#hung });
    this.#hung = undefined;
  }

  #takeWaiting(): Batch<S>[] {
    const waiting = this.queued.filter(isWaiting);
    this.take(new Set(waiting));
    return waiting;
  }

  #givenUp({ part }: Batch<S>): void {
    if (part === undefined) return;
    this.#partEnded(part.refusal, { isAnswered: false, refusedWith: undefined, refused: undefined, oddities: [] });
  }

  #partEnded(id: number, end: PartEnd<RefusedPart<S>>): void {
    const refusal = this.#refusals.get(id);
    if (refusal !== undefined) this.#refused(id, afterPart(refusal, end));
  }

  #refused(id: number, { refusal, cut, stand }: Decided<RefusedPart<S>>): void {
    if (refusal.open === 0 && refusal.held.length === 0) this.#refusals.delete(id);
    else this.#refusals.set(id, refusal);
    this.ended.push(...stand);
    if (refusal.isAccepted) this.service = afterRefusedNames(this.service, refusal.oddities);
    for (const { batch, polled } of cut) {
      const { claimedUntil, targets } = batch;
      for (const part of cutRefused(targets)) {
        this.#enqueue({ targets: part, claimedUntil, part: { refusal: id, whole: polled } });
      }
    }
  }

  #enqueue(batch: Batch<S>): void {
    this.#queue[rankOf(batch, this.#options.plan)]?.push(batch);
  }
}
