/** How stale hosts become polls: pure functions of what is wanted and of what may be under way at once. */

/** A stale host, and how many hosts, itself included, it may be polled with. */
export interface StaleHost {
  readonly host: string;
  readonly most: number;
  /** Whether it was polled alone before, and not answered about. */
  readonly isSilent?: boolean;
  /**
   * While it is in doubt why the host was not answered about: it waits for a probe, or is polled alone as one, to show whether
   * the service answers at all.
   */
  readonly doubt?: 'waits' | 'probe' | undefined;
}

/** Stale hosts of one shard. */
export interface Stale<S> {
  readonly shard: S;
  readonly hosts: readonly StaleHost[];
}

/** The hosts of claims, each with its shard. */
export function targetsOf<S>(claims: readonly Stale<S>[]): (StaleHost & { readonly shard: S })[] {
  return claims.flatMap(({ shard, hosts }) => hosts.map((host) => ({ ...host, shard })));
}

export interface PollPlan {
  /** Most hosts in one poll. */
  readonly requestCount: number;
  /** Most polls at once. */
  readonly parallelPolls: number;
  /** Whether each host of a poll has an outcome of its own, so that none spoils another's, and none is tried in smaller company. */
  readonly isEachItsOwn?: boolean;
  /** Whether nobody waits but who attests hosts for later: then no room is kept for others. */
  readonly isForLater?: boolean;
}

/** What is claimed, queued or polled already. */
export interface Load {
  /** Hosts in polls of full size. */
  readonly hosts: number;
  /** Polls of hosts that are polled apart. */
  readonly apart: number;
  /** Whether some time has gone by since the last poll ended. */
  readonly isSettled: boolean;
}

/** A part of the polls at once, a fifth, is kept free of hosts that are polled apart: these may take long. */
const KEPT_FREE = 1 / 5;

/** How many polls of hosts that are polled apart there may be at once. */
export function mostApart({ isForLater, parallelPolls }: PollPlan): number {
  if (isForLater === true) return parallelPolls;
  return Math.max(1, parallelPolls - Math.ceil(parallelPolls * KEPT_FREE));
}

/** How many polls may be late while others wait for a turn: of more than these, those are ended that have waited for the longest. */
export function mostLate({ parallelPolls }: PollPlan): number {
  return Math.max(1, Math.floor(parallelPolls * KEPT_FREE));
}

/** Whether a host is polled apart from those that may be polled in full batches. */
export function isApart({ most }: StaleHost, { requestCount }: PollPlan): boolean {
  return most < requestCount;
}

/**
 * The stale hosts to claim next. As many as the polls that could start now would take, whole shards where possible, so
 * that a claim neither waits long for its poll nor is written for a part of what its shard needs; none while too little
 * has come free to be worth a write, unless no more comes free at once: then a full batch's worth will do. Hosts that are polled apart have a room of their own, so that neither waits for the
 * other. Hosts in doubt take no room but that of a probe, and share what comes of it.
 */
export function nextClaims<S>(stale: readonly Stale<S>[], load: Load, plan: PollPlan): Stale<S>[] {
  const claims = new Map<S, StaleHost[]>();
  const take = (shard: S, hosts: readonly StaleHost[]): void => {
    const others = claims.get(shard);
    if (others === undefined) claims.set(shard, [...hosts]);
    else others.push(...hosts);
  };
  const capacity = plan.requestCount * plan.parallelPolls;
  const least = load.isSettled ? plan.requestCount : capacity / 2;
  let room = load.hosts > 0 && capacity - load.hosts < least ? 0 : capacity - load.hosts;
  const free = mostApart(plan) - load.apart;
  const apart: (StaleHost & { readonly shard: S })[] = [];
  for (const { shard, hosts } of stale) {
    const together: StaleHost[] = [];
    for (const host of hosts) {
      if (host.doubt !== undefined) take(shard, [host]);
      else if (!isApart(host, plan)) together.push(host);
      else apart.push({ ...host, shard });
    }
    if (room <= 0 || together.length === 0) continue;
    const taken = together.length <= room + plan.requestCount ? together : together.slice(0, room);
    take(shard, taken);
    room -= taken.length;
  }
  for (const { shard, ...host } of cutIntoPolls(apart, plan).slice(0, free).flat()) take(shard, [host]);
  return Array.from(claims, ([shard, hosts]) => ({ shard, hosts }));
}

/**
 * Cuts hosts, sorted by shard, into polls, so that the result of one touches few shards. No host is polled with more
 * others than it may be, and none with others of another kind: full batches, others, silent hosts, those in doubt, probes.
 */
export function cutIntoPolls<T extends StaleHost>(sorted: readonly T[], plan: PollPlan): T[][] {
  const polls: T[][] = [];
  let poll: T[] = [];
  for (const target of sorted.toSorted((a, b) => kindOf(a, plan) - kindOf(b, plan) || b.most - a.most)) {
    const [first] = poll;
    const joins = first !== undefined && kindOf(first, plan) === kindOf(target, plan);
    if (joins && poll.length < Math.min(target.most, plan.requestCount)) {
      poll.push(target);
    } else {
      poll = [target];
      polls.push(poll);
    }
  }
  return polls;
}

/** Most invocations that a request's hosts are handed over in. */
const MOST_HAND_OVERS = 5;

/**
 * Cuts hosts that are handed over into the invocations that take them: of so many as these can poll at once, those in large companies first.
 */
export function cutIntoHandOvers(hosts: readonly StaleHost[], plan: PollPlan): StaleHost[][] {
  const polls = hosts.reduce((sum, { most }) => sum + 1 / most, 0);
  const mostPolls = Math.max(plan.parallelPolls, polls / MOST_HAND_OVERS);
  const parts: StaleHost[][] = [];
  let left = 0;
  for (const host of hosts.toSorted((a, b) => b.most - a.most)) {
    // Sums of fractions are a little off.
    if (left < 1 / host.most - 1e-9) {
      parts.push([]);
      left = mostPolls;
    }
    parts.at(-1)?.push(host);
    left -= 1 / host.most;
  }
  return parts;
}

function kindOf(host: StaleHost, plan: PollPlan): number {
  if (host.doubt !== undefined) return host.doubt === 'waits' ? 3 : 4;
  if (!isApart(host, plan)) return 0;
  return host.isSilent === true ? 2 : 1;
}

const MOST_PROBES = 3;

/**
 * The stale hosts, with a few of those in doubt to be polled alone, if there are any: what comes of it tells whether a host
 * or the service is to blame. Taken at random, since one of them may be what ails: all but one of those that the service
 * answered about before, as far as there are such, and one of all, so that no few hosts are the probes each time.
 * @param random numbers from 0 up to 1
 */
export function withProbes<S>(
  stale: readonly Stale<S>[],
  wasAnswered: (shard: S, host: string) => boolean,
  plan: PollPlan,
  random: () => number,
): readonly Stale<S>[] {
  const doubtful = targetsOf(stale)
    .map((target) => ({ ...target, rank: random() }))
    .filter(({ doubt }) => doubt !== undefined)
    .sort((a, b) => b.rank - a.rank);
  const [any, ...others] = doubtful;
  if (any === undefined) return stale;
  const known = others.filter(({ shard, host }) => wasAnswered(shard, host));
  const picked = [any, ...new Set([...known, ...others])].slice(0, Math.min(MOST_PROBES, plan.parallelPolls));
  const probes = new Set(picked.map(({ host }) => host));
  const asProbe = (each: StaleHost): StaleHost => (probes.has(each.host) ? { ...each, most: 1, doubt: 'probe' } : each);
  return stale.map(({ shard, hosts }) => ({ shard, hosts: hosts.map(asProbe) }));
}
