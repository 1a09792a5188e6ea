/** Hosts that are polled together, as data: where they stand in the queue, and when they may be sent. */
import type { ShardActor } from '../table/shard-actor.ts';
import { isSince } from '../trust/time.ts';
import { lateAfter } from '../trust/try.ts';
import type { Polled, ServiceState } from './outcome.ts';
import { isApart, mostApart, type PollPlan, type StaleHost } from './polls.ts';

/** A host to poll, and the shard that its result goes to. */
export interface Target<S = ShardActor> extends StaleHost {
  readonly shard: S;
}

/** Hosts of one kind that are polled together, in the order of their shards. */
export interface Batch<S = ShardActor> {
  readonly targets: readonly Target<S>[];
  /** Until when the hosts are claimed; undefined where the table could not take a claim. */
  readonly claimedUntil: number | undefined;
  /** Of a part of a batch that was refused: which refusal, and what came of the whole. */
  readonly part?: { readonly refusal: number; readonly whole: Polled } | undefined;
  /** Whether it was set aside before anybody knew how long answers take, so that others had their turn. */
  readonly isSetAside?: boolean;
}

/** What came of the claims on hosts of a shard. */
export interface Claimed<S = ShardActor> {
  readonly shard: S;
  readonly targets: readonly Target<S>[];
  /** Until when; undefined where the table did not take the claim. */
  readonly until: number | undefined;
}

const RANK_APART = 3;
const RANK_SET_ASIDE = 4;
/** How many ranks there are. */
export const RANKS = 5;

/** In which order batches are sent: probes, then parts of what was refused, then full batches, then hosts polled apart, then what was set aside. */
export function rankOf(batch: Pick<Batch<unknown>, 'targets' | 'part' | 'isSetAside'>, plan: PollPlan): number {
  if (isProbe(batch)) return 0;
  if (batch.part !== undefined) return 1;
  if (batch.isSetAside === true) return RANK_SET_ASIDE;
  return isBatchApart(batch, plan) ? RANK_APART : 2;
}

export function isProbe({ targets }: Pick<Batch<unknown>, 'targets'>): boolean {
  return targets[0]?.doubt === 'probe';
}

/** Whether the batch waits for what probes show. */
export function isWaiting({ targets }: Pick<Batch<unknown>, 'targets'>): boolean {
  return targets[0]?.doubt === 'waits';
}

export function isBatchApart({ targets }: Pick<Batch<unknown>, 'targets'>, plan: PollPlan): boolean {
  const [first] = targets;
  return first !== undefined && isApart(first, plan);
}

/** Whether a batch may be polled beside those that are. */
export function isFreeFor(batch: Batch<unknown>, polled: readonly Batch<unknown>[], plan: PollPlan): boolean {
  if (polled.length >= plan.parallelPolls) return false;
  // Without a claim, others may be polling the same hosts: one such poll at a time.
  if (batch.claimedUntil === undefined && polled.some((other) => other.claimedUntil === undefined)) return false;
  if (rankOf(batch, plan) !== RANK_APART) return true;
  return polled.filter((other) => isBatchApart(other, plan)).length < mostApart(plan);
}

/** The part of a poll's limit after which it is late while nobody knows how long answers take. */
const LATE_PART = 1 / 4;
/** How many times as long as the slowest of the last answers a batch may take: where others were answered since it was sent, and where nobody was. */
const WHERE_OTHERS_WERE_ANSWERED = { leastMs: 2_000, times: 2 };
const WHERE_NOBODY_WAS = { leastMs: 5_000, times: 3 };

/**
 * How long a poll may take: where it is known how long answers take, a batch that takes much longer has failed, and its hosts
 * are polled in smaller ones. The sooner so if others are answered meanwhile: else the service may just hold its breath. A host alone
 * has all the time there is, but for one that had that before, in vain.
 * @param sentAt when it was, or is, sent
 * @param longestMs the longest that any poll may take
 * @param isEachItsOwn whether its hosts have outcomes of their own: then it does not fail as a whole, and what is late in it is the service's to end
 */
export function limitOf(
  { targets }: Batch<unknown>,
  { answeredAt, slowestMs }: ServiceState,
  sentAt: number,
  longestMs: number,
  isEachItsOwn = false,
): number {
  const isSilent = targets[0]?.isSilent === true;
  if (isEachItsOwn || slowestMs === 0 || (targets.length === 1 && !isSilent)) return longestMs;
  const { leastMs, times } = isSilent || isSince(answeredAt, sentAt) ? WHERE_OTHERS_WERE_ANSWERED : WHERE_NOBODY_WAS;
  return Math.min(longestMs, Math.max(leastMs, slowestMs * times));
}

/** After how long a poll is late: whoever waits for a turn waits for it no longer. */
export function pollLateAfter({ slowestMs }: ServiceState, longestMs: number): number {
  return slowestMs === 0 ? Math.max(lateAfter(0), longestMs * LATE_PART) : lateAfter(slowestMs);
}
