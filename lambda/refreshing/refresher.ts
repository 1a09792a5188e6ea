import type { Announcer } from '../events/announcer.ts';
import type { Clock } from '../clock.ts';
import type { ComputeAttestationCache } from '../attestation/compute-attestation-cache.ts';
import type { Config } from '../config.ts';
import { type Deadline, newDeadline } from '../polling/deadline.ts';
import type { HandedOver } from '../polling/hand-over.ts';
import { newInvocation } from '../polling/waiter.ts';

export interface RefresherParts {
  readonly config: Pick<Config, 'parallelPolls' | 'recheckSeconds' | 'requestCount' | 'unknownAlarmSeconds'>;
  readonly cache: ComputeAttestationCache;
  /** Absent where there is no event bus. */
  readonly announcer: Announcer | undefined;
  readonly clock: Clock;
}

/** What an invocation did; also the fields of its log line. */
export interface RefreshResult {
  readonly kind: 'handed over' | 'schedule';
  readonly hosts: number;
  /** Those that have an attestation now that is new enough. */
  readonly attested: number;
}

/** The longest that a chunk of a scheduled round waits, so that not all that is scheduled asks at the same moment. */
const LONGEST_JITTER_MS = 2_000;
/** The longest pause of a host that is waited for: an invocation that waits takes the place of another. */
const LONGEST_PAUSE_MS = 15_000;
/** How long what was handed over is worked on: by then its claims have ended, and whoever still wants it asks again. */
const TAKE_OVER_MS = 60_000;

/** One invocation of the function that attests hosts for later requests. */
export class Refresher {
  readonly #parts: RefresherParts;
  readonly #endsAt: number;

  /** @param endsAt when the invocation must have ended, epoch milliseconds */
  constructor(parts: RefresherParts, endsAt: number) {
    this.#parts = parts;
    this.#endsAt = endsAt;
  }

  /** Attests the hosts that a request handed over; one that is in the pause after a failed try, when that is over. */
  async takeOver({ hosts, owner }: HandedOver): Promise<RefreshResult> {
    const { cache, clock, config } = this.#parts;
    const { recheckSeconds } = config;
    const endsAt = Math.min(this.#endsAt, clock.now() + TAKE_OVER_MS);
    let attested = 0;
    for (let left: readonly string[] = [...new Set(hosts)]; left.length > 0 && clock.now() < endsAt;) {
      const refreshed = await cache.refresh(left, newInvocation(this.#deadline(endsAt), { claimedBy: owner }));
      attested += refreshed.attested;
      left = refreshed.paused;
      const pauseMs = refreshed.pausedUntil - clock.now();
      if (left.length === 0 || pauseMs > LONGEST_PAUSE_MS) break;
      await clock.wait(Math.max(pauseMs, recheckSeconds * 1000, 100));
    }
    await this.#announce(hosts);
    return { kind: 'handed over', hosts: new Set(hosts).size, attested };
  }

  /** Attests all hosts that are asked about anew, though what is known of them may not have ended. */
  async round(): Promise<RefreshResult> {
    const { cache, clock, config } = this.#parts;
    const renewSince = clock.now() - config.recheckSeconds * 1000;
    const hosts = await cache.hostsAskedAbout(this.#deadline().tableBy);
    const chunk = config.requestCount * config.parallelPolls;
    let attested = 0;
    for (let i = 0; i < hosts.length && clock.now() < this.#endsAt - LONGEST_JITTER_MS; i += chunk) {
      await clock.wait(Math.random() * LONGEST_JITTER_MS);
      const invocation = newInvocation(this.#deadline(), { renewSince });
      attested += (await cache.refresh(hosts.slice(i, i + chunk), invocation)).attested;
    }
    await this.#announce();
    return { kind: 'schedule', hosts: hosts.length, attested };
  }

  /** Tells of what others left unannounced in the shards of these hosts, of all where none are given. */
  async #announce(hosts?: readonly string[]): Promise<void> {
    const { announcer, cache, config } = this.#parts;
    if (announcer === undefined) return;
    const until = this.#deadline().tableBy;
    await cache.announce(announcer, { unknownAlarmMs: config.unknownAlarmSeconds * 1000, hosts, until });
  }

  #deadline(endsAt = this.#endsAt): Deadline {
    const now = this.#parts.clock.now();
    return newDeadline({ now, limitMs: endsAt - now });
  }
}
