import { randomUUID } from 'node:crypto';
import type { Announcer } from '../events/announcer.ts';
import { type Claimed, Claims } from './claims.ts';
import { waitUntil } from '../clock.ts';
import { mostTogether } from './company.ts';
import { isShort } from './deadline.ts';
import {
  companyNow,
  type Entry,
  finding,
  isAttested,
  isLeftPending,
  isRenewed,
  merge,
  withChange,
} from '../trust/entry.ts';
import type { HandOver } from './hand-over.ts';
import { type Batch, PollQueue, type Target } from './poll-queue.ts';
import { type Outcome, type Polled, Poller, type PollerOptions } from './poller.ts';
import { nextClaims, type PollPlan, type Stale } from './polls.ts';
import { Prober } from './prober.ts';
import { Rereads } from './rereads.ts';
import type { ShardActor, ShardActorParts } from '../table/shard-actor.ts';
import { TableAccess } from './table-access.ts';
import type { Waiter } from './waiter.ts';
import { WantedHosts } from './wanted-hosts.ts';

export interface HostResolverOptions extends ShardActorParts, PollerOptions {
  readonly plan: PollPlan;
  /** Takes over the hosts that a request has no time to poll; without it, every request polls for itself. */
  readonly handOver?: Pick<HandOver, 'isUp' | 'send'> | undefined;
  /** Tells of hosts whose level changed; without it, nobody does. */
  readonly announcer?: Announcer | undefined;
}

/** How long before a request's answer the last write for it is given up. */
const ANSWER_MS = 50;
/** How long a write may take that no half of a deadline is left for. */
const GRACE_MS = 300;

/** Most hosts that a request hands over at its end, and how much of its time must be left for that. */
const MOST_LEFT = 1_000;
const LEAVE_MS = 200;
/** How long an answer waits for what goes on beside it. */
const BESIDE_MS = 1_000;

/** The hosts of shards that nobody has claimed, by what is to be done about them. */
interface Unclaimed {
  /** To poll. */
  readonly clear: Stale<ShardActor>[];
  /** To poll once it is known why they failed. */
  readonly doubtful: Stale<ShardActor>[];
  /** To hand over: nobody who waits for them has the time to poll. */
  readonly handed: Stale<ShardActor>[];
}

/**
 * Brings hosts that memory does not decide to a decision: looks at the table, waits for what others have claimed, claims
 * and polls the rest, or has it polled. One for an environment, so that its requests share everything that is under way.
 */
export class HostResolver {
  readonly #options: HostResolverOptions;
  readonly #polls: PollQueue;
  readonly #table: TableAccess;
  readonly #claims: Claims;
  readonly #prober: Prober;
  readonly #rereads: Rereads;
  readonly #wanted = new WantedHosts();
  /** What goes on beside the loop, and is to be done before a request is answered. */
  readonly #beside = new Set<Promise<void>>();
  #running = false;
  #loop: Promise<void> = Promise.resolve();
  #isDirty = false;

  constructor(options: HostResolverOptions) {
    this.#options = options;
    const poller = new Poller(options);
    this.#table = new TableAccess(options.clock);
    this.#claims = new Claims(this.#table, options.clock, poller.limitMs);
    this.#polls = new PollQueue({
      ...options,
      poller,
      isWanted: (batch) => this.#isWanted(batch),
      sending: (batch) => this.#sending(batch),
      claimAgain: (targets) => this.#claimAgain(targets),
      finish: (batch, polled) => this.#finish(batch, polled),
      dropped: (batch) => this.#goOnBeside(this.#prober.notice(batch)),
      freed: () => this.#wake(),
    });
    this.#prober = new Prober({
      ...options,
      polls: this.#polls,
      waitersOf: (targets) => this.#wanted.waitersOf(targets),
      claimEnd: () => this.#claims.end(),
      take: (shard, hosts, waiting) => this.#take(shard, hosts, { waiting }),
      write: (targets, outcome) => this.#table.write(targets, outcome, this.#writeBy(targets)),
      ended: () => this.#wake(),
    });
    this.#rereads = new Rereads(options.clock, () => {
      if (!this.#wanted.isEmpty) this.#wake();
    });
  }

  /** Looks at those of the shards that were not looked at lately. */
  async look(shards: Iterable<ShardActor>, until: number): Promise<void> {
    const now = this.#options.clock.now();
    const old = [...shards].filter((shard) => !shard.serves(now));
    await Promise.all(old.map((shard) => this.#table.look(shard, 'eventual', until)));
  }

  /** Waits until every host is decided for the waiter, or its time to wait is over. */
  async resolve(hostsByShard: ReadonlyMap<ShardActor, readonly string[]>, waiter: Waiter): Promise<void> {
    const { clock, handOver } = this.#options;
    const { deadline, refresh } = waiter.invocation;
    const by = deadline.answerBy - ANSWER_MS;
    const done = waiter.waitFor(new Set([...hostsByShard.values()].flat()));
    if (refresh?.claimedBy !== undefined) this.#claims.adopt(refresh.claimedBy);
    this.#wanted.add(hostsByShard, waiter);
    this.#wake();
    await waitUntil(deadline.stopAt, done, clock);
    this.#wanted.remove(hostsByShard, waiter);
    if (refresh?.claimedBy !== undefined) this.#claims.abandon(refresh.claimedBy);
    await waitUntil(by, this.#endUnwanted(by), clock);
    if (refresh !== undefined || handOver === undefined) return;
    const left = new Set(waiter.undecided);
    for (const [host, entry] of waiter.decided) if (isLeftPending(entry, deadline.arrivedAt)) left.add(host);
    if (left.size > 0) await waitUntil(by, this.#leave(hostsByShard, left, by), clock);
  }

  /** Ends what nobody waits for any more: a poll must not outlive its requests. */
  async #endUnwanted(until: number): Promise<void> {
    // A claim that is being written is ended by the loop that writes it.
    const loop = this.#wanted.isEmpty ? this.#loop : undefined;
    const { clock } = this.#options;
    const beside = waitUntil(Math.min(until, clock.now() + BESIDE_MS), Promise.all(this.#beside), clock);
    await Promise.all([this.#dropUnwanted(until), this.#polls.abortUnwanted(), loop, beside]);
    // A batch that was refused just now has left its parts in the queue.
    await this.#dropUnwanted(until);
  }

  /**
   * Hands over what a request has to leave pending, so that a later one finds it decided. Nothing is claimed for it: an
   * environment that is frozen at its answer could leave claims behind that nobody polls on.
   */
  async #leave(
    hostsByShard: ReadonlyMap<ShardActor, readonly string[]>,
    left: ReadonlySet<string>,
    by: number,
  ): Promise<void> {
    const { clock, handOver } = this.#options;
    const now = clock.now();
    if (handOver?.isUp() !== true || by - now < LEAVE_MS) return;
    const hosts: string[] = [];
    for (const [shard, names] of hostsByShard) {
      for (const host of names) {
        if (hosts.length >= MOST_LEFT) break;
        const isOurs = !this.#polls.busy.has(host) && !this.#claims.isOthers(shard.claim(host), now);
        if (isOurs && left.has(host)) hosts.push(host);
      }
    }
    if (hosts.length > 0) await handOver.send(hosts, randomUUID());
  }

  #isWanted(batch: Batch): boolean {
    return this.#prober.targetsOf(batch).some((target) => this.#wanted.has(target));
  }

  /** Takes batches that nobody waits for out of the queue, and ends their claims. */
  async #dropUnwanted(until: number): Promise<void> {
    const unwanted = this.#polls.takeUnwanted();
    const writes = unwanted.map(async ({ targets, claimedUntil, parent }) => {
      const outcome = parent?.polled.outcome ?? unchanged;
      if (claimedUntil !== undefined) await this.#table.write(targets, this.#claims.ending(outcome), until);
    });
    await Promise.all([...writes, ...unwanted.map((batch) => this.#prober.notice(batch))]);
  }

  /** Runs the one loop of this environment, or has it go round once more. */
  #wake(): void {
    this.#isDirty = true;
    if (this.#running) return;
    this.#running = true;
    this.#loop = this.#run();
  }

  async #run(): Promise<void> {
    try {
      // What comes while a round waits for the table marks it dirty, so that no want is overlooked.
      while (this.#isDirty) {
        this.#isDirty = false;
        await this.#lookAtTable();
        for (const [shard, { waiters }] of this.#wanted.shards) this.#settle(shard, waiters);
        await this.#claim();
        this.#polls.send();
      }
    } catch (error) {
      this.#options.counts.fault('InternalFaults', error);
    } finally {
      this.#running = false;
    }
  }

  async #lookAtTable(): Promise<void> {
    const now = this.#options.clock.now();
    const looks: Promise<void>[] = [];
    const isRereadDue = this.#rereads.takeDue();
    for (const [shard, wanted] of this.#wanted.shards) {
      if (wanted.waits && isRereadDue) {
        looks.push(this.#table.look(shard, 'strong', this.#tableBy(shard)));
      } else if (!shard.serves(now)) {
        looks.push(this.#table.look(shard, 'eventual', this.#tableBy(shard)));
      }
    }
    await Promise.all(looks);
  }

  /** Decides those of the hosts that memory decides by now. */
  #settle(shard: ShardActor, waitersByHost: ReadonlyMap<string, ReadonlySet<Waiter>>): void {
    const now = this.#options.clock.now();
    for (const [host, waiters] of [...waitersByHost]) {
      const entry = shard.known(host, now);
      for (const waiter of [...waiters]) {
        if (!this.#isDecided(waiter, host, entry, now)) continue;
        waiter.decide(host, entry, this.#polls.busy.has(host));
        this.#wanted.decided({ shard, host }, waiter);
      }
    }
  }

  /** Whether a host is decided for a waiter, which may also wait for what a probe shows. */
  #isDecided(waiter: Waiter, host: string, known: Entry, now: number): boolean {
    return !this.#prober.isWaitedForBy(waiter, host) && this.#isKnown(waiter, host, known, now);
  }

  /** Whether a waiter has what it wants: by what is known of the host, or by what decided it for this waiter before. */
  #isKnown(waiter: Waiter, host: string, known: Entry, now: number): boolean {
    const decided = waiter.decided.get(host);
    const entry = decided === undefined ? known : merge(decided, known, now);
    const { deadline, refresh } = waiter.invocation;
    const since = refresh?.renewSince;
    const found = finding(entry, now, deadline.arrivedAt, this.#options.timing);
    return found !== undefined && (since === undefined || isRenewed(entry, since, deadline.arrivedAt, now));
  }

  /** Claims the stale hosts that nobody else has claimed, as many as can soon be polled, and queues their polls. */
  async #claim(): Promise<void> {
    const { clock, plan } = this.#options;
    const { clear, doubtful, handed } = this.#unclaimed(clock.now());
    this.#rereads.plan(this.#wanted.shards.some(([, { waits }]) => waits));
    const claims = nextClaims(clear, this.#polls.load, plan);
    await Promise.all([
      this.#claimAndPoll(claims),
      doubtful.length > 0 ? this.#prober.probe(doubtful) : undefined,
      handed.length > 0 ? this.#handOver(handed) : undefined,
    ]);
    await this.#dropUnwanted(clock.now() + GRACE_MS);
  }

  /** The wanted hosts that nobody has claimed, in the order of their shards. */
  #unclaimed(now: number): Unclaimed {
    const { requestCount } = this.#options.plan;
    const unclaimed: Unclaimed = { clear: [], doubtful: [], handed: [] };
    for (const [shard, wanted] of this.#wanted.shards) {
      const hosts = { clear: [] as Target[], doubtful: [] as Target[], handed: [] as Target[] };
      wanted.waits = false;
      for (const [host, waiters] of wanted.waiters) {
        if (this.#polls.busy.has(host) || this.#prober.holds(host)) continue;
        if (this.#claims.isOthers(shard.claim(host), now)) {
          wanted.waits = true;
          continue;
        }
        const entry = shard.known(host, now);
        const isDoubtful = companyNow(entry, now)?.before !== undefined;
        const target = { host, shard, most: mostTogether(host, entry, now, requestCount) };
        if (this.#isHandedOver(waiters)) hosts.handed.push(target);
        else (isDoubtful ? hosts.doubtful : hosts.clear).push(target);
      }
      for (const kind of ['clear', 'doubtful', 'handed'] as const) {
        if (hosts[kind].length > 0) unclaimed[kind].push({ shard, hosts: hosts[kind] });
      }
    }
    return unclaimed;
  }

  /** Whether none of those who wait has the time to poll. Without the table there is nowhere to hand anything over. */
  #isHandedOver(waiters: ReadonlySet<Waiter>): boolean {
    const { handOver, pollTimeoutMs } = this.#options;
    if (handOver === undefined || !handOver.isUp() || this.#table.isTableDown()) return false;
    for (const { invocation } of waiters) {
      if (invocation.refresh !== undefined || !isShort(invocation.deadline, pollTimeoutMs)) return false;
    }
    return true;
  }

  /** Claims hosts and queues their polls; those that the table took no claim of stand apart. */
  async #claimAndPoll(claims: readonly Stale<ShardActor>[]): Promise<void> {
    const claimed = await Promise.all(claims.map(({ shard, hosts }) => this.#take(shard, hosts)));
    const withClaim = claimed.filter(({ until }) => until !== undefined);
    const without = claimed.filter(({ until }) => until === undefined);
    const until = Math.min(...withClaim.map((each) => each.until ?? Infinity));
    this.#polls.add(
      withClaim.flatMap(({ targets }) => targets),
      until,
    );
    this.#polls.add(
      without.flatMap(({ targets }) => targets),
      undefined,
    );
  }

  /** Claims hosts of a shard, which are busy from now on. */
  async #take(
    shard: ShardActor,
    hosts: Stale<ShardActor>['hosts'],
    more: Partial<Parameters<Claims['take']>[2]> = {},
  ): ReturnType<Claims['take']> {
    const { busy } = this.#polls;
    for (const { host } of hosts) busy.add(host);
    const claimed = await this.#claims.take(shard, hosts, {
      isNeeded: (host, _stored, now) => {
        const entry = shard.known(host, now);
        return this.#wanted.someWaiter({ shard, host }, (waiter) => !this.#isKnown(waiter, host, entry, now));
      },
      isAsked: (host) => this.#wanted.someWaiter({ shard, host }, ({ invocation }) => invocation.refresh === undefined),
      by: this.#tableBy(shard),
      ...more,
    });
    const taken = new Set(claimed.targets.map(({ host }) => host));
    for (const { host } of hosts) if (!taken.has(host)) busy.delete(host);
    if (taken.size < hosts.length) this.#isDirty = true;
    return claimed;
  }

  /** Renews this environment's claims on hosts that are busy. */
  async #claimAgain(targets: readonly Target[]): Promise<Claimed> {
    const claimed = await Promise.all(
      Array.from(
        Map.groupBy(targets, ({ shard }) => shard),
        ([shard, hosts]) =>
          this.#claims.take(shard, hosts, { isNeeded: () => true, isAsked: () => false, by: this.#tableBy(shard) }),
      ),
    );
    const names = new Set(claimed.flatMap((each) => each.targets.map(({ host }) => host)));
    const untils = claimed.map(({ until }) => until);
    return {
      targets: targets.filter(({ host }) => names.has(host)),
      until: untils.includes(undefined) ? undefined : Math.min(...untils.map((until) => until ?? Infinity)),
    };
  }

  /** Claims hosts in a name of their own and hands them over in it; from then on they are claimed by somebody else. */
  async #handOver(handed: readonly Stale<ShardActor>[]): Promise<void> {
    const owner = randomUUID();
    const claimed = await Promise.all(handed.map(({ shard, hosts }) => this.#take(shard, hosts, { owner })));
    const targets = claimed.filter(({ until }) => until !== undefined).flatMap((each) => each.targets);
    const without = claimed.filter(({ until }) => until === undefined).flatMap((each) => each.targets);
    this.#polls.add(without, undefined);
    if (targets.length > 0) this.#goOnBeside(this.#send(targets, owner));
  }

  async #send(targets: readonly Target[], owner: string): Promise<void> {
    const { clock, handOver } = this.#options;
    const names = targets.map(({ host }) => host);
    const notTaken = new Set(handOver === undefined ? names : await handOver.send(names, owner));
    const back = targets.filter(({ host }) => notTaken.has(host));
    await this.#table.write(back, this.#claims.ending(unchanged, owner), clock.now() + GRACE_MS);
    for (const host of names) this.#polls.busy.delete(host);
    this.#wake();
  }

  #sending({ targets }: Batch): void {
    const { clock, counts, timing } = this.#options;
    const now = clock.now();
    for (const { invocation } of this.#wanted.waitersOf(targets)) invocation.polls++;
    counts.add(
      'PolledAhead',
      targets.filter(({ shard, host }) => isAttested(shard.known(host, now), now, timing)).length,
    );
  }

  /** Writes what came of a batch, and what that shows of the hosts that wait for a probe. */
  async #finish(batch: Batch, polled: Polled): Promise<void> {
    const { announcer, clock } = this.#options;
    const { targets } = batch;
    const outcome = announcer === undefined ? polled.outcome : announcing(polled.outcome);
    await this.#table.write(targets, this.#claims.ending(outcome), this.#writeBy(targets));
    // The probe's own result must be there before the end of its round is written over it.
    await this.#prober.notice(batch, polled);
    const shards = new Set(targets.map(({ shard }) => shard));
    const hosts = new Set(targets.map(({ host }) => host));
    for (const [shard, { waiters }] of this.#wanted.shards) {
      if (shards.has(shard)) this.#settle(shard, new Map([...waiters].filter(([host]) => hosts.has(host))));
    }
    if (announcer !== undefined) this.#goOnBeside(announcer.announce(targets, clock.now() + GRACE_MS));
  }

  #goOnBeside(work: Promise<void>): void {
    const guarded = work
      .catch((error: unknown) => this.#options.counts.fault('InternalFaults', error))
      .finally(() => this.#beside.delete(guarded));
    this.#beside.add(guarded);
  }

  /** When to give up writing a result: not so late that the answers which wait for it would be. */
  #writeBy(targets: readonly Target[]): number {
    const now = this.#options.clock.now();
    if (this.#table.isTableDown()) return now + GRACE_MS;
    const deadlines = Array.from(this.#wanted.waitersOf(targets), (waiter) => waiter.invocation.deadline);
    const tableBy = Math.max(now, ...deadlines.map((deadline) => deadline.tableBy));
    return Math.min(tableBy, ...deadlines.map((deadline) => deadline.answerBy - ANSWER_MS));
  }

  #tableBy(shard: ShardActor): number {
    return this.#wanted.tableBy(shard) ?? this.#options.clock.now();
  }
}

const unchanged: Outcome = (_host, entry) => entry;

/** The same outcome, and that it is to be announced, where the level of a host changed. */
function announcing(outcome: Outcome): Outcome {
  return (host, entry, now) => withChange(entry, outcome(host, entry, now));
}
