import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  cutIntoPolls,
  type Load,
  mostApart,
  nextClaims,
  type Stale,
  type StaleHost,
  withProbes,
} from '../../../lambda/polling/polls.ts';

/** Room for four polls of ten. */
const PLAN = { requestCount: 10, parallelPolls: 4 };

/** Shards a, b, c, … with as many stale hosts as given. */
function staleShards(sizes: readonly number[], most = 50): { shard: string; hosts: StaleHost[] }[] {
  return sizes.map((size, i) => {
    const shard = String.fromCharCode(0x61 + i);
    return { shard, hosts: Array.from({ length: size }, (_, j) => ({ host: `${shard}${j}`, most })) };
  });
}

const load = (hosts: number, apart = 0, isSettled = false): Load => ({ hosts, apart, isSettled });

const sizesOf = (claims: readonly { hosts: readonly unknown[] }[]): number[] => claims.map(({ hosts }) => hosts.length);

describe('the next claims', () => {
  test.each([
    ['everything, where all of it can be polled now', [15, 15], 0, [15, 15]],
    ['nothing, where nothing is stale', [], 0, []],
    ['shards in their order, as many as the polls that may start', [20, 20, 20], 0, [20, 20]],
    ['a shard as a whole, where that is one poll more', [20, 30, 20], 0, [20, 30]],
    ['the part of a shard that there is room for, where the whole is more', [20, 31], 0, [20, 20]],
    ['a part of a shard larger than all polls at once', [1_000], 0, [40]],
    ['nothing, while too little has come free to be worth a write', [20], 21, []],
    ['what half of the polls take, when those have come free', [20, 20], 20, [20]],
    ['nothing, while more is under way than there is room for', [20], 50, []],
    ['a shard however small, where nothing is under way', [1], 0, [1]],
  ])('take %s', (_, sizes, underWay, expected) => {
    expect(sizesOf(nextClaims(staleShards(sizes), load(underWay), PLAN))).toEqual(expected);
  });

  test('take the first hosts of a shard that is cut', () => {
    const [claim] = nextClaims(staleShards([1_000]), load(0), { requestCount: 1, parallelPolls: 2 });
    expect(claim?.hosts.map(({ host }) => host)).toEqual(['a0', 'a1']);
  });

  test('always take something when nothing is under way, and never more than one poll too many', () => {
    const plan = fc.record({
      requestCount: fc.integer({ min: 1, max: 50 }),
      parallelPolls: fc.integer({ min: 1, max: 20 }),
    });
    const sizes = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(sizes, plan, fc.nat(2_000), (some, thePlan, underWay) => {
        const total = sizesOf(nextClaims(staleShards(some), load(underWay), thePlan)).reduce(
          (sum, size) => sum + size,
          0,
        );
        if (underWay === 0) expect(total).toBeGreaterThan(0);
        const most = Math.max(0, (thePlan.parallelPolls + 1) * thePlan.requestCount - underWay);
        expect(total).toBeLessThanOrEqual(most);
      }),
    );
  });
});

describe('hosts that are polled apart', () => {
  const names = (claims: readonly { hosts: readonly StaleHost[] }[]): string[] =>
    claims.flatMap(({ hosts }) => hosts.map(({ host }) => host));

  test('have a room of their own, which leaves some polls to all others', () => {
    expect(mostApart({ requestCount: 10, parallelPolls: 10 })).toBe(8);
    expect(mostApart({ requestCount: 10, parallelPolls: 1 })).toBe(1);
    expect(names(nextClaims(staleShards([9], 1), load(0), PLAN))).toEqual(['a0', 'a1', 'a2']);
    expect(names(nextClaims(staleShards([9], 1), load(0, 2), PLAN))).toEqual(['a0']);
    expect(names(nextClaims(staleShards([9], 1), load(40, 0), PLAN))).toEqual(['a0', 'a1', 'a2']);
    expect(names(nextClaims(staleShards([9], 1), load(0, 3), PLAN))).toEqual([]);
  });

  test('do not keep others from being claimed, and are claimed with them in one write of their shard', () => {
    const [a] = staleShards([3], 1);
    const mixed = { shard: 'a', hosts: [...a!.hosts, { host: 'full', most: 10 }] };
    expect(nextClaims([mixed], load(0, 3), PLAN)).toEqual([{ shard: 'a', hosts: [{ host: 'full', most: 10 }] }]);
    expect(sizesOf(nextClaims([mixed], load(0), PLAN))).toEqual([4]);
  });
});

describe('probes', () => {
  const doubtful = (...hosts: string[]) => hosts.map((host) => ({ host, most: 10, doubt: 'waits' as const }));
  const fifty = [{ shard: 'a', hosts: doubtful(...Array.from({ length: 50 }, (_, i) => `a${i}`)) }];
  const probesOf = (stale: readonly Stale<string>[]): string[] =>
    stale.flatMap(({ hosts }) => hosts.filter(({ doubt }) => doubt === 'probe').map(({ host }) => host));

  test('are a few hosts of those in doubt, to be polled alone; all others stay as they are', () => {
    const stale = [
      { shard: 'a', hosts: [{ host: 'clear', most: 10 }, ...doubtful('a1', 'a2')] },
      { shard: 'b', hosts: doubtful('b1', 'b2', 'b3') },
    ];
    const probed = withProbes(
      stale,
      (_, host) => ['a1', 'b2', 'b3'].includes(host),
      PLAN,
      () => 0.5,
    );
    expect(probesOf(probed)).toEqual(['a1', 'b2', 'b3']);
    const polls = cutIntoPolls(
      probed.flatMap(({ hosts }) => hosts),
      PLAN,
    );
    expect(polls.map((poll) => poll.map(({ host }) => host))).toEqual([
      ['clear'],
      ['a2', 'b1'],
      ['a1'],
      ['b2'],
      ['b3'],
    ]);
  });

  test('are at most three, two of them hosts that were answered about, and one of all', () => {
    const others = new Set<string>();
    for (let run = 0; run < 50; run++) {
      const probes = probesOf(withProbes(fifty, (_, host) => host >= 'a40', PLAN, Math.random));
      expect(new Set(probes).size).toBe(3);
      expect(probes.filter((host) => host >= 'a40').length).toBeGreaterThanOrEqual(2);
      for (const host of probes) if (host < 'a40') others.add(host);
    }
    expect(others.size).toBeGreaterThan(1);
  });

  test('are no more than there may be polls at once', () => {
    expect(probesOf(withProbes(fifty, () => true, { ...PLAN, parallelPolls: 2 }, Math.random))).toHaveLength(2);
    expect(probesOf(withProbes(fifty, () => false, { ...PLAN, parallelPolls: 1 }, Math.random))).toHaveLength(1);
  });

  test('are nobody where no host is in doubt', () => {
    const stale = [{ shard: 'a', hosts: [{ host: 'clear', most: 10 }] }];
    expect(withProbes(stale, () => true, PLAN, Math.random)).toBe(stale);
  });

  test('are claimed with all who wait for them, however little room there is', () => {
    const probed = withProbes(
      fifty,
      () => true,
      PLAN,
      () => 0.5,
    );
    expect(nextClaims(probed, load(1_000, 10), PLAN)).toEqual(probed);
  });
});

describe('cutting into polls', () => {
  test.each([
    [0, []],
    [1, [1]],
    [10, [10]],
    [11, [10, 1]],
    [30, [10, 10, 10]],
  ])('%d hosts are cut into polls of %j, in their order', (count, sizes) => {
    const hosts = Array.from({ length: count }, (_, i) => ({ host: String(i), most: 10 }));
    const polls = cutIntoPolls(hosts, PLAN);
    expect(polls.map((poll) => poll.length)).toEqual(sizes);
    expect(polls.flat()).toEqual(hosts);
  });

  test('polls nobody with more others than it may be polled with, and full batches apart from all others', () => {
    const hosts = [10, 1, 5, 10, 2, 5, 1, 10, 5, 5, 2].map((most, i) => ({ host: String(i), most }));
    const polls = cutIntoPolls(hosts, PLAN).map((poll) => poll.map(({ most }) => most));
    expect(polls).toEqual([[10, 10, 10], [5, 5, 5, 5], [2, 2], [1], [1]]);
  });

  test('never makes a poll that is larger than any of its hosts allows, and loses none', () => {
    const company = fc.integer({ min: 1, max: 12 });
    fc.assert(
      fc.property(fc.array(company, { maxLength: 60 }), (companies) => {
        const hosts = companies.map((most, i) => ({ host: String(i), most }));
        const polls = cutIntoPolls(hosts, PLAN);
        for (const poll of polls)
          expect(poll.length).toBeLessThanOrEqual(Math.min(10, ...poll.map(({ most }) => most)));
        expect(
          polls
            .flat()
            .map(({ host }) => Number(host))
            .sort((a, b) => a - b),
        ).toEqual(hosts.map((_, i) => i));
      }),
    );
  });
});
