/** With how many others a host is polled: pure functions of its name and of what is known of it. */
import { companyNow, isInDoubt } from '../trust/company.ts';
import type { Entry } from '../trust/entry.ts';

/** What some dialect of OAT refuses: OAT 1.5 these, and all longer names; OAT 2.x a comma. */
const ODD_CHARACTERS = /[#&+:"',]/g;
const LONGEST_PLAIN = 50;

/** What is odd about a name: its odd characters, each once, and `long`; nothing of a plain one. */
export function odditiesOf(host: string): readonly string[] {
  const characters = [...new Set(host.match(ODD_CHARACTERS))];
  return host.length > LONGEST_PLAIN ? [...characters, 'long'] : characters;
}

/** What is odd about every one of the names. */
export function sharedOddities(hosts: readonly string[]): readonly string[] {
  const [first = '', ...others] = hosts;
  return others.reduce((shared, host) => {
    const its = odditiesOf(host);
    return shared.filter((oddity) => its.includes(oddity));
  }, odditiesOf(first));
}

/** With how many others any host may be polled, and what this service was seen to refuse in names. */
export interface Together {
  /** The most of any host, itself included. */
  readonly requestCount: number;
  readonly refusedOddities: ReadonlySet<string>;
}

/**
 * How many hosts, itself included, a host may be polled with now. A name is polled alone for its looks only where this service was seen
 * to refuse such, and has not answered about this one before.
 */
export function mostTogether(host: string, entry: Entry, now: number, together: Together): number {
  const { refusedOddities, requestCount } = together;
  const company = companyNow(entry.company, now);
  if (company !== undefined) return Math.max(1, Math.min(company.most, requestCount));
  if (refusedOddities.size === 0 || entry.attestation !== undefined) return requestCount;
  return odditiesOf(host).some((oddity) => refusedOddities.has(oddity)) ? 1 : requestCount;
}

/** Whether a host was polled alone, and not answered about. */
export function isSilent({ company }: Entry): boolean {
  return company?.most === 0;
}

/**
 * Whether nobody knows yet if the host, or another of its batch, or the service is why it was not answered about.
 * @param answeredAt when the service last said something of any host, epoch milliseconds
 */
export function isDoubtful(entry: Entry, now: number, answeredAt: number): boolean {
  const company = companyNow(entry.company, now);
  return company !== undefined && isInDoubt(company, answeredAt);
}
