/** How stale hosts become polls: pure functions of what is wanted and of what may be under way at once. */

/** A stale host, and how many hosts, itself included, it may be polled with. */
export interface StaleHost {
  readonly host: string;
  readonly most: number;
}

/** Stale hosts of one shard. */
export interface Stale<S> {
  readonly shard: S;
  readonly hosts: readonly StaleHost[];
}

export interface PollPlan {
  /** Most hosts in one poll. */
  readonly requestCount: number;
  /** Most polls at once. */
  readonly parallelPolls: number;
}

/** What is claimed, queued or polled already. */
export interface Load {
  /** Hosts in polls of full size. */
  readonly hosts: number;
  /** Polls of hosts that are polled apart. */
  readonly apart: number;
}

/** A part of the polls at once, a fifth, is kept free of hosts that are polled apart: these may take long. */
const KEPT_FREE = 1 / 5;

/** How many polls of hosts that are polled apart there may be at once. */
export function mostApart({ parallelPolls }: PollPlan): number {
  return Math.max(1, parallelPolls - Math.ceil(parallelPolls * KEPT_FREE));
}

/** Whether a host is polled apart from those that may be polled in full batches. */
export function isApart({ most }: StaleHost, { requestCount }: PollPlan): boolean {
  return most < requestCount;
}

/**
 * The stale hosts to claim next. As many as the polls that could start now would take, whole shards where possible, so
 * that a claim neither waits long for its poll nor is written for a part of what its shard needs; none while too little
 * has come free to be worth a write. Hosts that are polled apart have a room of their own, so that neither waits for the
 * other.
 */
export function nextClaims<S>(stale: readonly Stale<S>[], load: Load, plan: PollPlan): Stale<S>[] {
  const claims = new Map<S, StaleHost[]>();
  const take = (shard: S, hosts: readonly StaleHost[]): void => {
    const others = claims.get(shard);
    if (others === undefined) claims.set(shard, [...hosts]);
    else others.push(...hosts);
  };
  const capacity = plan.requestCount * plan.parallelPolls;
  let room = load.hosts > 0 && capacity - load.hosts < capacity / 2 ? 0 : capacity - load.hosts;
  for (const { shard, hosts } of stale) {
    const together = hosts.filter((each) => !isApart(each, plan));
    if (room <= 0 || together.length === 0) continue;
    const taken = together.length <= room + plan.requestCount ? together : together.slice(0, room);
    take(shard, taken);
    room -= taken.length;
  }
  const free = mostApart(plan) - load.apart;
  const apart =
    free <= 0
      ? []
      : stale.flatMap(({ shard, hosts }) =>
          hosts.filter((each) => isApart(each, plan)).map((each) => ({ ...each, shard })),
        );
  for (const { shard, host, most } of cutIntoPolls(apart, plan).slice(0, free).flat()) take(shard, [{ host, most }]);
  return Array.from(claims, ([shard, hosts]) => ({ shard, hosts }));
}

/**
 * Cuts hosts, sorted by shard, into polls, so that the result of one touches few shards. No host is polled with more
 * others than it may be, and none that may be polled in full batches with one that may not.
 */
export function cutIntoPolls<T extends StaleHost>(sorted: readonly T[], plan: PollPlan): T[][] {
  const polls: T[][] = [];
  let poll: T[] = [];
  for (const target of sorted.toSorted((a, b) => b.most - a.most)) {
    const [first] = poll;
    const joins = first !== undefined && isApart(first, plan) === isApart(target, plan);
    if (joins && poll.length < Math.min(target.most, plan.requestCount)) {
      poll.push(target);
    } else {
      poll = [target];
      polls.push(poll);
    }
  }
  return polls;
}

/** The two halves of what was refused as a whole. */
export function halves<T>(hosts: readonly T[]): [T[], T[]] {
  const middle = Math.ceil(hosts.length / 2);
  return [hosts.slice(0, middle), hosts.slice(middle)];
}

/**
 * The hosts to probe with, each alone, where nobody knows whether the service answers at all: up to three, of those that
 * the service answered about before if there are any; taken at random, since one of them may be what ails.
 * @param random numbers from 0 up to 1
 */
export function pickProbes<T extends { readonly wasAnswered: boolean }>(
  hosts: readonly T[],
  random: () => number,
): T[] {
  const shuffled = hosts.map((host) => ({ host, at: random() })).sort((a, b) => a.at - b.at);
  return shuffled
    .map(({ host }) => host)
    .sort((a, b) => Number(b.wasAnswered) - Number(a.wasAnswered))
    .slice(0, MOST_PROBES);
}
const MOST_PROBES = 3;
