/** How stale hosts become polls: pure functions of what is wanted and of what may be under way at once. */

/** Stale hosts of one shard. */
export interface Stale<S> {
  readonly shard: S;
  readonly hosts: readonly string[];
}

export interface PollPlan {
  /** Most hosts in one poll. */
  readonly requestCount: number;
  /** Most polls at once. */
  readonly parallelPolls: number;
}

/**
 * The stale hosts to claim next. As many as the polls that could start now would take, whole shards where possible, so
 * that a claim neither waits long for its poll nor is written for a part of what its shard needs; none while too little
 * has come free to be worth a write.
 *
 * @param underWay how many hosts are claimed or polled already
 */
export function nextClaims<S>(stale: readonly Stale<S>[], underWay: number, plan: PollPlan): Stale<S>[] {
  const capacity = plan.requestCount * plan.parallelPolls;
  let room = capacity - underWay;
  if (underWay > 0 && room < capacity / 2) return [];
  const claims: Stale<S>[] = [];
  for (const { shard, hosts } of stale) {
    if (room <= 0) break;
    const taken = hosts.length <= room + plan.requestCount ? hosts : hosts.slice(0, room);
    claims.push({ shard, hosts: taken });
    room -= taken.length;
  }
  return claims;
}

/** Cuts hosts, sorted by shard, into polls, so that the result of one touches few shards. */
export function cutIntoPolls<T>(sorted: readonly T[], requestCount: number): T[][] {
  const polls: T[][] = [];
  for (let i = 0; i < sorted.length; i += requestCount) polls.push(sorted.slice(i, i + requestCount));
  return polls;
}
