import type { Announcer } from '../events/announcer.ts';
import type { Clock } from '../clock.ts';
import type { ComputeAttestationCache, Refreshed } from '../attestation/compute-attestation-cache.ts';
import type { Counts } from '../log/counts.ts';
import type { PollPlan } from '../polling/polls.ts';
import { type Deadline, newDeadline } from '../polling/deadline.ts';
import { HANDED_MS, type HandedOver, type Hinted } from '../polling/hand-over.ts';
import { newInvocation } from '../polling/waiter.ts';
import type { Freshness } from '../trust/freshness.ts';
import { isOver } from '../trust/time.ts';
import { type RefreshResult, UnreadTableError } from './refresh-result.ts';

export interface RefresherParts {
  readonly config: PollPlan & {
    readonly authTimeoutSeconds: number;
    readonly recheckSeconds: number;
    readonly unknownAlarmSeconds: number;
  };
  readonly cache: ComputeAttestationCache;
  /** Which of some hosts the service knows by these ids; absent where it has no ids of its own. */
  readonly hostsOf?: ((agents: readonly string[], hosts: readonly string[]) => Promise<string[]>) | undefined;
  /** Absent where there is no event bus. */
  readonly announcer: Announcer | undefined;
  readonly clock: Clock;
  readonly counts: Counts;
}

/** The longest that a scheduled round waits before it begins, so that not all that is scheduled asks at the same moment. */
const LONGEST_JITTER_MS = 2_000;
/** How often a round polls what it can't attest: as long as others are. */
const MOST_PASSES = 3;
/** How long a round tries to read the table: what fails for so long is tried again as a whole. */
const READ_MS = 30_000;
/** How long what was handed over is worked on: whoever still wants it then asks again. */
const TAKE_OVER_MS = 60_000;

/** One invocation of the function that attests hosts for later requests. */
export class Refresher {
  readonly #parts: RefresherParts;
  readonly #endsAt: number;

  /** @param endsAt when the invocation must have ended, by the monotonic clock */
  constructor(parts: RefresherParts, endsAt: number) {
    this.#parts = parts;
    this.#endsAt = endsAt;
  }

  /**
   * Attests the hosts that a request handed over, but those that somebody else polls. Waits for no pause but the first after a
   * failed try: a request that had to give its polls up as it answered has left its hosts in that. Does nothing for an event that
   * waited for so long that requests hand its hosts over anew.
   */
  async takeOver({ hosts, at }: HandedOver): Promise<RefreshResult> {
    const { cache, clock, counts } = this.#parts;
    const started = clock.moment();
    const names = [...new Set(hosts)];
    const isLate = (): boolean => at !== undefined && isOver(at + HANDED_MS, clock.timeOf(started));
    // The table's answer sets a clock right by which everything would be late.
    if (isLate()) await cache.look(names, this.#readBy());
    if (isLate()) {
      counts.add('HandOversLate');
      return { kind: 'handed over', hosts: names.length, attested: 0, renewed: 0, due: names.length };
    }
    const endsAt = Math.min(this.#endsAt, started.monotonic + TAKE_OVER_MS);
    const refresh = (): Promise<Refreshed> => cache.refresh(names, newInvocation(this.#deadline(endsAt), {}));
    const first = await refresh();
    const { retryAt } = first;
    const pauseMs = retryAt === undefined ? Infinity : retryAt - clock.now();
    const isWorthIt = !isOver(endsAt, clock.monotonic() + pauseMs);
    if (isWorthIt) await clock.wait(pauseMs);
    const { attested } = isWorthIt ? await refresh() : first;
    await this.#announce(names);
    return {
      kind: 'handed over',
      hosts: names.length,
      attested,
      ...fieldsOf(cache.freshness(names, { startedAt: clock.timeOf(started) })),
    };
  }

  /**
   * Attests the hosts of agents that their verifier says have failed, as far as somebody asks about them: at once, but no sooner than
   * `recheck` after they were attested last. What it says is a hint to ask and nothing more; and it says so a moment before it tells
   * whoever asks, so that a host which is still trusted, by a quote of before, is asked about again. Does nothing for a hint that
   * waited for longer than attestations hold: what was known then has ended, and events behind it are worth more.
   * @throws {UnreadTableError} where a part of the table could not be read, and so hosts may be missing
   */
  async takeHint({ agents, at }: Hinted): Promise<RefreshResult> {
    const { cache, clock, config, counts, hostsOf } = this.#parts;
    const started = clock.moment();
    const recheckMs = config.recheckSeconds * 1000;
    if (isOver(at + config.authTimeoutSeconds * 1000, clock.timeOf(started))) {
      counts.add('HandOversLate');
      return { kind: 'hint', hosts: 0, attested: 0, renewed: 0, due: 0 };
    }
    const { hosts: known, unread } = await cache.hostsAskedAbout(this.#readBy());
    const hosts = (await hostsOf?.(agents, known)) ?? [];
    let attested = 0;
    for (let pass = 1, left = cache.unsettled(hosts, at); left.length > 0 && pass <= MOST_PASSES; pass++) {
      if (pass > 1) await clock.wait(recheckMs);
      if (isOver(this.#endsAt, clock.monotonic())) break;
      const renewSince = clock.now() - recheckMs;
      ({ attested } = await cache.refresh(left, newInvocation(this.#deadline(), { renewSince })));
      left = cache.unsettled(left, at);
    }
    await this.#announce(hosts);
    const freshness = cache.freshness(hosts, { startedAt: clock.timeOf(started) });
    const result: RefreshResult = { kind: 'hint', hosts: hosts.length, attested, ...fieldsOf(freshness) };
    if (unread > 0 && hosts.length < agents.length) throw new UnreadTableError(unread, cache.shardCount, result);
    return result;
  }

  /**
   * Attests all hosts that are asked about anew, though what is known of them may not have ended.
   * @throws {UnreadTableError} where a part of the table could not be read; what could be read is done by then
   */
  async round(): Promise<RefreshResult> {
    const { cache, clock, config, counts } = this.#parts;
    const started = clock.moment();
    const renewSince = (): number => clock.timeOf(started) - config.recheckSeconds * 1000;
    const { hosts, unread } = await cache.hostsAskedAbout(this.#readBy());
    await clock.wait(Math.random() * LONGEST_JITTER_MS);
    let attested: number;
    for (let pass = 1; ; pass++) {
      const invocation = newInvocation(this.#deadline(), { renewSince: renewSince() });
      const refreshed = await cache.refresh(hosts, invocation);
      attested = refreshed.attested;
      const { renewed } = cache.freshness(hosts, { startedAt: clock.timeOf(started) });
      // A service that answers nobody is left alone until the next round.
      if (refreshed.retryAt === undefined || pass === MOST_PASSES || renewed === 0) break;
      const pauseMs = refreshed.retryAt - clock.now();
      if (isOver(this.#endsAt, clock.monotonic() + pauseMs)) break;
      await clock.wait(pauseMs);
    }
    const unreadByNow = await this.#announce();
    const freshness = cache.freshness(hosts, { startedAt: clock.timeOf(started), since: renewSince() });
    const { trusted, untrusted, unknown } = freshness.levels;
    counts.measure('FleetTrusted', trusted);
    counts.measure('FleetUntrusted', untrusted);
    counts.measure('FleetUnknown', unknown);
    const result: RefreshResult = { kind: 'schedule', hosts: hosts.length, attested, ...fieldsOf(freshness) };
    if (unread + unreadByNow > 0) throw new UnreadTableError(unread || unreadByNow, cache.shardCount, result);
    return result;
  }

  /**
   * Tells of what others left unannounced in the shards of these hosts, of all where none are given.
   * @returns how many shards could not be read for it
   */
  async #announce(hosts?: readonly string[]): Promise<number> {
    const { announcer, cache, config } = this.#parts;
    if (announcer === undefined) return 0;
    const unknownAlarmMs = config.unknownAlarmSeconds * 1000;
    return cache.announce(announcer, { unknownAlarmMs, hosts, until: this.#readBy() });
  }

  #readBy(): number {
    return Math.min(this.#deadline().tableBy, this.#parts.clock.monotonic() + READ_MS);
  }

  #deadline(endsAt = this.#endsAt): Deadline {
    const { clock } = this.#parts;
    return newDeadline({ clock, limitMs: endsAt - clock.monotonic() });
  }
}

function fieldsOf({ renewed, due, oldestMs }: Freshness): Pick<RefreshResult, 'renewed' | 'due' | 'oldest_age_s'> {
  return { renewed, due, ...(oldestMs === undefined ? {} : { oldest_age_s: Math.round(oldestMs / 1000) }) };
}
