/**
 * The one place that decides: from what is known to what is to be done next. Pure functions; what they say is done by the
 * host resolver, and what comes of that goes back into the situation as data.
 */
import { isClaimedByOther, pollLimit } from '../trust/claim.ts';
import { isIn, ROOM_FOR_NEWCOMERS, roomOf } from '../table/newcomers.ts';
import { type Entry, finding, merge } from '../trust/entry.ts';
import { isEnding, isRenewed } from '../trust/freshness.ts';
import { isOver, isSince, type Timing } from '../trust/time.ts';
import { type Batch, isBatchApart, isFreeFor, isProbe, isWaiting, limitOf } from './batch.ts';
import { isDoubtful, isSilent, mostTogether } from './company.ts';
import { isShort } from './deadline.ts';
import { mostLate, nextClaims, type PollPlan, type Stale, type StaleHost, withProbes } from './polls.ts';
import type { Situation } from './situation.ts';
import type { Steps } from './steps.ts';
import type { Waiter } from './waiter.ts';
import type { Findings, KnownShard, Wanted } from './wanted-hosts.ts';

/** What decisions depend on beside the situation. */
export interface Surroundings {
  readonly now: number;
  readonly plan: PollPlan;
  readonly timing: Timing;
  /** As whom this environment claims. */
  readonly owner: string;
  /** The longest that a poll may take; a request with less time in all hands its hosts over. */
  readonly limitMs: number;
  /** Whether another function takes over hosts, and hands its results back through the table. */
  readonly canHandOver: boolean;
  /** From 0 up to 1. */
  readonly random: () => number;
}

/** The pauses before others' claims are looked at again: at all such shards at once, and ever more seldom. */
const FIRST_REREAD_MS = 200;
const LONGEST_REREAD_MS = 1_000;
const REREAD_GROWTH = 1.1;

export function nextSteps<S extends KnownShard>(situation: Situation<S>, around: Surroundings): Steps<S> {
  const { looked, looking, polled, reread } = situation;
  const looks: Steps<S>['looks'][number][] = [];
  const visits = new Map<S, ReturnType<typeof goThrough<S>>>();
  const shards = situation.wanted.shards;
  for (const [shard, wanted] of shards) {
    const isReread = reread === 'due' && wanted.waits;
    const isOld = !shard.serves() && !looked.has(shard);
    const isDue = !looking.has(shard) && (isReread || isOld);
    if (isDue) looks.push({ shard, consistency: isReread ? 'strong' : 'eventual' });
    if (!wanted.isChanged) continue;
    // While the table is looked at, only what this environment has just polled is decided.
    const isLimited = isDue || looking.has(shard);
    visits.set(shard, goThrough(shard, wanted, situation, around, isLimited ? polled : undefined));
  }
  const findings = shards.map(([shard, wanted]) => ({ shard, ...wanted, ...visits.get(shard)?.findings }));
  const oldestLook = Math.min(...looking.values(), looks.length > 0 ? situation.nextLook : Infinity);
  const waiting = findings.filter(({ waits }) => waits);
  const isLooked = (shard: S): boolean => looking.has(shard) || looks.some((look) => look.shard === shard);
  const plansReread = reread !== 'planned' && !situation.isClaiming && waiting.some(({ shard }) => !isLooked(shard));
  const afterLooks = findings.filter(({ afterLook }) => afterLook < oldestLook);
  const claims = claimsOf(situation, afterLooks, around);
  const isMoreStale = countOf(afterLooks.map(({ stale }) => stale)) > countOf(claims.map(({ hosts }) => hosts));
  return {
    looks,
    decided: [...visits.values()].flatMap(({ decided }) => decided),
    leftOut: [...visits.values()].flatMap(({ leftOut }) => leftOut),
    claims,
    handOver: [...visits.values()].flatMap(({ handOver }) => handOver),
    ...pollsOf(situation, around, isMoreStale),
    writes: [...situation.polls.ended],
    isWaiting: waiting.length > 0,
    rereadInMs: plansReread ? rereadDelay(situation.rereads, around.random()) : undefined,
    found: new Map(Array.from(visits, ([shard, visit]) => [shard, visit.findings])),
  };
}

function rereadDelay(rereads: number, random: number): number {
  return Math.min(LONGEST_REREAD_MS, FIRST_REREAD_MS * REREAD_GROWTH ** rereads) * (0.75 + random / 4);
}

/** Whether a waiter has what it wants: by what is known of the host, or by what decided it for this waiter before. */
export function isKnown(waiter: Waiter, host: string, known: Entry, now: number, timing: Timing): boolean {
  const decided = waiter.decided.get(host);
  const entry = decided === undefined ? known : merge(decided, known, now);
  const { deadline, refresh } = waiter.invocation;
  const since = refresh?.renewSince;
  if (since !== undefined) return isRenewed(entry, since, deadline.arrivedAt, now);
  if (finding(entry, now, deadline.arrivedAt, timing) === undefined) return false;
  return refresh === undefined || !isEnding(entry, deadline.arrivedAt, now, timing);
}

/**
 * What was found of the wanted hosts of a shard, and what of it is to be done at once.
 * @param only the hosts to go through; absent for all
 */
function goThrough<S extends KnownShard>(
  shard: S,
  wanted: Wanted,
  situation: Situation<S>,
  around: Surroundings,
  only: ReadonlySet<string> | undefined,
) {
  const { now, owner, timing } = around;
  const { requestCount } = around.plan;
  const { answeredAt, refusedOddities } = situation.polls.service;
  const decided: Steps<S>['decided'][number][] = [];
  const handOver: StaleHost[] = [];
  const stale: StaleHost[] = [];
  const newcomers: Undecided[] = [];
  let waits = false;
  let busy = 0;
  const goOn = ({ host, entry, left, isOthers }: Undecided): void => {
    const isHandedOver = !isOthers && isToHandOver(left, around);
    waits ||= isOthers || isHandedOver;
    if (isOthers) return;
    const most = mostTogether(host, entry, now, { requestCount, refusedOddities });
    if (isHandedOver) {
      if (!situation.wasHandedOver(host, entry, now)) handOver.push({ host, most });
      return;
    }
    const isInDoubt = isDoubtful(entry, now, answeredAt);
    stale.push({ host, most, isSilent: isSilent(entry), doubt: isInDoubt ? 'waits' : undefined });
  };
  for (const [host, waiters] of wanted.waiters) {
    if (only?.has(host) === false) continue;
    const entry = shard.known(host, now);
    const isOthers = isClaimedByOther(entry.claim, owner, now);
    const left: Waiter[] = [];
    for (const waiter of waiters) {
      // Whoever refreshes leaves to others what they poll.
      const isLeftToOthers = isOthers && waiter.invocation.refresh !== undefined;
      if (isLeftToOthers || isKnown(waiter, host, entry, now, timing)) decided.push({ waiter, shard, host, entry });
      else left.push(waiter);
    }
    if (left.length === 0 || only !== undefined) continue;
    const hasPlace = isIn(entry, now, timing);
    if (situation.busy.has(host)) busy += hasPlace ? 0 : roomOf(host);
    else if (hasPlace) goOn({ host, entry, left, isOthers });
    else newcomers.push({ host, entry, left, isOthers });
  }
  const leftOut: Steps<S>['leftOut'][number][] = [];
  const taken = newcomers.length > 0 ? shard.roomTaken(now) : undefined;
  let room = ROOM_FOR_NEWCOMERS - busy - (taken?.all ?? 0);
  for (const newcomer of newcomers) {
    const { host, left } = newcomer;
    room -= roomOf(host);
    if (room >= 0) goOn(newcomer);
    // What polls under way find out may make room; what is handed over is of no use to this request.
    else if ((taken?.settled ?? 0) + roomOf(host) <= ROOM_FOR_NEWCOMERS && !isToHandOver(left, around)) waits = true;
    else leftOut.push(...left.map((waiter) => ({ waiter, shard, host })));
  }
  const findings: Findings = only === undefined ? { stale, waits } : wanted;
  return { decided, leftOut, handOver, findings };
}

/** A host that waiters are left to wait for. */
interface Undecided {
  readonly host: string;
  readonly entry: Entry;
  readonly left: readonly Waiter[];
  readonly isOthers: boolean;
}

/** Whether none of those who wait has the time to poll. */
function isToHandOver(waiters: readonly Waiter[], { canHandOver, limitMs }: Surroundings): boolean {
  if (!canHandOver) return false;
  return waiters.every(({ invocation: { deadline, refresh } }) => refresh === undefined && isShort(deadline, limitMs));
}

function claimsOf<S extends KnownShard>(
  situation: Situation<S>,
  findings: readonly (Findings & { readonly shard: S })[],
  { now, plan, random }: Surroundings,
): readonly Stale<S>[] {
  const stale = findings.filter((each) => each.stale.length > 0).map(({ shard, stale: hosts }) => ({ shard, hosts }));
  const isInDoubt = stale.some(({ hosts }) => hosts.some(({ doubt }) => doubt !== undefined));
  const wasAnswered = (shard: S, host: string): boolean => shard.known(host, now).attestation !== undefined;
  const needsProbes = isInDoubt && situation.polls.probes.size === 0;
  const claims = nextClaims(
    needsProbes ? withProbes(stale, wasAnswered, plan, random) : stale,
    situation.load(now),
    plan,
  );
  return eachHostOnce(claims, situation.busy);
}

/** The same claims, but each host in the first of its shards: while the layout of the table changes, requests may want a host in two. */
function eachHostOnce<S>(claims: readonly Stale<S>[], busy: ReadonlySet<string>): readonly Stale<S>[] {
  const seen = new Set<string>();
  const isNew = ({ host }: StaleHost): boolean => !busy.has(host) && !seen.has(host) && seen.add(host).has(host);
  return claims
    .map(({ shard, hosts }) => ({ shard, hosts: hosts.filter(isNew) }))
    .filter(({ hosts }) => hosts.length > 0);
}

function countOf(lists: readonly (readonly unknown[])[]): number {
  return lists.reduce((count, { length }) => count + length, 0);
}

/**
 * What is to be done with batches that are queued or polled.
 * @param isMoreStale whether there are more hosts than can be claimed now
 */
function pollsOf<S extends KnownShard>(
  situation: Situation<S>,
  { limitMs: longestMs, now, plan }: Surroundings,
  isMoreStale: boolean,
): Pick<Steps<S>, 'sends' | 'aborts' | 'setsAside' | 'drops' | 'wakeInMs'> {
  const sends: Steps<S>['sends'][number][] = [];
  const drops: Steps<S>['drops'][number][] = [];
  const { aborted, lateAfterMs, probes, queued, service, settledAt, underWay } = situation.polls;
  const polled = [...underWay.keys()];
  const isProbing = polled.some(isProbe);
  let isCrowded = isMoreStale;
  for (const batch of queued) {
    const isWanted = situation.isWanted(batch);
    const waits = isWaiting(batch);
    // What nobody wants any more waits, too, for what a probe that is being aborted has shown so far.
    if (waits && probes.size > 0 && (isWanted || isProbing)) continue;
    const limitMs = pollLimit(
      limitOf(batch, service, now, longestMs, plan.isEachItsOwn),
      batch.claimedUntil,
      now,
      longestMs,
    );
    if (!isWanted || waits || limitMs === undefined) {
      drops.push({ batch, isWanted });
    } else if (isFreeFor(batch, polled, plan)) {
      polled.push(batch);
      sends.push({ batch, limitMs });
    } else if (batch.isSetAside !== true) {
      isCrowded = true;
    }
  }
  const going = [...underWay].filter(([batch]) => !aborted.has(batch));
  // How long answers take may have become known since it was sent.
  const endOf = (batch: Batch<S>, sentAt: number): number =>
    sentAt + limitOf(batch, service, sentAt, longestMs, plan.isEachItsOwn);
  const isToEnd = ([batch, sentAt]: [Batch<S>, number]): boolean =>
    !situation.isWanted(batch) || isOver(endOf(batch, sentAt), now);
  const [ending, goingOn] = [going.filter(isToEnd), going.filter((each) => !isToEnd(each))];
  // A service that answers nobody, but has answered before, may just hold its breath; and a batch has a limit of its own.
  const isServing = (batch: Batch<S>, sentAt: number): boolean =>
    service.slowestMs === 0 || (isBatchApart(batch, plan) && isSince(service.answeredAt, sentAt));
  const late = goingOn.filter(([batch, sentAt]) => isServing(batch, sentAt) && isOver(sentAt + lateAfterMs, now));
  const setsAside =
    isCrowded && plan.isEachItsOwn !== true ? late.slice(0, Math.max(0, late.length - mostLate(plan))) : [];
  const times = goingOn.map(([batch, sentAt]) => endOf(batch, sentAt));
  if (isCrowded) times.push(settledAt, ...goingOn.map(([, sentAt]) => sentAt + lateAfterMs));
  const wakeAt = Math.min(...times.filter((at) => !isOver(at, now)));
  return {
    sends,
    aborts: ending.map(([batch]) => batch),
    setsAside: setsAside.map(([batch]) => batch),
    drops,
    wakeInMs: isSince(wakeAt, situation.wakesAt) ? undefined : wakeAt - now,
  };
}
