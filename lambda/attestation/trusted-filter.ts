import type { Invocation } from '../polling/waiter.ts';
import type { RequiredTrust } from '../trust/reason.ts';
import type { ComputeAttestation, Verdicts } from './compute-attestation.ts';

/** A host as a scheduler names it to the filter: Nova's hypervisor host name, Kubernetes' node name. */
export interface HostState {
  readonly nodename: string;
}

/** What a request asks of hosts; without a trust, nothing. */
export interface FilterProperties {
  readonly trust?: RequiredTrust | undefined;
}

/** Passes the hosts that have the trust a workload asks for. */
export class TrustedFilter {
  readonly #computeAttestation: ComputeAttestation;

  constructor(computeAttestation: ComputeAttestation) {
    this.#computeAttestation = computeAttestation;
  }

  /** Whether one host passes. */
  async hostPasses({ nodename }: HostState, properties: FilterProperties, invocation: Invocation): Promise<boolean> {
    const { reasons, passing } = await this.filterAll([nodename], properties, invocation);
    return reasons === undefined || reasons[0] === passing;
  }

  /** The verdict on every host of a request, all attested in one go. A workload that asks for no trust passes every host, with no I/O. */
  async filterAll(hosts: readonly string[], { trust }: FilterProperties, invocation: Invocation): Promise<Verdicts> {
    if (trust === undefined) return { reasons: undefined, passing: undefined, validUntil: undefined };
    return this.#computeAttestation.judge(hosts, trust, invocation);
  }
}
