import type { Claimed } from './claims.ts';
import type { Clock } from '../clock.ts';
import type { Counts } from '../log/counts.ts';
import { pollLimit } from '../trust/entry.ts';
import type { Poller, Polled } from './poller.ts';
import { cutIntoPolls, halves, isApart, type Load, mostApart, type PollPlan, type StaleHost } from './polls.ts';
import type { ProbeRound } from './probe-round.ts';
import type { ShardActor } from '../table/shard-actor.ts';

/** A host to poll, and the shard that its result goes to. */
export interface Target extends StaleHost {
  readonly shard: ShardActor;
}

/** Hosts that are polled together, in the order of their shards. */
export interface Batch {
  readonly targets: readonly Target[];
  /** Until when the hosts are claimed; undefined where the table could not take a claim. */
  readonly claimedUntil: number | undefined;
  /** The round that it is a probe of. */
  readonly round: ProbeRound | undefined;
  readonly abort: AbortController;
  /** Of a part of a batch that was refused: the batch that it came of. */
  readonly parent: Parent | undefined;
  done: Promise<void>;
}

/** A batch that was refused as a whole and is polled in two parts. */
interface Parent {
  readonly refused: Refused;
  /** What came of the whole, for parts that nobody waits for any more. */
  readonly polled: Polled;
  /** The parts that were refused in turn. */
  readonly parts: { readonly batch: Batch; readonly polled: Polled }[];
  openParts: number;
}

/** What the parts of one refused batch share. */
interface Refused {
  pollsLeft: number;
  /** Whether the service accepted any of its hosts. */
  isAccepted: boolean;
}

/** Most further polls for a batch that was refused. */
const MOST_EXTRA_POLLS = 16;

export interface PollQueueParts {
  readonly poller: Poller;
  readonly plan: PollPlan;
  readonly clock: Clock;
  readonly counts: Counts;
  /** Whether a request waits for any of the batch's hosts. */
  readonly isWanted: (batch: Batch) => boolean;
  /** Told of a poll that is about to be sent. */
  readonly sending: (batch: Batch) => void;
  /** Claims hosts once more; returns those that could be claimed, and until when they are. */
  readonly claimAgain: (targets: readonly Target[]) => Promise<Claimed>;
  /** Takes what came of a batch; its hosts are busy until that is done. */
  readonly finish: (batch: Batch, polled: Polled) => Promise<void>;
  /** Told of a batch that was not polled to its end, and will not be. */
  readonly dropped: (batch: Batch) => void;
  /** Told whenever there may be room for more, or a host is no longer busy. */
  readonly freed: () => void;
}

/**
 * The polls of an environment: those that wait for their turn, and those that are under way. A batch that the service
 * refuses as a whole is polled in halves, breadth first, until the hosts that it refuses stand alone.
 */
export class PollQueue {
  readonly #parts: PollQueueParts;
  /** Hosts that are being claimed, are queued or polled by this environment. */
  readonly busy = new Set<string>();
  #queue: Batch[] = [];
  readonly #underWay = new Set<Batch>();

  constructor(parts: PollQueueParts) {
    this.#parts = parts;
  }

  get load(): Load {
    let hosts = 0;
    let apart = 0;
    for (const batch of [...this.#queue, ...this.#underWay]) {
      if (this.#isApart(batch)) apart++;
      else hosts += batch.targets.length;
    }
    return { hosts, apart };
  }

  /** Queues polls of hosts that are busy by now. */
  add(targets: readonly Target[], claimedUntil: number | undefined): void {
    for (const part of cutIntoPolls(targets, this.#parts.plan)) this.#enqueue(newBatch(part, { claimedUntil }));
  }

  /** Queues a poll of one host, before all others. */
  addProbe(target: Target, claimedUntil: number | undefined, round: ProbeRound): void {
    this.#enqueue(newBatch([target], { claimedUntil, round }));
  }

  /** Sends what may be sent now. */
  send(): void {
    const { clock, plan, poller } = this.#parts;
    const waiting: Batch[] = [];
    for (const batch of this.#queue) {
      if (!this.#mayStart(batch, plan)) {
        waiting.push(batch);
        continue;
      }
      const limitMs = pollLimit(poller.limitMs, batch.claimedUntil, clock.now());
      if (limitMs !== undefined) {
        this.#start(batch, limitMs);
      } else if (batch.parent === undefined) {
        // The claim waited so long that it would end before a poll could: claim again.
        this.#drop(batch);
      } else {
        void this.#guard(batch, this.#renew(batch, batch.parent));
      }
    }
    this.#queue = waiting;
  }

  /** Aborts the polls that nobody waits for any more; resolves when their claims have ended. */
  async abortUnwanted(): Promise<void> {
    const unwanted = [...this.#underWay].filter((batch) => !this.#parts.isWanted(batch));
    for (const batch of unwanted) batch.abort.abort();
    await Promise.all(unwanted.map((batch) => batch.done));
  }

  /** Takes batches that nobody waits for out of the queue; their hosts are not busy any more. */
  takeUnwanted(): Batch[] {
    const unwanted = this.#queue.filter((batch) => !this.#parts.isWanted(batch));
    this.#queue = this.#queue.filter((batch) => !unwanted.includes(batch));
    for (const { targets, parent } of unwanted) {
      for (const { host } of targets) this.busy.delete(host);
      if (parent === undefined) continue;
      parent.openParts--;
      this.#goOn(parent).catch((error: unknown) => this.#parts.counts.fault('InternalFaults', error));
    }
    return unwanted;
  }

  /** Behind those that go first: probes, then parts of what was refused, then full batches, then hosts polled apart. */
  #enqueue(batch: Batch): void {
    const rank = this.#rank(batch);
    const next = this.#queue.findIndex((other) => this.#rank(other) > rank);
    this.#queue.splice(next === -1 ? this.#queue.length : next, 0, batch);
  }

  #rank(batch: Batch): number {
    if (batch.round !== undefined) return 0;
    if (batch.parent !== undefined) return 1;
    return this.#isApart(batch) ? 3 : 2;
  }

  #mayStart(batch: Batch, plan: PollPlan): boolean {
    const underWay = [...this.#underWay];
    if (underWay.length >= plan.parallelPolls) return false;
    // Without a claim, others may be polling the same hosts: one such poll at a time.
    const isAlone = batch.claimedUntil === undefined;
    if (isAlone && underWay.some((other) => other.claimedUntil === undefined)) return false;
    const isFree = batch.round !== undefined || batch.parent !== undefined || !this.#isApart(batch);
    return isFree || underWay.filter((other) => this.#isApart(other)).length < mostApart(plan);
  }

  #isApart({ targets }: Batch): boolean {
    return targets.some((target) => isApart(target, this.#parts.plan));
  }

  #start(batch: Batch, limitMs: number): void {
    this.#underWay.add(batch);
    this.#parts.sending(batch);
    batch.done = this.#guard(batch, this.#poll(batch, limitMs));
  }

  async #guard(batch: Batch, work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#parts.counts.fault('InternalFaults', error);
      this.#drop(batch);
    } finally {
      this.#underWay.delete(batch);
      this.#parts.freed();
    }
  }

  async #poll(batch: Batch, limitMs: number): Promise<void> {
    const { counts, poller } = this.#parts;
    if (batch.claimedUntil === undefined) counts.add('PollsWithoutClaim');
    const hosts = batch.targets.map(({ host }) => host);
    const polled = await poller.poll(hosts, limitMs, batch.abort.signal);
    const { parent } = batch;
    const refused = parent?.refused ?? { pollsLeft: MOST_EXTRA_POLLS, isAccepted: false };
    refused.isAccepted ||= polled.isAnswered;
    const isSplit = polled.refusedWith !== undefined && hosts.length > 1;
    if (parent === undefined) return isSplit ? this.#split(batch, polled, refused) : this.#finish(batch, polled);
    parent.openParts--;
    if (polled.refusedWith !== undefined) parent.parts.push({ batch, polled });
    if (!isSplit) await this.#finish(batch, polled);
    await this.#goOn(parent);
  }

  /** Splits the refused parts of a batch, once it is known that the service does not just refuse everything. */
  async #goOn({ openParts, parts, refused }: Parent): Promise<void> {
    if (openParts > 0 && !refused.isAccepted) return;
    const statuses = new Set(parts.map(({ polled }) => polled.refusedWith));
    const isAlike = parts.length === 2 && statuses.size === 1;
    for (const { batch, polled } of openParts > 0 || !isAlike || refused.isAccepted ? parts.splice(0) : []) {
      if (batch.targets.length > 1) await this.#split(batch, polled, refused);
    }
    const ended = parts.splice(0).filter(({ batch }) => batch.targets.length > 1);
    await Promise.all(ended.map(({ batch, polled }) => this.#finish(batch, polled)));
  }

  /** Claims the hosts of a part again, which has waited for its turn since the whole was claimed. */
  async #renew(batch: Batch, parent: Parent): Promise<void> {
    const { targets, until } = await this.#parts.claimAgain(batch.targets);
    const left = new Set(targets);
    // Those that others have claimed meanwhile are theirs.
    this.#free({ targets: batch.targets.filter((target) => !left.has(target)) });
    if (targets.length > 0) {
      this.#enqueue(newBatch(targets, { claimedUntil: until, parent }));
    } else {
      parent.openParts--;
      await this.#goOn(parent);
    }
  }

  async #split(batch: Batch, polled: Polled, refused: Refused): Promise<void> {
    if (refused.pollsLeft < 2) return this.#finish(batch, polled);
    refused.pollsLeft -= 2;
    this.#parts.counts.add('SplitPolls', 2);
    const parent = { refused, polled, parts: [], openParts: 2 };
    const { claimedUntil } = batch;
    for (const part of halves(batch.targets)) this.#enqueue(newBatch(part, { claimedUntil, parent }));
    this.#parts.freed();
  }

  async #finish(batch: Batch, polled: Polled): Promise<void> {
    await this.#parts.finish(batch, polled);
    this.#free(batch);
  }

  #drop(batch: Batch): void {
    this.#free(batch);
    this.#parts.dropped(batch);
  }

  #free({ targets }: Pick<Batch, 'targets'>): void {
    for (const { host } of targets) this.busy.delete(host);
    this.#parts.freed();
  }
}

function newBatch(targets: readonly Target[], more: Pick<Batch, 'claimedUntil'> & Partial<Batch>): Batch {
  return {
    round: undefined,
    parent: undefined,
    abort: new AbortController(),
    done: Promise.resolve(),
    ...more,
    targets,
  };
}
