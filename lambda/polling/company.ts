/** With how many others a host is polled: pure functions of its name and of what is known of it. */
import { companyNow, isInDoubt } from '../trust/company.ts';
import type { Entry } from '../trust/entry.ts';

/** What some dialect of OAT refuses in a name, and with it the whole batch: OAT 1.5 these, and all longer names; OAT 2.x a comma. */
const REFUSED_CHARACTERS = /[#&+:"',]/;
const LONGEST_NAME = 50;

/** Whether a batch with this name in it is refused by some attestation service, so that it is first polled alone. */
export function startsAlone(host: string): boolean {
  return host.length > LONGEST_NAME || REFUSED_CHARACTERS.test(host);
}

/**
 * How many hosts, itself included, a host may be polled with now.
 * @param requestCount the most of any host
 */
export function mostTogether(host: string, entry: Entry, now: number, requestCount: number): number {
  const company = companyNow(entry.company, now);
  if (company !== undefined) return Math.min(company.most, requestCount);
  // An answer about it shows that this service takes the name.
  return startsAlone(host) && entry.attestation === undefined ? 1 : requestCount;
}

/**
 * Whether nobody knows yet if the host, or another of its batch, or the service is why it was not answered about.
 * @param answeredAt when the service last said something of any host, epoch milliseconds
 */
export function isDoubtful(entry: Entry, now: number, answeredAt: number): boolean {
  const company = companyNow(entry.company, now);
  return company !== undefined && isInDoubt(company, answeredAt);
}
