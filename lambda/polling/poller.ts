import type { Clock } from '../clock.ts';
import { PollError } from '../errors.ts';
import type { Counts } from '../log/counts.ts';
import type { AttestationService, PollResult } from '../service/attestation-service.ts';
import { type Attestation, isLate, SharedAttestations, toAttestation } from '../trust/attestation.ts';
import type { Timing } from '../trust/time.ts';
import type { PollEnd } from './outcome.ts';

export interface PollerOptions {
  readonly service: AttestationService;
  readonly timing: Timing;
  readonly clock: Clock;
  readonly counts: Counts;
}

const OTHER_CASE =
  'the reply names a host in another case than it was asked for: let scheduler and attestation service spell it alike';

/** Sends polls, each within its limit, and says how they ended. */
export class Poller {
  readonly #options: PollerOptions;

  constructor(options: PollerOptions) {
    this.#options = options;
  }

  /**
   * Polls hosts in one request. Never rejects: a fault is an end too, counted with its cause.
   * @param limitMs how long it may take
   * @param abort ends it early
   */
  async poll(hosts: readonly string[], limitMs: number, abort: AbortSignal): Promise<PollEnd> {
    const { clock, counts, service } = this.#options;
    const sentAt = clock.now();
    const limit = new AbortController();
    const timerEnd = new AbortController();
    void clock.wait(limitMs, timerEnd.signal).then(() => limit.abort());
    counts.add('Polls');
    try {
      return this.#answered(await service.doAttestation(hosts, AbortSignal.any([abort, limit.signal])));
    } catch (error) {
      counts.fault('PollsFailed', error);
      const failure = error instanceof PollError ? error : new PollError('unreachable', 'unknown');
      return { sentAt, endedAt: clock.now(), attestations: new Map(), failure };
    } finally {
      timerEnd.abort();
    }
  }

  #answered(result: PollResult): PollEnd {
    const { counts, timing } = this.#options;
    const { answers, failures, sentAt, receivedAt, otherCase, newestVtime } = result;
    counts.add('UnaskedAnswers', result.unasked);
    counts.add('FutureVtimes', result.futureVtimes);
    counts.add('ZonelessVtimes', result.zonelessVtimes);
    for (let i = 0; i < otherCase; i++) counts.fault('NamesInOtherCase', OTHER_CASE);
    if (newestVtime !== undefined) counts.measure('VtimeDifference', receivedAt - newestVtime);
    for (const failure of failures?.values() ?? []) counts.fault('HostFaults', failure);
    const shared = new SharedAttestations();
    const attestations = new Map<string, Attestation>();
    for (const [host, answer] of answers) {
      const attestation = shared.of(toAttestation(answer, sentAt, receivedAt, timing));
      if (attestation.vtime !== undefined && isLate(attestation)) counts.add('LateVtimes');
      attestations.set(host, attestation);
    }
    return { sentAt, endedAt: receivedAt, attestations, failures };
  }
}
