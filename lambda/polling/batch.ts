/** Hosts that are polled together, as data: where they stand in the queue, and when they may be sent. */
import type { ShardActor } from '../table/shard-actor.ts';
import type { Polled } from './outcome.ts';
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
}

/** What came of the claims on hosts of a shard. */
export interface Claimed<S = ShardActor> {
  readonly shard: S;
  readonly targets: readonly Target<S>[];
  /** Until when; undefined where the table did not take the claim. */
  readonly until: number | undefined;
}

const LAST_RANK = 3;

/** In which order batches are sent: probes, then parts of what was refused, then full batches, then hosts polled apart. */
export function rankOf(batch: Pick<Batch<unknown>, 'targets' | 'part'>, plan: PollPlan): number {
  if (isProbe(batch)) return 0;
  if (batch.part !== undefined) return 1;
  return isBatchApart(batch, plan) ? LAST_RANK : 2;
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
  if (rankOf(batch, plan) < LAST_RANK) return true;
  return polled.filter((other) => isBatchApart(other, plan)).length < mostApart(plan);
}
