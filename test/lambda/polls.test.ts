import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { cutIntoPolls, nextClaims } from '../../lambda/polls.ts';

/** Room for four polls of ten. */
const PLAN = { requestCount: 10, parallelPolls: 4 };

/** Shards a, b, c, … with as many stale hosts as given. */
function staleShards(sizes: readonly number[]): { shard: string; hosts: string[] }[] {
  return sizes.map((size, i) => {
    const shard = String.fromCharCode(0x61 + i);
    return { shard, hosts: Array.from({ length: size }, (_, j) => `${shard}${j}`) };
  });
}

const sizesOf = (claims: readonly { hosts: readonly string[] }[]): number[] => claims.map(({ hosts }) => hosts.length);

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
    expect(sizesOf(nextClaims(staleShards(sizes), underWay, PLAN))).toEqual(expected);
  });

  test('take the first hosts of a shard that is cut', () => {
    const [claim] = nextClaims(staleShards([1_000]), 0, { requestCount: 1, parallelPolls: 2 });
    expect(claim).toEqual({ shard: 'a', hosts: ['a0', 'a1'] });
  });

  test('always take something when nothing is under way, and never more than one poll too many', () => {
    const plan = fc.record({
      requestCount: fc.integer({ min: 1, max: 50 }),
      parallelPolls: fc.integer({ min: 1, max: 20 }),
    });
    const sizes = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(sizes, plan, fc.nat(2_000), (some, thePlan, underWay) => {
        const total = sizesOf(nextClaims(staleShards(some), underWay, thePlan)).reduce((sum, size) => sum + size, 0);
        if (underWay === 0) expect(total).toBeGreaterThan(0);
        const most = Math.max(0, (thePlan.parallelPolls + 1) * thePlan.requestCount - underWay);
        expect(total).toBeLessThanOrEqual(most);
      }),
    );
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
    const hosts = Array.from({ length: count }, (_, i) => i);
    const polls = cutIntoPolls(hosts, 10);
    expect(polls.map((poll) => poll.length)).toEqual(sizes);
    expect(polls.flat()).toEqual(hosts);
  });
});
