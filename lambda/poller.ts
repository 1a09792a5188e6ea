import type { AttestationService, PollResult } from './attestation-service.ts';
import type { Clock } from './clock.ts';
import type { Counts } from './counts.ts';
import {
  type Attestation,
  CLOCK_DIFFERENCE_MS,
  type Entry,
  isLate,
  LONGEST_CLAIM_MS,
  nextPause,
  type Reason,
  SharedAttestations,
  type Timing,
  toAttestation,
  withAttestation,
  withTry,
} from './entry.ts';
import { PollError } from './errors.ts';

/** What a poll did to the entry of each of its hosts. */
export type Outcome = (host: string, entry: Entry, now: number) => Entry;

export interface PollerOptions {
  readonly service: AttestationService;
  readonly timing: Timing;
  readonly clock: Clock;
  readonly counts: Counts;
  readonly pollTimeoutMs: number;
}

/** Sends polls, each within its limit, and says what came of them. */
export class Poller {
  readonly #options: PollerOptions;
  /** The longest that a poll may take: the configured limit, or what the longest claim covers. */
  readonly limitMs: number;

  constructor(options: PollerOptions) {
    this.#options = options;
    this.limitMs = Math.min(options.pollTimeoutMs, LONGEST_CLAIM_MS - CLOCK_DIFFERENCE_MS);
  }

  /**
   * Polls hosts in one request. Never rejects: a fault is an outcome too, counted with its cause.
   * @param limitMs how long it may take
   * @param abort ends it early
   */
  async poll(hosts: readonly string[], limitMs: number, abort: AbortSignal): Promise<Outcome> {
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
      return this.#failed(error instanceof PollError ? error.reason : 'unreachable', sentAt, true);
    } finally {
      timerEnd.abort();
      abort.removeEventListener('abort', stop);
    }
  }

  #answered(result: PollResult, asked: number): Outcome {
    const { counts, timing } = this.#options;
    const { answers, sentAt, receivedAt } = result;
    counts.add('UnaskedAnswers', result.unasked);
    counts.add('FutureVtimes', result.futureVtimes);
    const shared = new SharedAttestations();
    const attestations = new Map<string, Attestation>();
    for (const [host, answer] of answers) {
      const attestation = shared.of(toAttestation(answer, sentAt, receivedAt, timing));
      if (isLate(attestation)) counts.add('LateVtimes');
      attestations.set(host, attestation);
    }
    const missing = this.#failed('not-in-reply', sentAt, asked === 1 || answers.size === 0);
    return (host, entry, now) => {
      const attestation = attestations.get(host);
      return attestation === undefined ? missing(host, entry, now) : withAttestation(entry, attestation, now);
    };
  }

  /** @param doubles whether the host was polled alone or the service answered nobody */
  #failed(reason: Reason, sentAt: number, doubles: boolean): Outcome {
    const { clock, timing } = this.#options;
    const endedAt = clock.now();
    return (_host, entry, now) => {
      const pauseMs = nextPause(entry.lastTry, doubles, timing);
      return withTry(entry, { level: 'unknown', reason, sentAt, endedAt, pauseMs }, now);
    };
  }
}
