/** Layouts that change and come back, as environments of before and after meet them. */
import { beforeEach, describe, expect, test } from '@jest/globals';
import { LAYOUT_KEY } from '../../../lambda/table/layout.ts';
import { shardKey, shardOf } from '../../../lambda/table/shard.ts';
import { Attester } from '../../fakes/attester.ts';
import { FilterEnvironment, type FilterEnvironmentOptions } from '../../fakes/filter-environment.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';
import { HOUR, NOW, SECOND } from '../builders.ts';

const HOST = 'compute-1';
const HOSTS = Array.from({ length: 300 }, (_, i) => `compute-${i}`);
const VALIDITY_MS = 2 * HOUR;
const AFTER_DEPLOYMENT = 301 * SECOND;

let clock: VirtualClock;
let dynamodb: MemoryDynamoDb;
let attester: Attester;
let level: string;

beforeEach(() => {
  clock = new VirtualClock(NOW);
  dynamodb = new MemoryDynamoDb(clock);
  attester = new Attester(clock);
  level = 'trusted';
  attester.level = () => level;
});

/** An environment of a release with so many shards. */
function environment(shardCount: number, options: Partial<FilterEnvironmentOptions> = {}): FilterEnvironment {
  return new FilterEnvironment({
    ...{ clock, dynamodb, connection: attester, validityMs: VALIDITY_MS, shardCount },
    ...options,
  });
}

async function reason(by: FilterEnvironment, host = HOST): Promise<string | undefined> {
  return (await clock.run(by.ask([host]))).reasons.get(host);
}

/** Has every host of which anything is known polled anew. */
function round(by: FilterEnvironment): Promise<unknown> {
  return clock.run(by.refresher().round());
}

function layoutName(): string | undefined {
  return dynamodb.items.get(LAYOUT_KEY)?.['layout']?.S;
}

describe('another number of shards', () => {
  test.each([
    [10, 20],
    [20, 10],
    [3, 7],
    [7, 1],
  ])('costs no second poll of what is known already (%d to %d)', async (before, after) => {
    await clock.run(environment(before).ask(HOSTS));
    await clock.advance(AFTER_DEPLOYMENT);
    const polls = attester.polls.length;
    const asked = await clock.run(environment(after).ask(HOSTS));
    expect(asked.passed).toEqual(HOSTS);
    expect(attester.polls).toHaveLength(polls);
    expect(layoutName()).toBe(`v1/${after}`);
    // And so that a scheduled round knows them all.
    expect(await round(environment(after))).toMatchObject({ hosts: HOSTS.length, renewed: HOSTS.length, due: 0 });
  });

  test('is everybody’s within five seconds, and what is found in it', async () => {
    const old = environment(10);
    await clock.run(old.ask([HOST]));
    await clock.advance(AFTER_DEPLOYMENT);
    expect(await reason(old)).toBe('trusted');
    level = 'untrusted';
    await round(environment(20));
    await clock.advance(5 * SECOND);
    expect(await reason(old)).toBe('untrusted');
  });

  test('leaves what is under way where it finds it: nobody else polls, and its result is everybody’s', async () => {
    attester.latencyMs = 10 * SECOND;
    const old = environment(10);
    const first = old.ask([HOST]);
    await clock.advance(2 * SECOND);
    const second = environment(20, { deploymentMs: 0 }).ask([HOST]);
    await clock.advance(SECOND);
    expect(layoutName()).toBe('v1/20');
    expect((await clock.run(first)).passed).toEqual([HOST]);
    expect((await clock.run(second)).passed).toEqual([HOST]);
    expect(await reason(environment(20))).toBe('trusted');
    expect(attester.polls).toHaveLength(1);
  });

  test('takes what an environment writes that does not know of it yet', async () => {
    const old = environment(10);
    await clock.run(old.ask([HOST]));
    await clock.advance(AFTER_DEPLOYMENT);
    level = 'untrusted';
    attester.latencyMs = 2 * SECOND;
    const renewing = old.refresher().round();
    await clock.advance(3 * SECOND);
    const late = environment(20);
    await clock.run(late.cache.purge(['other'], clock.monotonic() + 10 * SECOND));
    await clock.run(renewing);
    await clock.advance(5 * SECOND);
    expect(await reason(late)).toBe('untrusted');
    expect(attester.polls).toHaveLength(2);
  });

  test('is written in also where TTL has deleted since what it was read over from', async () => {
    await clock.run(environment(1).ask(HOSTS));
    await clock.advance(AFTER_DEPLOYMENT);
    const late = environment(2);
    const [first = '', second = ''] = [0, 1].map((index) => HOSTS.find((host) => shardOf(host, 2) === index));
    await clock.run(late.cache.purge([first], clock.monotonic() + 10 * SECOND));
    dynamodb.expire(shardKey(0, 1));
    await clock.run(late.cache.purge([second], clock.monotonic() + 10 * SECOND));
    expect(dynamodb.items.has(shardKey(1, 2))).toBe(true);
    expect(late.counted()).not.toHaveProperty('TableConflicts');
  });

  test('keeps a purge', async () => {
    await clock.run(environment(10).ask([HOST]));
    await clock.advance(AFTER_DEPLOYMENT);
    await clock.run(environment(10).cache.purge([HOST], clock.monotonic() + 10 * SECOND));
    level = 'untrusted';
    expect(await reason(environment(20))).toBe('untrusted');
  });
});

describe('a layout that comes back', () => {
  test('has nothing decided by what was written before it came back', async () => {
    await clock.run(environment(10).ask([HOST]));
    await clock.advance(AFTER_DEPLOYMENT);
    level = 'untrusted';
    await round(environment(20));
    await clock.advance(AFTER_DEPLOYMENT);
    const polls = attester.polls.length;
    expect(await reason(environment(10))).toBe('untrusted');
    expect(attester.polls).toHaveLength(polls);
  });

  test('does not have memory of its first time decide, either', async () => {
    const asleep = environment(10);
    await clock.run(asleep.ask([HOST]));
    await clock.advance(AFTER_DEPLOYMENT);
    await clock.run(environment(20).cache.purge([HOST], clock.monotonic() + 10 * SECOND));
    await clock.advance(AFTER_DEPLOYMENT);
    await clock.run(environment(10).ask(['other']));
    level = 'untrusted';
    expect(await reason(asleep)).toBe('untrusted');
  });

  test('has what nobody looked at in between from its first time', async () => {
    await clock.run(environment(10).ask(HOSTS));
    await clock.advance(AFTER_DEPLOYMENT);
    level = 'untrusted';
    await clock.run(environment(13).cache.purge([HOST], clock.monotonic() + 10 * SECOND));
    expect(await reason(environment(13))).toBe('untrusted');
    await clock.advance(AFTER_DEPLOYMENT);
    const polls = attester.polls.length;
    const asked = await clock.run(environment(10).ask(HOSTS));
    expect(asked.passed).toEqual(HOSTS.filter((host) => host !== HOST));
    expect(attester.polls).toHaveLength(polls);
  });
});

describe('while functions are being replaced', () => {
  test('one of before that begins goes along with the new layout, and does not bring the old one back', async () => {
    await clock.run(environment(10).ask([HOST]));
    await clock.advance(AFTER_DEPLOYMENT);
    await clock.run(environment(20).ask([HOST]));
    await clock.advance(60 * SECOND);
    const late = environment(10);
    expect(await reason(late)).toBe('trusted');
    expect(layoutName()).toBe('v1/20');
    await clock.advance(AFTER_DEPLOYMENT);
    expect(await reason(late)).toBe('trusted');
    expect(layoutName()).toBe('v1/20');
    expect(attester.polls).toHaveLength(1);
  });

  test('two that put their layouts there at once agree on one', async () => {
    const both = [environment(10), environment(20)];
    await clock.run(Promise.all(both.map((each) => each.ask([HOST]))));
    expect(attester.polls).toHaveLength(1);
  });
});

describe('a layout of another release', () => {
  beforeEach(async () => {
    await clock.run(environment(10).ask([HOST]));
    await clock.advance(AFTER_DEPLOYMENT);
  });

  function replace(): void {
    const item = dynamodb.items.get(LAYOUT_KEY)!;
    const since = { N: String(clock.now()) };
    dynamodb.items.set(LAYOUT_KEY, { ...item, layout: { S: 'v2/10' }, since, version: { S: 'another' } });
  }

  test('has those of before ask the service, without the table and with nothing from before', async () => {
    const old = environment(10);
    await clock.run(old.ask([HOST]));
    replace();
    const writes = dynamodb.calls.filter(({ name }) => name === 'PutItem').length;
    level = 'untrusted';
    await clock.advance(5 * SECOND);
    expect(await reason(old)).toBe('untrusted');
    expect(old.counted()).toMatchObject({ PollsWithoutClaim: 1 });
    expect(dynamodb.calls.filter(({ name }) => name === 'PutItem')).toHaveLength(writes);
    // What it found itself does not outlive the next look, either.
    level = 'trusted';
    await clock.advance(11 * SECOND);
    expect(await reason(old)).toBe('trusted');
  });

  test('gives way to those that begin later, with nothing read over', async () => {
    replace();
    await clock.advance(AFTER_DEPLOYMENT);
    const polls = attester.polls.length;
    expect(await reason(environment(10))).toBe('trusted');
    expect(attester.polls).toHaveLength(polls + 1);
    expect(layoutName()).toBe('v1/10');
  });
});

describe('what the layout costs', () => {
  test('is a key more in a look that is made anyway, and a put when it changes', async () => {
    const asking = environment(4);
    await clock.run(asking.ask(HOSTS));
    const calls = dynamodb.calls.length;
    await clock.advance(6 * SECOND);
    await clock.run(asking.ask(HOSTS));
    expect(dynamodb.calls.slice(calls)).toEqual([{ name: 'BatchGetItem', keys: 5, isStrong: false }]);
    expect(dynamodb.calls.filter(({ name }) => name === 'PutLayout')).toHaveLength(1);
  });

  test('and when it has changed, one put of each shard of before', async () => {
    await clock.run(environment(4).ask(HOSTS));
    await clock.advance(AFTER_DEPLOYMENT);
    const puts = (): number => dynamodb.calls.filter(({ name }) => name === 'PutItem').length;
    const before = puts();
    await round(environment(8));
    // Of each new shard: claims, and what came of the polls, where a poll's hosts are of several shards.
    expect(puts() - before).toBeLessThanOrEqual(4 + 2 * 8);
    const closed = [...dynamodb.items.values()].filter((item) => item['closed'] !== undefined);
    expect(closed.map((item) => item['shard']?.S).toSorted()).toEqual(['v1/4/0', 'v1/4/1', 'v1/4/2', 'v1/4/3']);
  });

  test('a hundred shards are read in two calls', async () => {
    const asking = environment(100);
    await clock.run(asking.refresher().round());
    const reads = dynamodb.calls.filter(({ name }) => name === 'BatchGetItem').map(({ keys }) => keys);
    expect(reads.slice(0, 2)).toEqual([100, 2]);
  });
});
