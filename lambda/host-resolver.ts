import { randomUUID } from 'node:crypto';
import { waitUntil } from './clock.ts';
import { type Entry, finding, isClaimed, newClaim, hourOf, merge, pollLimit } from './entry.ts';
import { type Outcome, Poller, type PollerOptions } from './poller.ts';
import { cutIntoPolls, nextClaims, type PollPlan, type Stale } from './polls.ts';
import type { Change, ShardActor, ShardActorParts } from './shard-actor.ts';
import type { Waiter } from './waiter.ts';

export interface HostResolverOptions extends ShardActorParts, PollerOptions {
  readonly plan: PollPlan;
}

const FIRST_REREAD_MS = 250;
const LONGEST_REREAD_MS = 1_000;
const REREAD_GROWTH = 1.1;
/** How long after a table that did not answer polls go out without asking it first. */
const TABLE_PAUSE_MS = 5_000;
/** How long before a request's answer the last write for it is given up. */
const ANSWER_MS = 50;
/** How long a write may take that no half of a deadline is left for. */
const GRACE_MS = 300;

/** The hosts of a shard that requests wait for. */
interface Wanted {
  readonly waiters: Map<string, Set<Waiter>>;
  /** Whether others have claimed some of the hosts. */
  waits: boolean;
}

interface Target {
  readonly host: string;
  readonly shard: ShardActor;
}

/** Hosts that are polled together, in the order of their shards. */
interface Batch {
  readonly targets: readonly Target[];
  /** Until when the hosts are claimed; undefined where the table could not take a claim. */
  readonly claimedUntil: number | undefined;
  readonly abort: AbortController;
  done: Promise<void>;
}

/**
 * Brings hosts that memory does not decide to a decision: looks at the table, waits for what others have claimed, claims
 * and polls the rest. One for an environment, so that its requests share everything that is under way.
 */
export class HostResolver {
  readonly #options: HostResolverOptions;
  readonly #poller: Poller;
  readonly #owner = randomUUID();
  readonly #wanted = new Map<ShardActor, Wanted>();
  /** Hosts that are being claimed, are queued or polled by this environment. */
  readonly #busy = new Set<string>();
  #queue: Batch[] = [];
  readonly #underWay = new Set<Batch>();
  #running = false;
  #round: Promise<void> = Promise.resolve();
  #isDirty = false;
  /** Whether to look again for what others have claimed, and how often that was done. */
  #reread: 'none' | 'planned' | 'due' = 'none';
  #rereads = 0;
  #tableFailedAt = -Infinity;

  constructor(options: HostResolverOptions) {
    this.#options = options;
    this.#poller = new Poller(options);
  }

  /** Looks at those of the shards that were not looked at lately. */
  async look(shards: Iterable<ShardActor>, until: number): Promise<void> {
    const now = this.#options.clock.now();
    const old = [...shards].filter((shard) => !shard.serves(now));
    await Promise.all(old.map((shard) => shard.look('eventual', until)));
  }

  /** Waits until every host is decided for the waiter, or its time to wait is over. */
  async resolve(hostsByShard: ReadonlyMap<ShardActor, readonly string[]>, waiter: Waiter): Promise<void> {
    const { clock } = this.#options;
    const { deadline } = waiter.invocation;
    const hosts = [...hostsByShard.values()].flat();
    const done = waiter.waitFor(new Set(hosts));
    for (const [shard, wantedHosts] of hostsByShard) {
      let wanted = this.#wanted.get(shard);
      if (wanted === undefined) {
        wanted = { waiters: new Map(), waits: false };
        this.#wanted.set(shard, wanted);
      }
      for (const host of wantedHosts) {
        const others = wanted.waiters.get(host);
        if (others === undefined) wanted.waiters.set(host, new Set([waiter]));
        else others.add(waiter);
      }
    }
    this.#wake();
    await waitUntil(deadline.stopAt, done, clock);
    await this.#leave(hostsByShard, waiter);
  }

  /** Takes a waiter out, and ends what nobody waits for any more: a poll must not outlive its requests. */
  async #leave(hostsByShard: ReadonlyMap<ShardActor, readonly string[]>, waiter: Waiter): Promise<void> {
    const { clock } = this.#options;
    for (const [shard, hosts] of hostsByShard) {
      const wanted = this.#wanted.get(shard);
      if (wanted === undefined) continue;
      for (const host of hosts) {
        const waiters = wanted.waiters.get(host);
        waiters?.delete(waiter);
        if (waiters?.size === 0) wanted.waiters.delete(host);
      }
      if (wanted.waiters.size === 0) this.#wanted.delete(shard);
    }
    const ended: Promise<unknown>[] = [];
    for (const batch of this.#underWay) {
      if (this.#isWanted(batch)) continue;
      batch.abort.abort();
      ended.push(batch.done);
    }
    // A claim that is being written is ended by the round that writes it.
    if (this.#wanted.size === 0) ended.push(this.#round);
    ended.push(this.#dropUnwanted(waiter.invocation.deadline.answerBy - ANSWER_MS));
    await waitUntil(waiter.invocation.deadline.answerBy - ANSWER_MS, Promise.all(ended), clock);
  }

  #isWanted({ targets }: Batch): boolean {
    return targets.some(({ shard, host }) => this.#wanted.get(shard)?.waiters.has(host) === true);
  }

  /** Takes batches that nobody waits for out of the queue, and ends their claims. */
  async #dropUnwanted(until: number): Promise<void> {
    const unwanted = this.#queue.filter((batch) => !this.#isWanted(batch));
    if (unwanted.length === 0) return;
    this.#queue = this.#queue.filter((batch) => !unwanted.includes(batch));
    for (const { host } of unwanted.flatMap((batch) => batch.targets)) this.#busy.delete(host);
    const claimed = unwanted.filter((batch) => batch.claimedUntil !== undefined).flatMap((batch) => batch.targets);
    await this.#write(claimed, (_host, entry) => entry, until);
  }

  /** Runs the one loop of this environment, or has it go round once more. */
  #wake(): void {
    this.#isDirty = true;
    if (this.#running) return;
    this.#running = true;
    this.#round = this.#run();
  }

  async #run(): Promise<void> {
    try {
      // What comes while a round waits for the table marks it dirty, so that no want is overlooked.
      while (this.#isDirty) {
        this.#isDirty = false;
        await this.#lookAtTable();
        for (const [shard, wanted] of [...this.#wanted]) this.#settle(shard, wanted, [...wanted.waiters.keys()]);
        await this.#claim();
        this.#sendPolls();
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
    const isRereadDue = this.#reread === 'due';
    if (isRereadDue) this.#reread = 'none';
    for (const [shard, wanted] of this.#wanted) {
      if (wanted.waits && isRereadDue) {
        looks.push(shard.look('strong', this.#tableBy(wanted)));
      } else if (!shard.serves(now)) {
        looks.push(shard.look('eventual', this.#tableBy(wanted)));
      }
    }
    await Promise.all(looks);
  }

  /** Decides those of the hosts that memory decides by now. */
  #settle(shard: ShardActor, wanted: Wanted, hosts: Iterable<string>): void {
    const now = this.#options.clock.now();
    for (const host of hosts) {
      const waiters = wanted.waiters.get(host);
      if (waiters === undefined) continue;
      const entry = shard.known(host, now);
      for (const waiter of waiters) {
        if (!this.#isDecided(waiter, host, entry, now)) continue;
        waiter.decide(host, entry, this.#busy.has(host));
        waiters.delete(waiter);
      }
      if (waiters.size === 0) wanted.waiters.delete(host);
    }
    if (wanted.waiters.size === 0) this.#wanted.delete(shard);
  }

  /** Whether a host is decided for a waiter: by what is known of it, or by what decided it for this waiter before. */
  #isDecided(waiter: Waiter, host: string, known: Entry, now: number): boolean {
    const decided = waiter.decided.get(host);
    const entry = decided === undefined ? known : merge(decided, known, now);
    return finding(entry, now, waiter.invocation.deadline.arrivedAt, this.#options.timing) !== undefined;
  }

  /** Claims the stale hosts that nobody else has claimed, as many as can soon be polled, and queues their polls. */
  async #claim(): Promise<void> {
    const { clock, plan } = this.#options;
    const stale: Stale<ShardActor>[] = [];
    const now = clock.now();
    for (const [shard, wanted] of this.#wanted) {
      const hosts: string[] = [];
      let waits = false;
      for (const host of wanted.waiters.keys()) {
        if (this.#busy.has(host)) continue;
        if (this.#isClaimedByOther(shard.claim(host), now)) waits = true;
        else hosts.push(host);
      }
      if (hosts.length > 0) stale.push({ shard, hosts });
      wanted.waits = waits;
    }
    this.#planReread();
    stale.sort((a, b) => a.shard.index - b.shard.index);
    const claims = nextClaims(stale, this.#busy.size, plan);
    const batches = await Promise.all(claims.map(({ shard, hosts }) => this.#claimShard(shard, hosts)));
    const claimed = batches.flatMap((batch) => batch.claimed);
    const unclaimed = batches.flatMap((batch) => batch.unclaimed);
    const claimedUntil = Math.min(...batches.map((batch) => batch.until));
    this.#enqueue(claimed, claimedUntil);
    this.#enqueue(unclaimed, undefined);
    await this.#dropUnwanted(clock.now() + GRACE_MS);
  }

  async #claimShard(
    shard: ShardActor,
    hosts: readonly string[],
  ): Promise<{ claimed: Target[]; unclaimed: Target[]; until: number }> {
    const { clock } = this.#options;
    const wanted = this.#wanted.get(shard);
    const targets = hosts.map((host) => ({ host, shard }));
    for (const host of hosts) this.#busy.add(host);
    const claimed = new Set<string>();
    let until = Infinity;
    const apply = (host: string, stored: Entry, now: number): Entry => {
      claimed.delete(host);
      if (this.#isClaimedByOther(stored.claim, now)) return stored;
      const waiters = [...(wanted?.waiters.get(host) ?? [])];
      const entry = shard.known(host, now);
      if (waiters.every((waiter) => this.#isDecided(waiter, host, entry, now))) return stored;
      claimed.add(host);
      const claim = newClaim(this.#owner, now, this.#poller.limitMs);
      until = claim.until;
      return { ...stored, claim, asked: hourOf(now) };
    };
    const tableWasDown = this.#isTableDown();
    const written = !tableWasDown && (await shard.write({ hosts, apply, until: this.#tableBy(wanted) }));
    if (!written) {
      if (!tableWasDown) this.#tableFailedAt = clock.now();
      return { claimed: [], unclaimed: targets, until: Infinity };
    }
    for (const host of hosts) if (!claimed.has(host)) this.#busy.delete(host);
    if (claimed.size < hosts.length) this.#isDirty = true;
    return { claimed: targets.filter(({ host }) => claimed.has(host)), unclaimed: [], until };
  }

  #enqueue(targets: readonly Target[], claimedUntil: number | undefined): void {
    for (const part of cutIntoPolls(targets, this.#options.plan.requestCount)) {
      this.#queue.push({ targets: part, claimedUntil, abort: new AbortController(), done: Promise.resolve() });
    }
  }

  #sendPolls(): void {
    const { clock, plan } = this.#options;
    const waiting: Batch[] = [];
    for (const batch of this.#queue) {
      const { claimedUntil } = batch;
      // Without a claim, others may be polling the same hosts: one such poll at a time.
      const mustWait =
        claimedUntil === undefined && [...this.#underWay].some((other) => other.claimedUntil === undefined);
      if (mustWait || this.#underWay.size >= plan.parallelPolls) {
        waiting.push(batch);
        continue;
      }
      const limitMs = pollLimit(this.#poller.limitMs, claimedUntil, clock.now());
      if (limitMs === undefined) {
        // The claim waited so long that it would end before a poll could: claim again.
        for (const { host } of batch.targets) this.#busy.delete(host);
        this.#isDirty = true;
        continue;
      }
      this.#underWay.add(batch);
      batch.done = this.#poll(batch, limitMs)
        .catch((error: unknown) => this.#options.counts.fault('InternalFaults', error))
        .finally(() => {
          this.#underWay.delete(batch);
          for (const { host } of batch.targets) this.#busy.delete(host);
          this.#wake();
        });
    }
    this.#queue = waiting;
  }

  async #poll(batch: Batch, limitMs: number): Promise<void> {
    const { counts } = this.#options;
    const { targets } = batch;
    if (batch.claimedUntil === undefined) counts.add('PollsWithoutClaim');
    for (const { invocation } of this.#waitersOf(targets)) invocation.polls++;
    const outcome = await this.#poller.poll(
      targets.map(({ host }) => host),
      limitMs,
      batch.abort.signal,
    );
    await this.#write(targets, outcome, this.#writeBy(targets));
    for (const [shard, hosts] of groupByShard(targets)) {
      const wanted = this.#wanted.get(shard);
      if (wanted !== undefined) this.#settle(shard, wanted, hosts);
    }
  }

  /** Writes what a poll brought, and ends this environment's claims on its hosts. */
  async #write(targets: readonly Target[], outcome: Outcome, until: number): Promise<void> {
    const writes = Array.from(groupByShard(targets), async ([shard, hosts]) => {
      const apply: Change['apply'] = (host, entry, now) => {
        const changed = outcome(host, entry, now);
        return changed.claim?.owner === this.#owner ? { ...changed, claim: undefined } : changed;
      };
      if (await shard.write({ hosts, apply, until })) return;
      this.#tableFailedAt = this.#options.clock.now();
      shard.remember({ hosts, apply, until });
    });
    await Promise.all(writes);
  }

  #isTableDown(): boolean {
    return this.#options.clock.now() < this.#tableFailedAt + TABLE_PAUSE_MS;
  }

  /** When to give up writing a result: not so late that the answers which wait for it would be. */
  #writeBy(targets: readonly Target[]): number {
    const now = this.#options.clock.now();
    if (this.#isTableDown()) return now + GRACE_MS;
    const deadlines = Array.from(this.#waitersOf(targets), (waiter) => waiter.invocation.deadline);
    const tableBy = Math.max(now, ...deadlines.map((deadline) => deadline.tableBy));
    return Math.min(tableBy, ...deadlines.map((deadline) => deadline.answerBy - ANSWER_MS));
  }

  #waitersOf(targets: readonly Target[]): Set<Waiter> {
    const waiters = new Set<Waiter>();
    for (const { shard, host } of targets) {
      for (const waiter of this.#wanted.get(shard)?.waiters.get(host) ?? []) waiters.add(waiter);
    }
    return waiters;
  }

  #isClaimedByOther(claim: Entry['claim'], now: number): boolean {
    return isClaimed(claim, now) && claim.owner !== this.#owner;
  }

  /** Half of the time of the request that has the least: until then the table is asked again where it fails. */
  #tableBy(wanted: Wanted | undefined): number {
    let by = Infinity;
    for (const waiters of wanted?.waiters.values() ?? []) {
      for (const { invocation } of waiters) by = Math.min(by, invocation.deadline.tableBy);
    }
    return Number.isFinite(by) ? by : this.#options.clock.now();
  }

  /** Looks again, after a while, for what others have claimed: at all such shards at once. */
  #planReread(): void {
    const { clock } = this.#options;
    if (![...this.#wanted.values()].some(({ waits }) => waits)) {
      this.#rereads = 0;
    } else if (this.#reread === 'none') {
      this.#reread = 'planned';
      const delayMs = Math.min(LONGEST_REREAD_MS, FIRST_REREAD_MS * REREAD_GROWTH ** this.#rereads++);
      void clock.wait(delayMs * (0.75 + Math.random() / 4)).then(() => {
        this.#reread = 'due';
        if (this.#wanted.size > 0) this.#wake();
      });
    }
  }
}

function groupByShard(targets: readonly Target[]): Map<ShardActor, string[]> {
  const groups = new Map<ShardActor, string[]>();
  for (const { shard, host } of targets) {
    const hosts = groups.get(shard);
    if (hosts === undefined) groups.set(shard, [host]);
    else hosts.push(host);
  }
  return groups;
}
