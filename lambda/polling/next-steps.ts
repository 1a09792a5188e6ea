/**
 * The one place that decides: from what is known to what is to be done next. Pure functions; what they say is done by the
 * host resolver, and what comes of that goes back into the situation as data.
 */
import { isClaimedByOther, pollLimit } from '../trust/claim.ts';
import { isIn, ROOM_FOR_NEWCOMERS, roomOf } from '../table/newcomers.ts';
import { type Entry, finding, isLeftPending, isRenewed, merge } from '../trust/entry.ts';
import type { Timing } from '../trust/time.ts';
import { isFreeFor, isProbe, isWaiting } from './batch.ts';
import { isDoubtful, mostTogether } from './company.ts';
import { isShort } from './deadline.ts';
import { nextClaims, type PollPlan, type Stale, type StaleHost, withProbes } from './polls.ts';
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
/** Most hosts that a request hands over at its end. */
const MOST_LEFT = 1_000;

export function nextSteps<S extends KnownShard>(situation: Situation<S>, around: Surroundings): Steps<S> {
  const { looked, looking, polled, reread } = situation;
  const looks: Steps<S>['looks'][number][] = [];
  const visits = new Map<S, ReturnType<typeof goThrough<S>>>();
  const shards = situation.wanted.shards;
  for (const [shard, wanted] of shards) {
    const isReread = reread === 'due' && wanted.waits;
    const isOld = !shard.serves(around.now) && !looked.has(shard);
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
  return {
    looks,
    decided: [...visits.values()].flatMap(({ decided }) => decided),
    leftOut: [...visits.values()].flatMap(({ leftOut }) => leftOut),
    claims: claimsOf(
      situation,
      findings.filter(({ afterLook }) => afterLook < oldestLook),
      around,
    ),
    handOver: [...visits.values()].flatMap(({ handOver }) => handOver),
    ...pollsOf(situation, around),
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
  if (finding(entry, now, deadline.arrivedAt, timing) === undefined) return false;
  return since === undefined || isRenewed(entry, since, deadline.arrivedAt, now);
}

/** Hosts that a request, which ends now, leaves pending, and that nobody polls: handed over, a later request finds them decided. */
export function leftBy<S extends KnownShard>(
  waiter: Waiter,
  hostsByShard: ReadonlyMap<S, readonly string[]>,
  { busy, wasHandedOver }: Pick<Situation<S>, 'busy' | 'wasHandedOver'>,
  { now, owner }: Pick<Surroundings, 'now' | 'owner'>,
): string[] {
  const { deadline } = waiter.invocation;
  const left = new Set(waiter.undecided);
  for (const [host, entry] of waiter.decided) if (isLeftPending(entry, deadline.arrivedAt)) left.add(host);
  const hosts = Array.from(hostsByShard, ([shard, names]) =>
    names.filter((host) => {
      if (!left.has(host) || busy.has(host)) return false;
      const entry = shard.known(host, now);
      return !wasHandedOver(host, entry, now) && !isClaimedByOther(entry.claim, owner, now);
    }),
  );
  return hosts.flat().slice(0, MOST_LEFT);
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
  const handOver: string[] = [];
  const stale: StaleHost[] = [];
  const newcomers: Undecided[] = [];
  let waits = false;
  let busy = 0;
  const goOn = ({ host, entry, left, isOthers }: Undecided): void => {
    const isHandedOver = !isOthers && isToHandOver(left, around);
    waits ||= isOthers || isHandedOver;
    if (isHandedOver && !situation.wasHandedOver(host, entry, now)) handOver.push(host);
    if (isOthers || isHandedOver) return;
    const isInDoubt = isDoubtful(entry, now, answeredAt);
    const most = mostTogether(host, entry, now, { requestCount, refusedOddities });
    stale.push({ host, most, doubt: isInDoubt ? 'waits' : undefined });
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
  return nextClaims(needsProbes ? withProbes(stale, wasAnswered, plan, random) : stale, situation.load, plan);
}

/** What is to be done with batches that are queued or polled. */
function pollsOf<S extends KnownShard>(
  situation: Situation<S>,
  { limitMs: longestMs, now, plan }: Surroundings,
): Pick<Steps<S>, 'sends' | 'aborts' | 'drops'> {
  const sends: Steps<S>['sends'][number][] = [];
  const drops: Steps<S>['drops'][number][] = [];
  const { aborted, probes, queued, underWay } = situation.polls;
  const polled = [...underWay];
  const isProbing = polled.some(isProbe);
  for (const batch of queued) {
    const isWanted = situation.isWanted(batch);
    const waits = isWaiting(batch);
    // What nobody wants any more waits, too, for what a probe that is being aborted has shown so far.
    if (waits && probes.size > 0 && (isWanted || isProbing)) continue;
    const limitMs = pollLimit(longestMs, batch.claimedUntil, now);
    if (!isWanted || waits || limitMs === undefined) {
      drops.push({ batch, isWanted });
    } else if (isFreeFor(batch, polled, plan)) {
      polled.push(batch);
      sends.push({ batch, limitMs });
    }
  }
  const aborts = [...underWay].filter((batch) => !aborted.has(batch) && !situation.isWanted(batch));
  return { sends, aborts, drops };
}
