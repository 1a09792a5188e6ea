/** What a poll does to the entries of its hosts: pure functions of how it ended and of what is known of the service. */
import { type Attestation } from '../trust/attestation.ts';
import { afterAnswer, afterSpoiledBatch, companyNow } from '../trust/company.ts';
import { type Entry, withAttestation, withCompany, withTry } from '../trust/entry.ts';
import type { Reason } from '../trust/reason.ts';
import { isOver, isSince, type Timing } from '../trust/time.ts';
import { hadItsTime, nextPause, slowestOf } from '../trust/try.ts';
import { mostTogether, odditiesOf } from './company.ts';

/** What a poll does to the entry of each of its hosts. */
export type Outcome = (host: string, entry: Entry, now: number) => Entry;

/** How a poll ended: with an answer about some or none of its hosts, or without one. */
export interface PollEnd {
  readonly sentAt: number;
  readonly endedAt: number;
  readonly attestations: ReadonlyMap<string, Attestation>;
  /** Why there was none about hosts of their own, while others may have been answered about. */
  readonly failures?: ReadonlyMap<string, { readonly reason: Reason }> | undefined;
  /** Why there was no answer; `refusedWith` is the status with which the service refused all hosts together. */
  readonly failure?: { readonly reason: Reason; readonly refusedWith?: number | undefined };
}

/** What is known of the attestation service. */
export interface ServiceState {
  /** When it last said something of any host. */
  readonly answeredAt: number;
  /** How long the slowest of the last answers took; zero before the first. */
  readonly slowestMs: number;
  /** What it was seen to refuse in names, while it took others; and what in names it has answered about, and so does not refuse. */
  readonly refusedOddities: ReadonlySet<string>;
  readonly takenOddities: ReadonlySet<string>;
}

export const NEVER_ANSWERED: ServiceState = {
  answeredAt: -Infinity,
  slowestMs: 0,
  refusedOddities: new Set(),
  takenOddities: new Set(),
};

export function afterPoll(service: ServiceState, { attestations, sentAt, endedAt }: PollEnd): ServiceState {
  if (attestations.size === 0) return service;
  const slowestMs = slowestOf(service.slowestMs, endedAt - sentAt);
  const answered = { ...service, answeredAt: endedAt, slowestMs };
  const taken = [...attestations.keys()].flatMap(odditiesOf);
  if (taken.length === 0) return answered;
  const takenOddities = new Set([...service.takenOddities, ...taken]);
  // What it answers about it does not refuse, or not any more.
  return { ...answered, takenOddities, refusedOddities: without(service.refusedOddities, takenOddities) };
}

/**
 * What is known of the service after it refused names, for what is odd about them as far as is known: a name may be refused
 * for something else, and whoever makes up such names must not have all others polled alone.
 */
export function afterRefusedNames(service: ServiceState, oddities: readonly string[]): ServiceState {
  const refused = [...service.refusedOddities, ...oddities];
  return { ...service, refusedOddities: without(refused, service.takenOddities) };
}

function without(oddities: Iterable<string>, taken: ReadonlySet<string>): ReadonlySet<string> {
  return new Set([...oddities].filter((oddity) => !taken.has(oddity)));
}

/** What came of a poll. */
export interface Polled {
  readonly outcome: Outcome;
  /** Whether the service said something of any of the hosts. */
  readonly isAnswered: boolean;
  /** Whether it says something of the service that there was no answer; not so where the poll was cut short. */
  readonly isConclusive: boolean;
  /** Whether the hosts are polled again at once, in smaller companies: as if this poll of them had not been. */
  readonly goesOn: boolean;
  /** The status with which the service refused all of the hosts together. */
  readonly refusedWith: number | undefined;
}

/** What a poll's outcome depends on beside how it ended. */
export interface PollContext {
  /** How many hosts were polled. */
  readonly asked: number;
  readonly service: ServiceState;
  readonly timing: Timing;
  readonly requestCount: number;
  /** Whether each host has an outcome of its own, so that a poll that failed says nothing of any. */
  readonly isEachItsOwn?: boolean | undefined;
  /** The longest that any poll may take. */
  readonly limitMs: number;
}

export function polledOf(end: PollEnd, context: PollContext): Polled {
  const { attestations, endedAt, failure, failures, sentAt } = end;
  if (failure === undefined) {
    const missing = failed({ ...end, reason: 'not-in-reply', isSpoiled: false }, context);
    return {
      outcome: (host, entry, now) => {
        const attestation = attestations.get(host);
        const own = failures?.get(host);
        if (own !== undefined)
          return failed({ ...end, reason: own.reason, isSpoiled: false, isOwn: true }, context)(host, entry, now);
        if (attestation === undefined) return missing(host, entry, now);
        const attested = withAttestation(entry, attestation, now);
        return entry.company === undefined ? attested : answered(attested, end, context, now);
      },
      isAnswered: attestations.size > 0,
      isConclusive: true,
      goesOn: false,
      refusedWith: undefined,
    };
  }
  const { reason } = failure;
  const { isEachItsOwn = false, limitMs, service } = context;
  const refusedWith = isEachItsOwn ? undefined : failure.refusedWith;
  const isConclusive = reason !== 'pending' || hadItsTime(sentAt, endedAt, limitMs, service.slowestMs);
  const isOfBatch = refusedWith !== undefined || reason === 'pending' || reason === 'bad-reply';
  const isSpoiled = isOfBatch && isConclusive && !isEachItsOwn;
  const outcome = failed({ ...end, reason, isSpoiled, isRefused: refusedWith !== undefined }, context);
  // Where the service lives, as far as is known, the hosts are to blame; what is refused is cut as a batch.
  const isAlive = isSince(service.answeredAt, sentAt) || !isOver(sentAt + limitMs, endedAt);
  const goesOn = isSpoiled && isAlive && context.asked > 1 && refusedWith === undefined;
  return { outcome, isAnswered: false, isConclusive, goesOn, refusedWith };
}

/** The entry of a host that was answered about, with its company as that shows it. */
function answered(entry: Entry, { sentAt }: PollEnd, { asked }: PollContext, now: number): Entry {
  if (entry.company === undefined || companyNow(entry.company, now) === undefined)
    return { ...entry, company: undefined };
  if (!isSince(sentAt, entry.company.at)) return entry;
  const company = afterAnswer(entry.company, { asked, sentAt });
  return company === entry.company ? entry : withCompany(entry, company, now);
}

/**
 * What it does to hosts in doubt that they waited for a probe to which nobody was answered: none of them is to blame. Each was tried in
 * vain once more, for the reason that it had, and has its company back.
 */
export function hung({ sentAt, endedAt }: PollEnd, timing: Timing): Outcome {
  return (_host, entry, now) => {
    const reason = entry.lastTry?.reason ?? 'pending';
    const pauseMs = nextPause(entry.lastTry, true, timing);
    const tried = withTry(entry, { level: 'unknown', reason, sentAt, endedAt, pauseMs }, now);
    const { before, strikes } = companyNow(entry.company, now) ?? {};
    return before === undefined ? tried : withCompany(tried, { most: before, at: sentAt, strikes, before }, now);
  };
}

/** What an outcome says of the company of hosts alone: they are polled again, by what is known of that. */
export function onlyCompany(outcome: Outcome): Outcome {
  return (host, entry, now) => {
    const { company } = outcome(host, entry, now);
    return company === entry.company ? entry : { ...entry, company };
  };
}

interface Failure extends Pick<PollEnd, 'sentAt' | 'endedAt'> {
  readonly reason: Reason;
  /** Whether the hosts may be what made the poll fail. */
  readonly isSpoiled: boolean;
  readonly isRefused?: boolean;
  /** Whether it is the host's alone. */
  readonly isOwn?: boolean;
}

/** The pause doubles where the host failed alone or the service answered nobody. */
function failed(failure: Failure, context: PollContext): Outcome {
  const { reason, sentAt, endedAt, isOwn = false, isRefused = false, isSpoiled } = failure;
  const { asked, requestCount, service, timing } = context;
  const { answeredAt, refusedOddities } = service;
  const doubles = isOwn || asked === 1 || !isSince(answeredAt, sentAt);
  return (host, entry, now) => {
    const pauseMs = nextPause(entry.lastTry, doubles, timing);
    const tried = withTry(entry, { level: 'unknown', reason, sentAt, endedAt, pauseMs }, now);
    if (tried === entry || !isSpoiled) return tried;
    const mostBefore = mostTogether(host, entry, now, { requestCount, refusedOddities });
    const batch = { asked, sentAt, isRefused, answeredAt, isOfHosts: reason === 'refused', mostBefore };
    return withCompany(tried, afterSpoiledBatch(companyNow(entry.company, now), batch), now);
  };
}
