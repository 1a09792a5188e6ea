import type { ComputeAttestation } from './compute-attestation.ts';
import type { HostAttestation } from './compute-attestation-cache.ts';
import { type Reason, type RequiredTrust, type Timing, isUsable, usableUntil } from '../trust/entry.ts';
import type { Invocation } from '../polling/waiter.ts';

/** A host as a scheduler names it to the filter: Nova's hypervisor host name, Kubernetes' node name. */
export interface HostState {
  readonly nodename: string;
}

/** What a request asks of hosts; without a trust, nothing. */
export interface FilterProperties {
  readonly trust?: RequiredTrust | undefined;
}

export interface Verdicts {
  /** Why each host does or does not pass, in the order of the hosts; undefined where every host passes unasked. */
  readonly reasons: readonly Reason[] | undefined;
  /** The one reason for which a host passes. */
  readonly passing: RequiredTrust | undefined;
  /** The earliest end among the attestations of the hosts that pass, epoch milliseconds. */
  readonly validUntil: number | undefined;
}

/** Passes the hosts that have the trust a workload asks for. */
export class TrustedFilter {
  readonly #computeAttestation: ComputeAttestation;
  readonly #timing: Timing;
  readonly #now: () => number;

  constructor(computeAttestation: ComputeAttestation, timing: Timing, now: () => number) {
    this.#computeAttestation = computeAttestation;
    this.#timing = timing;
    this.#now = now;
  }

  /** Whether one host passes. A workload that asks for no trust passes every host, with no I/O. */
  async hostPasses(hostState: HostState, { trust }: FilterProperties, invocation: Invocation): Promise<boolean> {
    return trust === undefined || this.#computeAttestation.isTrusted(hostState.nodename, trust, invocation);
  }

  /** The verdict on every host of a request, all attested in one go. */
  async filterAll(hosts: readonly string[], { trust }: FilterProperties, invocation: Invocation): Promise<Verdicts> {
    if (trust === undefined) return { reasons: undefined, passing: undefined, validUntil: undefined };
    const attestations = await this.#computeAttestation.attest(hosts, invocation);
    return judge(attestations, trust, this.#now(), invocation.deadline.arrivedAt, this.#timing);
  }
}

function judge(
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
      reasons[i] = 'pending';
      continue;
    }
    last = attestation;
    const until = usableUntil(attestation, now, timing);
    if (validUntil === undefined || until < validUntil) validUntil = until;
  }
  return { reasons, passing: trust, validUntil };
}
