import { randomUUID } from 'node:crypto';
import { waitUntil } from './clock.ts';
import { mostTogether } from './company.ts';
import { companyNow, type Entry, finding, held, hourOf, isClaimed, merge, newClaim } from './entry.ts';
import { type Batch, PollQueue, type Target } from './poll-queue.ts';
import { type Outcome, type Polled, Poller, type PollerOptions } from './poller.ts';
import { nextClaims, pickProbes, type PollPlan, type Stale } from './polls.ts';
import { ProbeRound } from './probe-round.ts';
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

/** The hosts of a shard that nobody has claimed: those to poll, and those of which it is in doubt why they failed. */
interface Unclaimed {
  readonly clear: Stale<ShardActor>[];
  readonly doubtful: Stale<ShardActor>[];
}

/** Whether this environment has claimed hosts of a shard, and until when. */
interface Claimed {
  /** Undefined where the table did not take the claim; the hosts are then polled without. */
  readonly until: number | undefined;
  readonly targets: readonly Target[];
}

/**
 * Brings hosts that memory does not decide to a decision: looks at the table, waits for what others have claimed, claims
 * and polls the rest. One for an environment, so that its requests share everything that is under way.
 */
export class HostResolver {
  readonly #options: HostResolverOptions;
  readonly #poller: Poller;
  readonly #polls: PollQueue;
  readonly #owner = randomUUID();
  readonly #wanted = new Map<ShardActor, Wanted>();
  #round: ProbeRound | undefined;
  #running = false;
  #loop: Promise<void> = Promise.resolve();
  #isDirty = false;
  /** Whether to look again for what others have claimed, and how often that was done. */
  #reread: 'none' | 'planned' | 'due' = 'none';
  #rereads = 0;
  #tableFailedAt = -Infinity;

  constructor(options: HostResolverOptions) {
    this.#options = options;
    this.#poller = new Poller(options);
    this.#polls = new PollQueue({
      ...options,
      poller: this.#poller,
      isWanted: (batch) => this.#isWanted(batch),
      sending: ({ targets }) => {
        for (const { invocation } of this.#waitersOf(targets)) invocation.polls++;
      },
      finish: (batch, polled) => this.#finish(batch, polled),
      freed: () => this.#wake(),
    });
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
    await waitUntil(waiter.invocation.deadline.answerBy - ANSWER_MS, this.#endUnwanted(waiter), clock);
  }

  async #endUnwanted(waiter: Waiter): Promise<void> {
    const until = waiter.invocation.deadline.answerBy - ANSWER_MS;
    // A claim that is being written is ended by the loop that writes it.
    const loop = this.#wanted.size === 0 ? this.#loop : undefined;
    await Promise.all([this.#dropUnwanted(until), this.#polls.abortUnwanted(), loop]);
    // A batch that was refused just now has left its parts in the queue.
    await this.#dropUnwanted(until);
  }

  #isWanted({ targets, isProbe }: Batch): boolean {
    const hosts = isProbe && this.#round !== undefined ? this.#round.targets : targets;
    return hosts.some(({ shard, host }) => this.#wanted.get(shard)?.waiters.has(host) === true);
  }

  /** Takes batches that nobody waits for out of the queue, and ends their claims. */
  async #dropUnwanted(until: number): Promise<void> {
    const unwanted = this.#polls.takeUnwanted();
    const writes = unwanted.map(async ({ targets, claimedUntil, parent }) => {
      const outcome = parent?.polled.outcome ?? unchanged;
      if (claimedUntil !== undefined) await this.#write(targets, this.#endingClaims(outcome), until);
    });
    await Promise.all([...writes, ...unwanted.map((batch) => this.#notice(batch, NOT_POLLED))]);
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
        for (const [shard, wanted] of [...this.#wanted]) this.#settle(shard, wanted, [...wanted.waiters.keys()]);
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
        waiter.decide(host, entry, this.#polls.busy.has(host));
        waiters.delete(waiter);
      }
      if (waiters.size === 0) wanted.waiters.delete(host);
    }
    if (wanted.waiters.size === 0) this.#wanted.delete(shard);
  }

  /** Whether a host is decided for a waiter: by what is known of it, or by what decided it for this waiter before. */
  #isDecided(waiter: Waiter, host: string, known: Entry, now: number): boolean {
    return this.#round?.isWaitedForBy(waiter, host) !== true && this.#isKnown(waiter, host, known, now);
  }

  #isKnown(waiter: Waiter, host: string, known: Entry, now: number): boolean {
    const decided = waiter.decided.get(host);
    const entry = decided === undefined ? known : merge(decided, known, now);
    return finding(entry, now, waiter.invocation.deadline.arrivedAt, this.#options.timing) !== undefined;
  }

  /** Claims the stale hosts that nobody else has claimed, as many as can soon be polled, and queues their polls. */
  async #claim(): Promise<void> {
    const { clock, plan } = this.#options;
    const { clear, doubtful } = this.#unclaimed(clock.now());
    this.#planReread();
    const claims = nextClaims(clear, this.#polls.load, plan);
    await Promise.all([
      this.#claimAll(claims).then((claimed) =>
        claimed.forEach(({ targets, until }) => this.#polls.add(targets, until)),
      ),
      doubtful.length > 0 ? this.#probe(doubtful) : undefined,
    ]);
    await this.#dropUnwanted(clock.now() + GRACE_MS);
  }

  /** The wanted hosts that nobody has claimed, in the order of their shards. */
  #unclaimed(now: number): Unclaimed {
    const { requestCount } = this.#options.plan;
    const clear: Stale<ShardActor>[] = [];
    const doubtful: Stale<ShardActor>[] = [];
    for (const [shard, wanted] of [...this.#wanted].sort(([a], [b]) => a.index - b.index)) {
      const hosts = { clear: [] as Target[], doubtful: [] as Target[] };
      wanted.waits = false;
      for (const host of wanted.waiters.keys()) {
        if (this.#polls.busy.has(host) || this.#round?.holds(host) === true) continue;
        if (this.#isClaimedByOther(shard.claim(host), now)) {
          wanted.waits = true;
          continue;
        }
        const entry = shard.known(host, now);
        const isDoubtful = companyNow(entry, now)?.before !== undefined;
        const target = { host, shard, most: mostTogether(host, entry, now, requestCount) };
        (isDoubtful ? hosts.doubtful : hosts.clear).push(target);
      }
      if (hosts.clear.length > 0) clear.push({ shard, hosts: hosts.clear });
      if (hosts.doubtful.length > 0) doubtful.push({ shard, hosts: hosts.doubtful });
    }
    return { clear, doubtful };
  }

  /** Claims hosts of several shards; those that the table took no claim of stand apart. */
  async #claimAll(claims: readonly Stale<ShardActor>[]): Promise<Claimed[]> {
    const claimed = await Promise.all(claims.map(({ shard, hosts }) => this.#claimShard(shard, hosts)));
    const withClaim = claimed.filter(({ until }) => until !== undefined);
    const without = claimed.filter(({ until }) => until === undefined);
    return [
      {
        targets: withClaim.flatMap(({ targets }) => targets),
        until: Math.min(...withClaim.map(({ until }) => until ?? Infinity)),
      },
      { targets: without.flatMap(({ targets }) => targets), until: undefined },
    ].filter(({ targets }) => targets.length > 0);
  }

  /** @param waiting hosts of the shard, claimed or not, that wait for a probe, and until when */
  async #claimShard(
    shard: ShardActor,
    hosts: Stale<ShardActor>['hosts'],
    waiting: { readonly hosts: readonly string[]; readonly until: number } = { hosts: [], until: 0 },
  ): Promise<Claimed> {
    const { clock } = this.#options;
    const wanted = this.#wanted.get(shard);
    const busy = this.#polls.busy;
    const targets = hosts.map(({ host, most }) => ({ host, most, shard }));
    for (const { host } of hosts) busy.add(host);
    const asked = new Set(hosts.map(({ host }) => host));
    const claimed = new Set<string>();
    const others = new Set(waiting.hosts);
    let until: number | undefined = Infinity;
    const apply = (host: string, stored: Entry, now: number): Entry => {
      claimed.delete(host);
      if (this.#isClaimedByOther(stored.claim, now)) return stored;
      const waiters = [...(wanted?.waiters.get(host) ?? [])];
      const entry = shard.known(host, now);
      if (waiters.every((waiter) => this.#isKnown(waiter, host, entry, now))) return stored;
      const claim = newClaim(this.#owner, now, this.#poller.limitMs);
      const next = others.has(host) ? held(stored, waiting.until) : stored;
      if (!asked.has(host)) return next;
      claimed.add(host);
      until = claim.until;
      return { ...next, claim, asked: hourOf(now) };
    };
    const tableWasDown = this.#isTableDown();
    const all = new Set([...asked, ...others]);
    const written = !tableWasDown && (await shard.write({ hosts: all, apply, until: this.#tableBy(wanted) }));
    if (!written) {
      if (!tableWasDown) this.#tableFailedAt = clock.now();
      return { targets, until: undefined };
    }
    for (const { host } of hosts) if (!claimed.has(host)) busy.delete(host);
    if (claimed.size < hosts.length) this.#isDirty = true;
    return { targets: targets.filter(({ host }) => claimed.has(host)), until };
  }

  /** Probes the service with a few of the hosts of which it is in doubt why they failed, and has the others wait. */
  async #probe(doubtful: readonly Stale<ShardActor>[]): Promise<void> {
    const { clock, counts } = this.#options;
    const now = clock.now();
    const targets = doubtful.flatMap(({ shard, hosts }) => hosts.map((host) => ({ ...host, shard })));
    const probes = new Set<string>();
    let round = this.#round;
    const isNew = round === undefined;
    if (round === undefined) {
      const wasAnswered = ({ shard, host }: Target): boolean => shard.known(host, now).attestation !== undefined;
      const candidates = targets.map((target) => ({ target, wasAnswered: wasAnswered(target) }));
      for (const { target } of pickProbes(candidates, Math.random)) probes.add(target.host);
      const heldUntil = newClaim(this.#owner, now, this.#poller.limitMs).until;
      round = new ProbeRound({ targets, waiters: this.#waitersOf(targets), startedAt: now, heldUntil });
      this.#round = round;
    } else {
      round.join(targets);
    }
    const { heldUntil } = round;
    const claimed = await Promise.all(
      doubtful.map(({ shard, hosts }) => {
        const own = hosts.filter(({ host }) => probes.has(host));
        return this.#claimShard(shard, own, { hosts: hosts.map(({ host }) => host), until: heldUntil });
      }),
    );
    if (!isNew) return;
    const polls = claimed.flatMap(({ targets: own, until }) => own.map((target) => ({ target, until })));
    counts.add('Probes', polls.length);
    round.begin(polls.length);
    for (const { target, until } of polls) this.#polls.addProbe(target, until);
    // Others have claimed or decided the hosts meanwhile.
    if (polls.length === 0) await this.#notice({ isProbe: false }, NOT_POLLED);
  }

  /** Writes what came of a batch, and what that shows of the hosts that wait for a probe. */
  async #finish(batch: Batch, polled: Polled): Promise<void> {
    const { targets } = batch;
    await this.#write(targets, this.#endingClaims(polled.outcome), this.#writeBy(targets));
    await this.#notice(batch, polled);
    for (const [shard, hosts] of groupByShard(targets)) {
      const wanted = this.#wanted.get(shard);
      if (wanted !== undefined) this.#settle(shard, wanted, hosts);
    }
  }

  /** Ends the round of probes, where a poll shows how it ends. */
  async #notice(
    { isProbe }: Pick<Batch, 'isProbe'>,
    { isAnswered, isConclusive }: Pick<Polled, 'isAnswered' | 'isConclusive'>,
  ): Promise<void> {
    const { clock, counts, timing } = this.#options;
    const round = this.#round;
    const finding = round?.notice({ isProbe, isAnswered, isConclusive });
    if (round === undefined || finding === undefined) return;
    if (finding === 'hangs') counts.add('ProbesFailed');
    const { targets } = round;
    const change = round.outcome(finding, clock.now(), timing);
    await this.#write(targets, change, this.#writeBy(targets));
    this.#round = undefined;
    this.#wake();
  }

  /** The same outcome, and the end of this environment's claims on the hosts. */
  #endingClaims(outcome: Outcome): Outcome {
    return (host, entry, now) => {
      const changed = outcome(host, entry, now);
      return changed.claim?.owner === this.#owner ? { ...changed, claim: undefined } : changed;
    };
  }

  /** Writes what a poll brought. */
  async #write(targets: readonly Target[], outcome: Outcome, until: number): Promise<void> {
    const writes = Array.from(groupByShard(targets), async ([shard, hosts]) => {
      const change: Change = { hosts, apply: outcome, until };
      if (await shard.write(change)) return;
      this.#tableFailedAt = this.#options.clock.now();
      shard.remember(change);
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

  #waitersOf(targets: readonly Pick<Target, 'shard' | 'host'>[]): Set<Waiter> {
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

const NOT_POLLED = { isAnswered: false, isConclusive: false };
const unchanged: Outcome = (_host, entry) => entry;

function groupByShard(targets: readonly Target[]): Map<ShardActor, string[]> {
  const groups = new Map<ShardActor, string[]>();
  for (const { shard, host } of targets) {
    const hosts = groups.get(shard);
    if (hosts === undefined) groups.set(shard, [host]);
    else hosts.push(host);
  }
  return groups;
}
