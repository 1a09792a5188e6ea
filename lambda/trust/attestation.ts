/** What the attestation service said of a host, and for how long it counts: pure functions of data and time. */
import type { Reason, TrustLevel } from './reason.ts';
import { isFromNow, type Timing } from './time.ts';

/** What the attestation service said of a host. */
export interface Answer {
  readonly level: TrustLevel;
  readonly reason: Reason;
  /** When the service validated the host; absent where it said no time, or none with a zone. */
  readonly vtime?: number;
}

export interface Attestation extends Answer {
  readonly sentAt: number;
  readonly receivedAt: number;
  readonly validUntil: number;
}

/**
 * Makes an attestation of an answer: valid from the service's time or ours, whichever is earlier; where the service said
 * none, from when it was asked, since it may have validated the host as early as that.
 */
export function toAttestation(answer: Answer, sentAt: number, receivedAt: number, timing: Timing): Attestation {
  const from = answer.vtime === undefined ? sentAt : Math.min(answer.vtime, receivedAt);
  return { ...answer, sentAt, receivedAt, validUntil: from + timing.validityMs };
}

/** Whether the service's time lies after the receipt of its answer: such a time gains nothing. */
export function isFromFuture({ vtime }: Answer, receivedAt: number): boolean {
  return vtime !== undefined && vtime > receivedAt;
}

/** Whether the attestation had ended by its own time when it was received. */
export function isLate({ validUntil, receivedAt }: Attestation): boolean {
  return validUntil <= receivedAt;
}

/** Has hosts of which the service said the same, in the same poll, share one object. */
export class SharedAttestations {
  readonly #known = new Map<string, Attestation>();

  of(attestation: Attestation): Attestation {
    const { reason, vtime, sentAt, receivedAt } = attestation;
    const key = `${reason} ${vtime} ${sentAt} ${receivedAt}`;
    const known = this.#known.get(key);
    if (known === undefined) this.#known.set(key, attestation);
    return known ?? attestation;
  }
}

/** Whether the attestation is valid by its own time, whoever asks. */
export function isValid(attestation: Attestation, now: number): boolean {
  return now < attestation.validUntil && isFromNow(attestation.receivedAt, now);
}

/**
 * Whether an attestation may decide a request that arrived at `arrivedAt`: it is valid now, or its poll was answered
 * after the request arrived or at most `recheck` before it.
 */
export function isUsable(attestation: Attestation, now: number, arrivedAt: number, timing: Timing): boolean {
  return isValid(attestation, now) || isJustReceived(attestation, now, arrivedAt, timing);
}

function isJustReceived(attestation: Attestation, now: number, arrivedAt: number, timing: Timing): boolean {
  return isReceivedSince(attestation, arrivedAt - timing.recheckMs, now);
}

/** Whether the poll was answered at a time or after it. */
export function isReceivedSince({ receivedAt }: Attestation, since: number, now: number): boolean {
  return receivedAt >= since && isFromNow(receivedAt, now);
}

/** The part of the validity, beside what a poll took, by which an attestation is renewed ahead of its end. */
const AHEAD_PART = 1 / 8;

/** Whether an attestation that holds ends so soon that a poll sent now would just renew it in time, if polls take what its own took. */
export function endsSoon(attestation: Attestation, now: number, { validityMs }: Timing): boolean {
  const { receivedAt, sentAt, validUntil } = attestation;
  return isValid(attestation, now) && now >= validUntil - (receivedAt - sentAt) - validityMs * AHEAD_PART;
}

/** Until when a usable attestation may be passed on: the end of its validity, or of the pause after its receipt. */
export function usableUntil(attestation: Attestation, now: number, timing: Timing): number {
  return isValid(attestation, now) ? attestation.validUntil : attestation.receivedAt + timing.recheckMs;
}

/** Of two attestations, whether the first is from a poll sent later; for the same moment the one that passes less. */
export function isNewer(a: Attestation, b: Attestation): boolean {
  if (a.sentAt !== b.sentAt) return a.sentAt > b.sentAt;
  if (a.level !== b.level) return a.level === 'unknown' || (a.level === 'untrusted' && b.level === 'trusted');
  return a.validUntil < b.validUntil;
}
