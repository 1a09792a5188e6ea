import type { AttestationService, PollResult } from '../service/attestation-service.ts';
import type { Clock } from '../clock.ts';
import { halfOf, mostTogether, startsAlone } from './company.ts';
import type { Counts } from '../log/counts.ts';
import {
  type Attestation,
  CLOCK_DIFFERENCE_MS,
  companyNow,
  type Entry,
  hadItsTime,
  isLate,
  LONGEST_CLAIM_MS,
  nextPause,
  type Reason,
  SharedAttestations,
  type Timing,
  toAttestation,
  withAttestation,
  withCompany,
  withTry,
} from '../trust/entry.ts';
import { PollError } from '../errors.ts';

/** What a poll did to the entry of each of its hosts. */
export type Outcome = (host: string, entry: Entry, now: number) => Entry;

/** What came of a poll. */
export interface Polled {
  readonly outcome: Outcome;
  /** Whether the service said something of any of the hosts. */
  readonly isAnswered: boolean;
  /** Whether it says something of the service that there was no answer; not so where the poll was cut short. */
  readonly isConclusive: boolean;
  /** The status with which the service refused all of the hosts together. */
  readonly refusedWith: number | undefined;
}

export interface PollerOptions {
  readonly service: AttestationService;
  readonly timing: Timing;
  readonly clock: Clock;
  readonly counts: Counts;
  readonly pollTimeoutMs: number;
  readonly plan: { readonly requestCount: number };
}

interface Failure {
  readonly reason: Reason;
  readonly sentAt: number;
  /** How many hosts were polled. */
  readonly asked: number;
  /** Whether the hosts may be what made the poll fail. */
  readonly isOfHosts: boolean;
}

const OTHER_CASE =
  'the reply names a host in another case than it was asked for: let scheduler and attestation service spell it alike';

/** Sends polls, each within its limit, and says what came of them. */
export class Poller {
  readonly #options: PollerOptions;
  /** The longest that a poll may take: the configured limit, or what the longest claim covers. */
  readonly limitMs: number;
  /** When the service last said something of any host. */
  #answeredAt = -Infinity;
  #lastTookMs = 0;

  constructor(options: PollerOptions) {
    this.#options = options;
    this.limitMs = Math.min(options.pollTimeoutMs, LONGEST_CLAIM_MS - CLOCK_DIFFERENCE_MS);
  }

  /**
   * Polls hosts in one request. Never rejects: a fault is an outcome too, counted with its cause.
   * @param limitMs how long it may take
   * @param abort ends it early
   */
  async poll(hosts: readonly string[], limitMs: number, abort: AbortSignal): Promise<Polled> {
    const { clock, counts, service } = this.#options;
    const sentAt = clock.now();
    const limit = new AbortController();
    const stop = (): void => limit.abort();
    abort.addEventListener('abort', stop);
    if (abort.aborted) stop();
    const timerEnd = new AbortController();
    void clock.wait(limitMs, timerEnd.signal).then(stop);
    counts.add('Polls');
    try {
      return this.#answered(await service.doAttestation(hosts, limit.signal), hosts.length);
    } catch (error) {
      counts.fault('PollsFailed', error);
      return this.#brokeOff(error, sentAt, hosts.length);
    } finally {
      timerEnd.abort();
      abort.removeEventListener('abort', stop);
    }
  }

  #answered(result: PollResult, asked: number): Polled {
    const { counts, timing } = this.#options;
    const { answers, sentAt, receivedAt, otherCase, newestVtime } = result;
    counts.add('UnaskedAnswers', result.unasked);
    counts.add('FutureVtimes', result.futureVtimes);
    for (let i = 0; i < otherCase; i++) counts.fault('NamesInOtherCase', OTHER_CASE);
    if (newestVtime !== undefined) counts.measure('VtimeDifference', receivedAt - newestVtime);
    if (answers.size > 0) {
      this.#answeredAt = receivedAt;
      this.#lastTookMs = receivedAt - sentAt;
    }
    const shared = new SharedAttestations();
    const attestations = new Map<string, Attestation>();
    for (const [host, answer] of answers) {
      const attestation = shared.of(toAttestation(answer, sentAt, receivedAt, timing));
      if (isLate(attestation)) counts.add('LateVtimes');
      attestations.set(host, attestation);
    }
    const missing = this.#failed({ reason: 'not-in-reply', sentAt, asked, isOfHosts: false });
    return {
      outcome: (host, entry, now) => {
        const attestation = attestations.get(host);
        return attestation === undefined ? missing(host, entry, now) : withAttestation(entry, attestation, now);
      },
      isAnswered: answers.size > 0,
      isConclusive: true,
      refusedWith: undefined,
    };
  }

  #brokeOff(error: unknown, sentAt: number, asked: number): Polled {
    const { clock } = this.#options;
    const { reason, refusedWith } = error instanceof PollError ? error : new PollError('unreachable', 'unknown');
    const isConclusive = reason !== 'pending' || hadItsTime(sentAt, clock.now(), this.limitMs, this.#lastTookMs);
    const isSpoiled = refusedWith !== undefined || reason === 'pending' || reason === 'bad-reply';
    const outcome = this.#failed({ reason, sentAt, asked, isOfHosts: isSpoiled && isConclusive });
    return { outcome, isAnswered: false, isConclusive, refusedWith };
  }

  /** The pause doubles where the host was polled alone or the service answered nobody. */
  #failed({ reason, sentAt, asked, isOfHosts }: Failure): Outcome {
    const { clock, plan, timing } = this.#options;
    const endedAt = clock.now();
    const nobodyAnswered = this.#answeredAt < sentAt;
    return (host, entry, now) => {
      const pauseMs = nextPause(entry.lastTry, asked === 1 || nobodyAnswered, timing);
      const tried = withTry(entry, { level: 'unknown', reason, sentAt, endedAt, pauseMs }, now);
      if (tried === entry || !isOfHosts) return tried;
      const before = companyNow(entry, now)?.before ?? mostTogether(host, entry, now, plan.requestCount);
      // Such a name is polled alone anyway, and needs no room in the shard for that.
      if (asked === 1 && startsAlone(host) && entry.company === undefined && before === 1) return tried;
      // A host that is refused alone is so by a service that is there.
      const isInDoubt = nobodyAnswered && before > 1 && reason !== 'refused';
      return withCompany(tried, { most: halfOf(asked), at: sentAt, ...(isInDoubt ? { before } : {}) }, now);
    };
  }
}
