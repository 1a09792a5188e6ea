import type { TrustedFilterError } from '../errors.ts';
import type { Verdicts } from '../attestation/compute-attestation.ts';
import type { FilterProperties } from '../attestation/trusted-filter.ts';

/** What every protocol's request comes down to. */
export interface FilterRequest extends FilterProperties {
  readonly hosts: readonly string[];
  /** What the caller sent to identify the workload, fit for the log. */
  readonly workload: Readonly<Record<string, string>> | undefined;
}

/** What protocols are told of the configuration. */
export interface ProtocolOptions {
  /** The annotation, label or affinity key by which a pod asks for trust. */
  readonly kubernetesKey: string;
}

/** What the configuration says of how long answers may take. */
export interface ProtocolLimits {
  readonly nativeDeadlineSeconds: number;
}

/** One scheduler's dialect. It knows HTTP bodies, and nothing of attestation. */
export interface Protocol<Request extends FilterRequest = FilterRequest> {
  /** How long a request may take, in milliseconds. */
  limitMs(limits: ProtocolLimits): number;
  /** @throws {InvalidRequestError | TooManyHostsError} naming the member and the rule */
  parse(body: unknown, maxHosts: number, options: ProtocolOptions): Request;
  /** The body of the answer. */
  render(request: Request, verdicts: Verdicts): unknown;
  /**
   * The body of the answer, with status 200, to a request that could not be answered for whatever reason; absent where
   * the caller heeds a status, and gets `application/problem+json`.
   */
  renderFault?(error: TrustedFilterError): unknown;
}
