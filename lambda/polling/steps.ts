/** What is to be done next, as data: what `nextSteps` decides and the host resolver does. */
import type { Entry } from '../trust/entry.ts';
import type { Batch } from './batch.ts';
import type { Outcome } from './outcome.ts';
import type { Stale, StaleHost } from './polls.ts';
import type { Waiter } from './waiter.ts';
import type { Findings, KnownShard, Place } from './wanted-hosts.ts';

/** A batch that is not polled any more, and what that does to the entries of its hosts. */
export interface Ended<S> {
  readonly batch: Batch<S>;
  readonly outcome: Outcome;
}

/** What is to be done next, all of it at once. */
export interface Steps<S extends KnownShard> {
  /** Shards to look at in the table; a look again at what others have claimed is a strong one. */
  readonly looks: readonly { readonly shard: S; readonly consistency: 'eventual' | 'strong' }[];
  /** Hosts that are decided for those who wait for them. */
  readonly decided: readonly (Place<S> & { readonly waiter: Waiter; readonly entry: Entry })[];
  /** Newcomers that there is no room for: those who wait for them wait no longer. */
  readonly leftOut: readonly (Place<S> & { readonly waiter: Waiter })[];
  /** Hosts to claim, and then to poll. */
  readonly claims: readonly Stale<S>[];
  /** Hosts to hand over: nobody who waits for them has the time to poll. */
  readonly handOver: readonly StaleHost[];
  /** Batches to poll. */
  readonly sends: readonly { readonly batch: Batch<S>; readonly limitMs: number }[];
  /** Polls that nobody waits for any more. */
  readonly aborts: readonly Batch<S>[];
  /** Polls that are late while others wait for a turn. */
  readonly setsAside: readonly Batch<S>[];
  /** Batches that are not sent: nobody waits for them any more, their claim would end before their poll, or no probe is left that they wait for. */
  readonly drops: readonly { readonly batch: Batch<S>; readonly isWanted: boolean }[];
  /** Outcomes to write. */
  readonly writes: readonly Ended<S>[];
  /** Whether others poll some of the hosts; and in how long to look again at those, where that is not planned yet. */
  readonly isWaiting: boolean;
  readonly rereadInMs: number | undefined;
  /** In how long a poll will be late that others wait for, where that is not planned yet. */
  readonly wakeInMs: number | undefined;
  /** What was found of the hosts that were gone through. */
  readonly found: ReadonlyMap<S, Findings>;
}

/** Whether there is nothing to do. */
export function isNothing<S extends KnownShard>(steps: Steps<S>): boolean {
  const { looks, decided, leftOut, claims, handOver, sends, aborts, setsAside, drops, writes } = steps;
  return [looks, decided, leftOut, claims, handOver, sends, aborts, setsAside, drops, writes].every(
    (each) => each.length === 0,
  );
}
