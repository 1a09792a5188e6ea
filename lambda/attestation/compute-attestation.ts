import type { Clock } from '../clock.ts';
import type { Invocation } from '../polling/waiter.ts';
import { isLate, isUsable, usableUntil } from '../trust/attestation.ts';
import type { Reason, RequiredTrust } from '../trust/reason.ts';
import type { Timing } from '../trust/time.ts';
import type { ComputeAttestationCache } from './compute-attestation-cache.ts';
import type { HostAttestation } from './look-up.ts';

export interface Verdicts {
  /** Why each host does or does not pass, in the order of the hosts; undefined where every host passes unasked. */
  readonly reasons: readonly Reason[] | undefined;
  /** The one reason for which a host passes. */
  readonly passing: RequiredTrust | undefined;
  /** The earliest end among the attestations of the hosts that pass, epoch milliseconds. */
  readonly validUntil: number | undefined;
}

/** Whether hosts have the trust that a workload requires. */
export class ComputeAttestation {
  readonly #cache: ComputeAttestationCache;
  readonly #timing: Timing;
  readonly #clock: Clock;

  constructor(cache: ComputeAttestationCache, timing: Timing, clock: Clock) {
    this.#cache = cache;
    this.#timing = timing;
    this.#clock = clock;
  }

  /** Whether the attestation service says of this host exactly what is required, now. */
  async isTrusted(host: string, trust: RequiredTrust, invocation: Invocation): Promise<boolean> {
    const { reasons } = await this.judge([host], trust, invocation);
    return reasons?.[0] === trust;
  }

  /** The verdicts on many hosts, one for each, in their order. */
  async judge(hosts: readonly string[], trust: RequiredTrust, invocation: Invocation): Promise<Verdicts> {
    const attestations = await this.#cache.getHostAttestations(hosts, invocation);
    return verdictsOn(attestations, trust, this.#clock.now(), invocation.deadline.arrivedAt, this.#timing);
  }
}

function verdictsOn(
  attestations: readonly HostAttestation[],
  trust: RequiredTrust,
  now: number,
  arrivedAt: number,
  timing: Timing,
): Verdicts {
  let validUntil: number | undefined;
  let last: HostAttestation | undefined;
  const reasons = new Array<Reason>(attestations.length);
  for (let i = 0; i < attestations.length; i++) {
    const attestation = attestations[i] as HostAttestation;
    reasons[i] = attestation.reason;
    // Hosts of one poll share what was said of them.
    if (attestation === last || attestation.level !== trust || !('validUntil' in attestation)) continue;
    if (!isUsable(attestation, now, arrivedAt, timing)) {
      // It ended since it was looked up.
      reasons[i] = isLate(attestation) ? 'late' : 'pending';
      continue;
    }
    last = attestation;
    validUntil = Math.min(usableUntil(attestation, now, timing), validUntil ?? Infinity);
  }
  return { reasons, passing: trust, validUntil };
}
