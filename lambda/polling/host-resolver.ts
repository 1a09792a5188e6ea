import { waitUntil } from '../clock.ts';
import type { Announcer } from '../events/announcer.ts';
import type { ShardActor } from '../table/shard-actor.ts';
import type { ShardTable } from '../table/shard-table.ts';
import { LONGEST_POLL_MS } from '../trust/claim.ts';
import { isAttested, withChange } from '../trust/entry.ts';
import { isOver } from '../trust/time.ts';
import { type Batch, type Claimed, isProbe } from './batch.ts';
import { Claims } from './claims.ts';
import { isShort } from './deadline.ts';
import type { HandOver } from './hand-over.ts';
import { isKnown, nextSteps, type Surroundings } from './next-steps.ts';
import type { Outcome, Polled } from './outcome.ts';
import { Poller, type PollerOptions } from './poller.ts';
import { cutIntoHandOvers, type PollPlan, type Stale, type StaleHost, targetsOf } from './polls.ts';
import { Situation } from './situation.ts';
import { type Ended, isNothing, type Steps } from './steps.ts';
import { endingOf, leftBy } from './unpolled.ts';
import type { Waiter } from './waiter.ts';

export interface HostResolverOptions extends PollerOptions {
  readonly table: ShardTable;
  readonly plan: PollPlan;
  readonly pollTimeoutMs: number;
  /** Takes over the hosts that a request has no time to poll; without it, every request polls for itself. */
  readonly handOver?: Pick<HandOver, 'isUp' | 'send'> | undefined;
  /** Tells of hosts whose level changed; without it, nobody does. */
  readonly announcer?: Announcer | undefined;
}

/** How long before a request's answer the last write for it is given up. */
const ANSWER_MS = 50;
/** How long a write may take that no half of a deadline is left for. */
const GRACE_MS = 300;
/** How much of a request's time must be left for it to hand over hosts at its end. */
const LEAVE_MS = 200;
/** How long an answer waits for what goes on beside it. */
const BESIDE_MS = 1_000;

/**
 * Brings hosts that memory does not decide to a decision: does what `nextSteps` says, and has what came of it be known. One
 * for an environment, so that its requests share everything that is under way.
 */
export class HostResolver {
  readonly #options: HostResolverOptions;
  readonly #limitMs: number;
  readonly #situation: Situation;
  readonly #poller: Poller;
  readonly #claims: Claims;
  readonly #aborts = new Map<Batch, AbortController>();
  /** What is being done, and whether an answer may go out before it has ended. */
  readonly #doing = new Map<Promise<void>, () => boolean>();
  /** What goes on beside that, and is to be done before a request is answered. */
  readonly #beside = new Set<Promise<void>>();
  #isAwake = false;

  constructor(options: HostResolverOptions) {
    this.#options = options;
    this.#limitMs = Math.min(options.pollTimeoutMs, LONGEST_POLL_MS);
    this.#situation = new Situation({ ...options, limitMs: this.#limitMs });
    this.#poller = new Poller(options);
    this.#claims = new Claims(options.table, this.#limitMs);
  }

  /** Waits until every host is decided for the waiter, or its time to wait is over. */
  async resolve(hostsByShard: ReadonlyMap<ShardActor, readonly string[]>, waiter: Waiter): Promise<void> {
    const { clock, handOver } = this.#options;
    const { deadline, refresh } = waiter.invocation;
    const by = deadline.answerBy - ANSWER_MS;
    const done = waiter.waitFor(new Set([...hostsByShard.values()].flat()));
    this.#situation.want(hostsByShard, waiter);
    this.#wake();
    await waitUntil(deadline.stopAt, done, clock);
    this.#situation.leave(hostsByShard, waiter);
    this.#goOn();
    await waitUntil(by, this.#unwantedEnded(by), clock);
    if (refresh !== undefined || handOver?.isUp() !== true || isOver(by - LEAVE_MS, clock.monotonic())) return;
    await this.#handOverBeside(leftBy(waiter, hostsByShard, this.#situation, this.#around()), by);
  }

  /** Whether a request that waits has others poll for it. */
  handsOver({ invocation: { deadline, refresh } }: Waiter): boolean {
    return refresh === undefined && isShort(deadline, this.#limitMs) && this.#canHandOver();
  }

  /** Hands over the hosts whose attestation ends soon, so that it is renewed before. */
  async renewEnding(hostsByShard: ReadonlyMap<ShardActor, readonly string[]>, by: number): Promise<void> {
    await this.#handOverBeside(endingOf(hostsByShard, this.#situation, this.#around()), by);
  }

  async #handOverBeside(hosts: readonly StaleHost[], by: number): Promise<void> {
    const { clock } = this.#options;
    if (hosts.length === 0) return;
    this.#situation.handedOver(hosts, clock.now());
    await waitUntil(by, this.#handOver(hosts), clock);
  }

  /** What nobody waits for any more ends before the answer: a poll must not outlive its requests. */
  async #unwantedEnded(by: number): Promise<void> {
    const { clock } = this.#options;
    for (;;) {
      const unwanted = Array.from(this.#doing).filter(([, mayGoOn]) => !mayGoOn());
      if (unwanted.length === 0) break;
      await Promise.all(unwanted.map(([work]) => work));
    }
    await waitUntil(Math.min(by, clock.monotonic() + BESIDE_MS), Promise.all(this.#beside), clock);
  }

  /** Has everything that is to be done now be done, once all that is going on at this moment is known. */
  #wake(): void {
    if (this.#isAwake) return;
    this.#isAwake = true;
    queueMicrotask(() => {
      this.#isAwake = false;
      this.#goOn();
    });
  }

  #goOn(): void {
    const { clock, counts } = this.#options;
    try {
      for (let isDone = false; !isDone;) {
        const steps = nextSteps(this.#situation, this.#around());
        this.#situation.begun(steps, clock.now());
        this.#take(steps);
        isDone = isNothing(steps);
      }
    } catch (error) {
      counts.fault('InternalFaults', error);
    }
  }

  #around(): Surroundings {
    const { clock, plan, timing } = this.#options;
    return {
      now: clock.now(),
      plan: { ...plan, isForLater: this.#situation.isForLater },
      timing,
      owner: this.#claims.owner,
      limitMs: this.#limitMs,
      canHandOver: this.#canHandOver(),
      random: Math.random,
    };
  }

  #canHandOver(): boolean {
    const { handOver, table } = this.#options;
    // Without the table there is no way back for what was handed over.
    return handOver?.isUp() === true && !table.isDown();
  }

  #take({
    looks,
    leftOut,
    claims,
    handOver,
    sends,
    aborts,
    setsAside,
    writes,
    rereadInMs,
    wakeInMs,
  }: Steps<ShardActor>): void {
    if (looks.length > 0) this.#do(this.#look(looks), () => true);
    this.#options.counts.add('HostsLeftOut', leftOut.length);
    if (claims.length > 0)
      this.#do(this.#claim(claims), () => targetsOf(claims).some((target) => this.#situation.wanted.has(target)));
    if (handOver.length > 0) this.#doBeside(this.#handOver(handOver));
    for (const { batch, limitMs } of sends) this.#do(this.#poll(batch, limitMs), () => this.#situation.isWanted(batch));
    for (const batch of [...aborts, ...setsAside]) this.#aborts.get(batch)?.abort();
    for (const ended of writes) this.#do(this.#write(ended), () => this.#situation.isWanted(ended.batch));
    if (rereadInMs !== undefined) void this.#reread(rereadInMs);
    if (wakeInMs !== undefined) void this.#wakeIn(wakeInMs);
  }

  async #look(looks: Steps<ShardActor>['looks']): Promise<void> {
    try {
      await Promise.all(looks.map(({ shard, consistency }) => shard.look(consistency, this.#tableBy(shard))));
    } finally {
      this.#situation.tableLooked(looks);
    }
  }

  async #reread(inMs: number): Promise<void> {
    await this.#options.clock.wait(inMs);
    this.#situation.reread = 'due';
    this.#wake();
  }

  async #wakeIn(ms: number): Promise<void> {
    await this.#options.clock.wait(ms);
    this.#situation.wakesAt = Infinity;
    this.#wake();
  }

  async #claim(claims: readonly Stale<ShardActor>[]): Promise<void> {
    const { timing } = this.#options;
    const { wanted } = this.#situation;
    let claimed: Claimed[] = [];
    try {
      const taken = claims.map((stale) => {
        const { shard } = stale;
        const isNeeded = (host: string, now: number): boolean => {
          const entry = shard.known(host, now);
          return wanted.someWaiter({ shard, host }, (waiter) => !isKnown(waiter, host, entry, now, timing));
        };
        const isAsked = (host: string): boolean =>
          wanted.someWaiter({ shard, host }, ({ invocation }) => invocation.refresh?.renewSince === undefined);
        return this.#claims.take(stale, { isNeeded, isAsked, until: this.#tableBy(shard) });
      });
      claimed = await Promise.all(taken);
    } finally {
      this.#situation.claimed(claims, claimed);
    }
  }

  async #poll(batch: Batch, limitMs: number): Promise<void> {
    const { clock, counts, timing } = this.#options;
    const { targets, claimedUntil, part } = batch;
    const now = clock.now();
    if (claimedUntil === undefined) counts.add('PollsWithoutClaim');
    if (part !== undefined) counts.add('SplitPolls');
    if (isProbe(batch)) counts.add('Probes');
    const ahead = targets.filter(({ shard, host }) => isAttested(shard.known(host, now), now, timing));
    counts.add('PolledAhead', ahead.length);
    const abort = new AbortController();
    this.#aborts.set(batch, abort);
    let polled: Polled | undefined;
    try {
      const hosts = targets.map(({ host }) => host);
      polled = this.#situation.pollEnded(batch, await this.#poller.poll(hosts, limitMs, abort.signal));
    } finally {
      this.#aborts.delete(batch);
      if (polled === undefined) this.#situation.polls.lost(batch);
    }
    if (isProbe(batch) && !polled.isAnswered && polled.isConclusive) counts.add('ProbesFailed');
  }

  /** Writes what came of a batch, and tells of it. */
  async #write({ batch, outcome }: Ended<ShardActor>): Promise<void> {
    const { announcer, clock } = this.#options;
    const { targets } = batch;
    try {
      await this.#claims.write(targets, announcer === undefined ? outcome : changing(outcome), this.#writeBy(batch));
    } finally {
      this.#situation.written(batch);
    }
    if (announcer !== undefined) this.#doBeside(announcer.announce(targets, clock.monotonic() + GRACE_MS));
  }

  /** Hands hosts over; who gets them claims them as it begins. */
  async #handOver(hosts: readonly StaleHost[]): Promise<void> {
    const { handOver, plan } = this.#options;
    const parts = cutIntoHandOvers(hosts, plan).map((part) => part.map(({ host }) => host));
    const left = await Promise.all(parts.map(async (names) => (await handOver?.send(names)) ?? names));
    if (left.some(({ length }) => length > 0)) this.#situation.notHandedOver(left.flat());
    this.#wake();
  }

  #do(work: Promise<void>, mayGoOn: () => boolean): void {
    const guarded = work
      .catch((error: unknown) => this.#options.counts.fault('InternalFaults', error))
      .then(() => {
        this.#doing.delete(guarded);
        this.#wake();
      });
    this.#doing.set(guarded, mayGoOn);
  }

  #doBeside(work: Promise<void>): void {
    const guarded = work
      .catch((error: unknown) => this.#options.counts.fault('InternalFaults', error))
      .finally(() => this.#beside.delete(guarded));
    this.#beside.add(guarded);
  }

  /** When to give up writing a result: not so late that the answers which wait for it would be. */
  #writeBy({ targets }: Batch): number {
    const { clock, table } = this.#options;
    const now = clock.monotonic();
    const deadlines = Array.from(this.#situation.wanted.waitersOf(targets), ({ invocation }) => invocation.deadline);
    if (table.isDown() || deadlines.length === 0) return now + GRACE_MS;
    const tableBy = Math.max(now, ...deadlines.map((deadline) => deadline.tableBy));
    return Math.min(tableBy, ...deadlines.map((deadline) => deadline.stopAt));
  }

  #tableBy(shard: ShardActor): number {
    return this.#situation.wanted.tableBy(shard) ?? this.#options.clock.monotonic();
  }
}

/** The same outcome, and that it is to be announced, where the level of a host changed. */
function changing(outcome: Outcome): Outcome {
  return (host, entry, now) => withChange(entry, outcome(host, entry, now));
}
