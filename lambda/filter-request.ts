import type { FilterProperties, Verdicts } from './trusted-filter.ts';

/** What every protocol's request comes down to. */
export interface FilterRequest extends FilterProperties {
  readonly hosts: readonly string[];
  /** What the caller sent to identify the workload, fit for the log. */
  readonly workload: Readonly<Record<string, string>> | undefined;
}

/** One scheduler's dialect. It knows HTTP bodies, and nothing of attestation. */
export interface Protocol {
  /** How long a request may take, in milliseconds. */
  readonly limitMs: number;
  /** @throws {InvalidRequestError | TooManyHostsError} naming the member and the rule */
  readonly parse: (body: unknown, maxHosts: number) => FilterRequest;
  /** The body of the answer. */
  readonly render: (request: FilterRequest, verdicts: Verdicts) => unknown;
}
