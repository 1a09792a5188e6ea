/** With how many others a host may be polled: pure functions of what is known of it. */
import { companyNow, type Entry } from '../trust/entry.ts';

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
  const company = companyNow(entry, now);
  if (company !== undefined) return Math.min(company.most, requestCount);
  // An answer about it shows that this service takes the name.
  return startsAlone(host) && entry.attestation === undefined ? 1 : requestCount;
}

/** What the hosts of a batch of this size may be polled with after it failed as a whole. */
export function halfOf(size: number): number {
  return Math.max(1, Math.floor(size / 2));
}
