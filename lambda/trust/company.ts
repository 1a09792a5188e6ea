/** With how many others a host may be polled after a batch failed as a whole: pure functions of data and time. */
import { HOUR_MS, isFromNow } from './time.ts';

/** How many hosts, itself included, a host may be polled with since a batch that it was part of failed as a whole. */
export interface Company {
  readonly most: number;
  /** When the poll was sent that showed it; an answer about the host to a later one ends it. */
  readonly at: number;
  /**
   * What it was before, while it is in doubt whether the hosts of the batch or the service is to blame: nobody was
   * answered while the batch waited. The same as `most` where that has happened twice in a row: the service hangs.
   */
  readonly before?: number | undefined;
}

/** How long a host that spoils batches is polled apart. */
const APART_MS = HOUR_MS;

/** The company that holds now: not of a wrong clock, and not over. */
export function companyNow(company: Company | undefined, now: number): Company | undefined {
  if (company === undefined || !isFromNow(company.at, now) || now >= company.at + APART_MS) return undefined;
  return company;
}

/** Whether it is known that the service did not answer at all when the host was polled last, so that no host is to blame. */
export function isHung({ before, most }: Company): boolean {
  return before === most;
}

/**
 * Whether nobody knows yet if the hosts are to blame.
 * @param answeredAt when the service last said something of any host
 */
export function isInDoubt({ at, before }: Company, answeredAt: number): boolean {
  return before !== undefined && answeredAt < at;
}

/** What is known after another batch of a host failed as a whole. */
export interface SpoiledBatch {
  /** How many hosts it had, and when it was sent. */
  readonly asked: number;
  readonly sentAt: number;
  /** When the service last said something of any host. */
  readonly answeredAt: number;
  /** Whether only hosts can be to blame: a host that is refused alone is so by a service that is there. */
  readonly isOfHosts: boolean;
  /** How many hosts, itself included, the host might be polled with until then. */
  readonly mostBefore: number;
}

/** The company of a host after a batch of it failed. While nobody was answered since the first in a row of such, that is in doubt. */
export function afterSpoiledBatch(company: Company | undefined, batch: SpoiledBatch): Company {
  const { answeredAt, asked, isOfHosts, mostBefore, sentAt } = batch;
  const wasInDoubt = company?.before !== undefined;
  const isAnswered = answeredAt >= (wasInDoubt ? company.at : sentAt);
  const before = company?.before ?? mostBefore;
  if (isOfHosts || isAnswered || before <= 1) return { most: halfOf(asked), at: sentAt };
  // The second time in a row it is the service that hangs, and the host has its company back.
  return { most: wasInDoubt ? before : halfOf(asked), at: sentAt, before };
}

/** Of two companies of a host, whether the first replaces the second: a later one, or of the same time one without a doubt. */
export function isLater(a: Company, b: Company): boolean {
  return a.at > b.at || (a.at === b.at && a.before === undefined && b.before !== undefined);
}

/** What the hosts of a batch of this size may be polled with after it failed as a whole. */
function halfOf(size: number): number {
  return Math.max(1, Math.floor(size / 2));
}
