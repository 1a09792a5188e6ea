/** What an environment counts beside its requests, for metrics and the log: a closed list, so that names stay constant. */
export const COUNTS = [
  'Polls',
  'PollsFailed',
  'PollsWithoutClaim',
  'HostFaults',
  'BulkFaults',
  'ShortValidity',
  'SplitPolls',
  'Probes',
  'ProbesFailed',
  'ResentPolls',
  'CertificateRefusals',
  'CertificateChanges',
  'LoginRefusals',
  'SecretFaults',
  'NamesInOtherCase',
  'HandOvers',
  'HandOversFailed',
  'HandOversLate',
  'HostsLeftOut',
  'PolledAhead',
  'TrustChanges',
  'UnknownAlarms',
  'EventFaults',
  'UnaskedAnswers',
  'FutureVtimes',
  'LateVtimes',
  'ZonelessVtimes',
  'TableFaults',
  'ClockFaults',
  'TableConflicts',
  'DamagedShards',
  'InternalFaults',
] as const;
export type CountName = (typeof COUNTS)[number];

/**
 * What is measured rather than counted: the days until the client certificate ends, how many milliseconds the newest
 * vtime of a reply lies before its receipt (negative where the service's clock is ahead), and how many seconds ago the oldest
 * of the attestations was received that still hold; how many milliseconds the environment's clock is ahead of DynamoDB's (negative where it is behind); how
 * much of its time a request took, percent; and of the hosts in use how many are of each level as a scheduled round leaves them.
 */
export const MEASURES = [
  'CertificateDaysLeft',
  'VtimeDifference',
  'OldestAttestation',
  'ClockDifference',
  'DeadlineUsed',
  'FleetTrusted',
  'FleetUntrusted',
  'FleetUnknown',
] as const;
export type MeasureName = (typeof MEASURES)[number];

/** Faults of one kind since the last request: how many, and the cause of the first. */
export interface Fault {
  readonly fault: CountName;
  readonly cause: string;
}

const LONGEST_CAUSE = 300;

export class Counts {
  #values = new Map<CountName, number>();
  #faults = new Map<string, Fault>();
  #measures = new Map<MeasureName, number>();

  add(name: CountName, by = 1): void {
    if (by !== 0) this.#values.set(name, (this.#values.get(name) ?? 0) + by);
  }

  /** Counts a fault, and keeps its cause for the log: the first of each wording. */
  fault(name: CountName, error: unknown): void {
    this.add(name);
    const cause = causeOf(error);
    const key = `${name} ${cause}`;
    if (this.#faults.size < 10 && !this.#faults.has(key)) this.#faults.set(key, { fault: name, cause });
  }

  /** Keeps what was measured last. */
  measure(name: MeasureName, value: number): void {
    this.#measures.set(name, value);
  }

  /** What was measured since the last call. */
  takeMeasures(): ReadonlyMap<MeasureName, number> {
    const taken = this.#measures;
    this.#measures = new Map();
    return taken;
  }

  /** What was counted since the last call. */
  take(): { readonly values: ReadonlyMap<CountName, number>; readonly faults: readonly Fault[] } {
    const taken = { values: this.#values, faults: [...this.#faults.values()] };
    this.#values = new Map();
    this.#faults = new Map();
    return taken;
  }
}

/** An error and its causes in one line: names, codes and messages, no stacks. */
export function causeOf(error: unknown): string {
  const parts: string[] = [];
  for (let next: unknown = error; next !== undefined && next !== null && parts.length < 5;) {
    if (!Error.isError(next)) {
      parts.push(typeof next === 'string' ? next : typeof next);
      break;
    }
    const code = 'code' in next && typeof next.code === 'string' ? ` ${next.code}` : '';
    parts.push(`${next.name}${code}: ${next.message}`);
    next = next.cause ?? ('errors' in next && Array.isArray(next.errors) ? next.errors[0] : undefined);
  }
  return parts.join(' < ').slice(0, LONGEST_CAUSE);
}
