import type { ComputeAttestationCache, HostAttestation } from './compute-attestation-cache.ts';
import type { RequiredTrust } from '../trust/entry.ts';
import type { Invocation } from '../polling/waiter.ts';

/** Whether hosts have the trust that a workload requires. */
export class ComputeAttestation {
  readonly #cache: ComputeAttestationCache;

  constructor(cache: ComputeAttestationCache) {
    this.#cache = cache;
  }

  /** Whether the attestation service says of this host exactly what is required, now. */
  async isTrusted(host: string, trust: RequiredTrust, invocation: Invocation): Promise<boolean> {
    const [attestation] = await this.attest([host], invocation);
    return attestation?.level === trust;
  }

  /** The attestations of many hosts, one for each, in their order. */
  attest(hosts: readonly string[], invocation: Invocation): Promise<HostAttestation[]> {
    return this.#cache.getHostAttestations(hosts, invocation);
  }
}
