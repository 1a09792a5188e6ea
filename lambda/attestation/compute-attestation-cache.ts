import { waitUntil } from '../clock.ts';
import type { Announcer } from '../events/announcer.ts';
import { HostResolver, type HostResolverOptions } from '../polling/host-resolver.ts';
import { type Invocation, Waiter } from '../polling/waiter.ts';
import type { ShardActor } from '../table/shard-actor.ts';
import type { Cell } from '../table/shard-memory.ts';
import { Shards } from '../table/shards.ts';
import {
  type Entry,
  type Finding,
  finding,
  isAttested,
  isUnstamped,
  merge,
  NO_ENTRY,
  purged,
  withAlarm,
} from '../trust/entry.ts';
import { findInMemory, hostsInUse, type HostAttestation, LATE, NOT_A_HOST, PENDING } from './look-up.ts';
import {
  firstPauseEnd,
  type Freshness,
  freshnessOf,
  isDue,
  isEnding,
  isLeftLate,
  isSettledSince,
} from '../trust/freshness.ts';
import { hourOf, isOver, isYounger, LONG_AGO, type Moment } from '../trust/time.ts';

export interface ComputeAttestationCacheOptions extends HostResolverOptions {
  /** Names that do not match are unknown without a poll. */
  readonly hostPattern?: RegExp | undefined;
}

/** What came of a refresh. */
export interface Refreshed {
  /** How many hosts have an attestation now that is new enough. */
  readonly attested: number;
  /** When hosts may be polled that were in their first pause after a failed try, epoch milliseconds; absent where none were. */
  readonly retryAt: number | undefined;
}

/** What is kept of the time for an answer to render it. */
const RENDER_MS = 100;
/** How long a request waits for the stamp that hosts were asked about, and the shortest pause between two stamps. */
const STAMP_MS = 200;
const STAMP_PAUSE_MS = 5_000;
/** How long a request waits for hosts to be handed over that are renewed ahead, and the shortest pause between two such. */
const RENEW_MS = 500;
const RENEW_PAUSE_MS = 1_000;

/**
 * The attestations of hosts: from memory, then from DynamoDB, then from polls for all that is not valid. All requests of
 * an environment share one such cache, and with it the reads, claims and polls that are under way.
 */
export class ComputeAttestationCache {
  readonly #options: ComputeAttestationCacheOptions;
  readonly #shards: Shards;
  readonly #resolver: HostResolver;
  #lookUps = 0;
  #stamped = LONG_AGO;
  #renewed = LONG_AGO;

  constructor(options: ComputeAttestationCacheOptions) {
    this.#options = options;
    this.#shards = new Shards(options);
    this.#resolver = new HostResolver(options);
  }

  async getHostAttestation(host: string, invocation: Invocation): Promise<HostAttestation> {
    const [attestation = PENDING] = await this.getHostAttestations([host], invocation);
    return attestation;
  }

  /**
   * The attestations of many hosts, as they stand when the promise resolves.
   * @returns one for each host, in their order; never rejects for a fault of DynamoDB or of the service
   */
  getHostAttestations(hosts: readonly string[], invocation: Invocation): Promise<HostAttestation[]> {
    const waiter = new Waiter(invocation);
    const { found, missing, isStampDue, isRenewalDue } = this.#lookUp(hosts, waiter);
    if (missing.size > 0) return this.#waitFor(hosts, missing, waiter);
    invocation.from.memory += hosts.length;
    const beside = [];
    if (isStampDue) beside.push(this.#stamp(hosts, waiter));
    if (isRenewalDue) beside.push(this.#renew(hosts, waiter));
    return beside.length > 0 ? Promise.all(beside).then(() => found) : Promise.resolve(found);
  }

  /** Has hosts renewed whose attestation ends soon, where requests have no time to poll: else they would find it at its end. */
  async #renew(hosts: readonly string[], waiter: Waiter): Promise<void> {
    const now = this.#options.clock.moment();
    if (isYounger(this.#renewed, RENEW_PAUSE_MS, now) || !this.#resolver.handsOver(waiter)) return;
    this.#renewed = now;
    const by = Math.min(now.monotonic + RENEW_MS, waiter.invocation.deadline.stopAt);
    await this.#resolver.renewEnding(this.#shards.byShard(new Set(hosts)), by);
  }

  /**
   * Stamps on hosts that they are asked about, since what is only ever served from memory is never claimed. At most once
   * an hour, and as well as it can be done.
   */
  async #stamp(hosts: readonly string[], { invocation }: Waiter): Promise<void> {
    const { clock } = this.#options;
    const moment = clock.moment();
    const until = Math.min(moment.monotonic + STAMP_MS, invocation.deadline.stopAt);
    if (isYounger(this.#stamped, STAMP_PAUSE_MS, moment) || isOver(until, moment.monotonic)) return;
    this.#stamped = moment;
    const now = clock.timeOf(moment);
    const isOld = (host: string): boolean => isUnstamped(this.#shards.memory.get(host)?.entry ?? NO_ENTRY, now);
    const old = hosts.filter(isOld);
    const writes = Array.from(this.#shards.byShard(new Set(old)), ([shard, names]) =>
      shard.write({
        hosts: names,
        apply: (_host, entry, at) => (isUnstamped(entry, at) ? { ...entry, asked: hourOf(at) } : entry),
        until,
      }),
    );
    await waitUntil(until, Promise.all(writes), clock);
  }

  /** Has what memory misses looked up in the table or polled, until every host is decided or the time is over. */
  async #waitFor(hosts: readonly string[], notInMemory: Set<string>, waiter: Waiter): Promise<HostAttestation[]> {
    const { deadline, from } = waiter.invocation;
    const { clock } = this.#options;
    let missing = notInMemory;
    let found: HostAttestation[] = [];
    let isStampDue = false;
    let isRenewalDue = false;
    while (missing.size > 0 && !isOver(deadline.stopAt, clock.monotonic())) {
      await this.#resolver.resolve(this.#shards.byShard(missing), waiter);
      ({ found, missing, isStampDue, isRenewalDue } = this.#lookUp(hosts, waiter));
    }
    if (isStampDue) await this.#stamp(hosts, waiter);
    if (isRenewalDue) await this.#renew(hosts, waiter);
    if (missing.size > 0) {
      // Time is over; but what memory has counts only after a look at the table that is not too old.
      const renderAt = deadline.answerBy - RENDER_MS;
      await waitUntil(renderAt, this.#shards.look(this.#shards.byShard(missing).keys(), renderAt), clock);
      ({ found } = this.#lookUp(hosts, waiter));
    }
    for (const host of hosts) {
      if (!notInMemory.has(host)) from.memory++;
      else if (waiter.polled.has(host)) from.poll++;
      else if (waiter.decided.has(host)) from.table++;
    }
    return found;
  }

  /** Looks at the shards of hosts, as far as they were not looked at lately. */
  look(hosts: readonly string[], until: number): Promise<void> {
    return this.#shards.look(this.#shards.byShard(new Set(hosts)).keys(), until);
  }

  /** Attests hosts for later requests. The invocation says what is new enough. */
  async refresh(hosts: readonly string[], invocation: Invocation): Promise<Refreshed> {
    const { clock, hostPattern, timing } = this.#options;
    const { renewSince } = invocation.refresh ?? {};
    const waiter = new Waiter(invocation);
    const names = hosts.filter((host) => hostPattern?.test(host) !== false);
    const byShard = this.#shards.byShard(new Set(names));
    await this.#resolver.resolve(byShard, waiter);
    const now = clock.now();
    const { arrivedAt } = invocation.deadline;
    let attested = 0;
    let retryAt: number | undefined;
    for (const [shard, shardHosts] of byShard) {
      for (const host of shardHosts) {
        const known = shard.known(host, now);
        if (waiter.decided.has(host) && isAttested(known, now, timing)) attested++;
        if (!isDue(known, renewSince, now, timing)) continue;
        const pauseEnd = firstPauseEnd(known, arrivedAt, timing);
        if (pauseEnd !== undefined) retryAt = Math.max(pauseEnd, retryAt ?? pauseEnd);
      }
    }
    return { attested, retryAt };
  }

  /** How new the attestations are that the table has of hosts, but of those that are not polled. */
  freshness(hosts: readonly string[], wanted: { readonly startedAt: number; readonly since?: number }): Freshness {
    const { clock, hostPattern, timing } = this.#options;
    const names = hosts.filter((host) => hostPattern?.test(host) !== false);
    const entries = names.map((host) => this.#shards.of(host).stored(host) ?? NO_ENTRY);
    return freshnessOf(entries, wanted, clock.now(), timing);
  }

  /** Those of the hosts of which the service may have more to say since it hinted, at a time, that they failed. */
  unsettled(hosts: readonly string[], hintedAt: number): string[] {
    return hosts.filter((host) => !isSettledSince(this.#shards.of(host).stored(host) ?? NO_ENTRY, hintedAt));
  }

  /** The hosts that somebody asked about within the last day, those first whose shard has the first end, and how many shards can't be read. */
  async hostsAskedAbout(until: number): Promise<{ readonly hosts: string[]; readonly unread: number }> {
    const { read, unread } = await this.#shards.all(until);
    return { hosts: hostsInUse(read, this.#options.clock.now()), unread: unread.length };
  }

  /** The number of shards that the table has. */
  get shardCount(): number {
    return this.#options.table.count;
  }

  /**
   * Tells the event bus of what others left unannounced, and of hosts that are unknown for long.
   * @returns how many shards of the whole table could not be read for it
   */
  async announce(
    announcer: Announcer,
    options: {
      readonly unknownAlarmMs: number;
      /** In the shards of these hosts; in all where none are given. */
      readonly hosts?: readonly string[] | undefined;
      /** When to stop trying, by the monotonic clock. */
      readonly until: number;
    },
  ): Promise<number> {
    const { clock } = this.#options;
    const { hosts: about, unknownAlarmMs, until } = options;
    const { read, unread } =
      about === undefined
        ? await this.#shards.all(until)
        : { read: [...this.#shards.byShard(new Set(about)).keys()], unread: [] };
    // What was read earlier is told, too: the write that takes it out of the table reads it anew.
    const shards = [...read, ...unread];
    const now = clock.now();
    const apply = (_host: string, entry: Entry, at: number): Entry => withAlarm(entry, unknownAlarmMs, at);
    const writes = shards.map(async (shard) => {
      const hosts = shard.storedHosts().filter((host) => {
        const entry = shard.stored(host);
        return entry !== undefined && withAlarm(entry, unknownAlarmMs, now) !== entry;
      });
      if (hosts.length > 0) await shard.write({ hosts, apply, until });
    });
    await Promise.all(writes);
    const places = shards.flatMap((shard) => shard.storedHosts().map((host) => ({ shard, host })));
    await announcer.announce(places, until);
    return unread.length;
  }

  /**
   * Forgets what is known of hosts, here at once and in every other environment within five seconds. The mark stays, so that
   * the result of a poll which is under way is dropped.
   * @param until when to stop trying, by the monotonic clock
   * @returns whether the table has the mark
   */
  async purge(hosts: readonly string[], until: number): Promise<boolean> {
    const { clock } = this.#options;
    const asked = clock.moment();
    const apply = (_host: string, entry: Entry, now: number): Entry => purged(entry, clock.timeOf(asked), now);
    const writes = Array.from(this.#shards.byShard(new Set(hosts)), ([shard, names]) =>
      shard.write({ hosts: names, apply, until }),
    );
    return (await Promise.all(writes)).every((written) => written);
  }

  /** What memory has for each host. Hosts that nothing decides are missing, and pending or late for now; those left out are pending for good. */
  #lookUp(
    hosts: readonly string[],
    waiter: Waiter,
  ): { found: HostAttestation[]; missing: Set<string>; isStampDue: boolean; isRenewalDue: boolean } {
    const { clock, hostPattern, timing } = this.#options;
    const moment = clock.moment();
    const now = clock.timeOf(moment);
    const { arrivedAt } = waiter.invocation.deadline;
    let isStampDue = false;
    let isRenewalDue = false;
    const judge = ({ entry, shard }: Cell<ShardActor>): Finding | undefined => {
      isStampDue ||= isUnstamped(entry, now);
      isRenewalDue ||= isEnding(entry, now, now, timing);
      return shard.serves(moment) ? finding(entry, now, arrivedAt, timing) : undefined;
    };
    const found: (HostAttestation | undefined)[] = findInMemory(hosts, this.#shards.memory, ++this.#lookUps, judge);
    const missing = new Set<string>();
    for (let i = 0; i < found.length; i++) {
      if (found[i] !== undefined && hostPattern === undefined) continue;
      const host = hosts[i] as string;
      if (hostPattern?.test(host) === false) {
        found[i] = NOT_A_HOST;
        continue;
      }
      if (found[i] !== undefined) continue;
      const attestation = this.#lookUpDecided(host, this.#shards.memory.get(host), waiter, moment);
      if ((attestation === PENDING || attestation === LATE) && !waiter.leftOut.has(host)) missing.add(host);
      found[i] = attestation;
    }
    return { found: found as HostAttestation[], missing, isStampDue, isRenewalDue };
  }

  /** For a host that memory alone does not decide: this request may have decided it before. */
  #lookUpDecided(host: string, cell: Cell<ShardActor> | undefined, waiter: Waiter, moment: Moment): HostAttestation {
    const { clock, timing } = this.#options;
    const now = clock.timeOf(moment);
    const decided: Entry | undefined = waiter.decided.get(host);
    const known = cell && decided ? merge(decided, cell.entry, now) : (decided ?? cell?.entry);
    if (known === undefined || !(cell?.shard ?? this.#shards.of(host)).serves(moment)) return PENDING;
    const found = decided && finding(known, now, waiter.invocation.deadline.arrivedAt, timing);
    return found ?? (isLeftLate(known) ? LATE : PENDING);
  }
}
