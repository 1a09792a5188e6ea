/** With how many others a host may be polled after a batch failed as a whole: pure functions of data and time. */
import { HOUR_MS, isFromNow } from './time.ts';

/** How many hosts, itself included, a host may be polled with since a batch that it was part of failed as a whole. */
export interface Company {
  /** What it was when that was found out; it grows back step by step (`companyNow`). None of a host that was silent alone, until it is answered about. */
  readonly most: number;
  /** When the poll was sent that showed it. */
  readonly at: number;
  /**
   * How many batches of the host failed, less those that were answered in a larger company since; absent for one. None where the
   * service refused it, which is said at once and always: such a company holds for an hour, and any answer ends it.
   */
  readonly strikes?: number | undefined;
  /** How many it had before the service refused it: they hold again as that ends, so that nobody is rid of them by being refused. */
  readonly struck?: number | undefined;
  /**
   * What it was before, while it is in doubt whether the hosts of the batch or the service is to blame: nobody was
   * answered while the batch waited. The same as `most` where that has happened twice in a row: the service hangs.
   */
  readonly before?: number | undefined;
}

/** More than any batch has. */
const ANY_COMPANY = 65_535;
/** How long the first step back takes; with every strike twice as long, up to an hour. */
const FIRST_STEP_MS = 60_000;
/** How much a company grows in a step. */
const GROWTH = 4;
/** After so many steps, more than it takes to grow from one to all, nothing is remembered. */
const STEPS_REMEMBERED = 6;
const MOST_STRIKES = 8;

/** How long each step back takes. */
function stepMs(company: Company): number {
  return Math.min(HOUR_MS, FIRST_STEP_MS * 2 ** (strikesOf(company) - 1));
}

/** The company that holds now, grown back by as many steps as there was time for: not of a wrong clock, and not forgotten. */
export function companyNow(company: Company | undefined, now: number): Company | undefined {
  if (company === undefined || !isFromNow(company.at, now)) return undefined;
  // What is refused does not grow into it, and a doubt is not settled by time.
  const isFixed = company.strikes === 0 || company.before !== undefined;
  if (isFixed && now < company.at + HOUR_MS) return company;
  if (isFixed && company.struck === undefined) return undefined;
  const steps = Math.floor(Math.max(0, now - company.at) / stepMs(company));
  if (steps >= STEPS_REMEMBERED) return undefined;
  const most = Math.min(ANY_COMPANY, company.most * GROWTH ** steps);
  if (isFixed) return withStrikes({ most, at: company.at }, strikesOf(company));
  return steps === 0 ? company : { ...company, most };
}

/** Whether a host that failed alone is not worth another poll yet for those who attest the whole fleet. */
export function isGivenUp(company: Company | undefined, now: number): boolean {
  return company?.most === 0 && isFromNow(company.at, now) && now < company.at + stepMs(company);
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
  /** Whether the service refused it: that is said at once, so that halves will do; else it is cut in about as many parts as each has hosts. */
  readonly isRefused: boolean;
  /** When the service last said something of any host. */
  readonly answeredAt: number;
  /** Whether only hosts can be to blame: a host that is refused alone is so by a service that is there. */
  readonly isOfHosts: boolean;
  /** How many hosts, itself included, the host might be polled with until then. */
  readonly mostBefore: number;
}

/** The company of a host after a batch of it failed. While nobody was answered since the first in a row of such, that is in doubt. */
export function afterSpoiledBatch(company: Company | undefined, batch: SpoiledBatch): Company {
  const { answeredAt, isOfHosts, mostBefore, sentAt } = batch;
  const wasInDoubt = company?.before !== undefined;
  const isAnswered = answeredAt >= (wasInDoubt ? company.at : sentAt);
  const before = company?.before ?? mostBefore;
  const had = company === undefined ? 0 : strikesOf(company);
  if (isOfHosts || isAnswered || before <= 1) {
    const most = partOf(batch);
    if (batch.isRefused) return { most, at: sentAt, strikes: 0, ...(had === 0 ? {} : { struck: had }) };
    return withStrikes({ most, at: sentAt }, company === undefined ? 1 : had + (batch.asked > 1 ? 1 : 2));
  }
  // The second time in a row it is the service that hangs, and the host has its company back.
  const most = wasInDoubt ? before : partOf(batch);
  return withStrikes({ most, at: sentAt, before }, batch.isRefused ? had : Math.max(1, had));
}

/**
 * The company of a host after the service answered about it. A first strike counts for little: who is answered in company after it is
 * polled in full again, and the strike only remembered. Of several, one is worked off by an answer in about as large a company as the one
 * that failed. An answer alone says nothing; but it ends what came of a refusal, where strikes count again from then on.
 * @param asked how many hosts were polled together, and when
 */
export function afterAnswer(company: Company, { asked, sentAt }: Pick<SpoiledBatch, 'asked' | 'sentAt'>): Company {
  const { before, struck } = company;
  if (struck !== undefined)
    return afterAnswer(withStrikes({ most: company.most, at: sentAt }, struck), { asked, sentAt });
  const strikes = strikesOf(company);
  const most = before !== undefined && isHung(company) ? before : company.most;
  // Who was but refused has no strike, so that none holds when it is refused again.
  if (strikes === 0) return most === ANY_COMPANY ? company : { most: ANY_COMPANY, at: sentAt, strikes };
  if (strikes === 1 && asked > 1 && most < ANY_COMPANY) return { most: ANY_COMPANY, at: sentAt };
  if (most === 0) return withStrikes({ most: 1, at: sentAt }, strikes);
  if (strikes > 1 && asked > most && asked * 2 > most ** 2)
    return withStrikes({ most: asked, at: sentAt }, strikes - 1);
  return before === undefined ? company : withStrikes({ most, at: company.at }, strikes);
}

function strikesOf({ strikes = 1, struck = strikes }: Company): number {
  return struck;
}

function withStrikes(company: Company, strikes: number): Company {
  return strikes === 1 ? company : { ...company, strikes: Math.min(MOST_STRIKES, strikes) };
}

/** Of two companies of a host, whether the first replaces the second: a later one, or of the same time one without a doubt. */
export function isLater(a: Company, b: Company): boolean {
  return a.at > b.at || (a.at === b.at && a.before === undefined && b.before !== undefined);
}

/** In what company hosts are polled after a batch of them failed as a whole. */
function partOf({ asked, isRefused }: SpoiledBatch): number {
  if (isRefused) return Math.max(1, Math.floor(asked / 2));
  return asked > 1 ? Math.floor(Math.sqrt(asked)) : 0;
}
