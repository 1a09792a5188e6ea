import { beforeEach, describe, expect, test } from '@jest/globals';
import { PollError } from '../../../lambda/errors.ts';
import { shardKey, shardOf } from '../../../lambda/table/shard.ts';
import { unpackShard } from '../../../lambda/table/shard-format.ts';
import { Attester } from '../../fakes/attester.ts';
import { FilterEnvironment, type FilterEnvironmentOptions } from '../../fakes/filter-environment.ts';
import { MemoryDynamoDb, type Weather } from '../../fakes/memory-dynamodb.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';

const HOSTS = Array.from({ length: 30 }, (_, i) => `compute-${i}.example.com`);
const HOST = 'compute-1.example.com';

let clock: VirtualClock;
let dynamodb: MemoryDynamoDb;
let attester: Attester;

beforeEach(() => {
  clock = new VirtualClock();
  dynamodb = new MemoryDynamoDb(clock);
  attester = new Attester(clock);
});

function environment(options: Partial<FilterEnvironmentOptions> = {}): FilterEnvironment {
  return new FilterEnvironment({ clock, dynamodb, connection: attester, ...options });
}

function pollsPerHost(hosts: readonly string[] = HOSTS): number[] {
  return [...new Set(hosts.map((host) => attester.pollsOf(host)))];
}

/** The first calls of a command meet with this weather, one each. */
function weatherOf(command: string, ...weathers: Weather[]): void {
  const left = [...weathers];
  dynamodb.weather = (name) => (name === command ? (left.shift() ?? {}) : {});
}

function storedEntry(host: string) {
  const packed = dynamodb.items.get(shardKey(shardOf(host, 4), 4))?.['entries']?.B;
  return packed === undefined ? undefined : unpackShard(packed, { validityMs: 60_000, recheckMs: 5_000 }).get(host);
}

describe('one environment', () => {
  test('polls a cold host once and then answers from memory', async () => {
    const warm = environment();
    const first = await clock.run(warm.ask(HOSTS));
    expect(first.passed).toEqual(HOSTS);
    expect(first.invocation).toMatchObject({ polls: 1, from: { memory: 0, table: 0, poll: 30 } });
    const second = await clock.run(warm.ask(HOSTS));
    expect(second.invocation).toMatchObject({ polls: 0, from: { memory: 30, table: 0, poll: 0 } });
    expect(attester.polls).toHaveLength(1);
  });

  test('looks at the table again when its last look is five seconds old, and no earlier', async () => {
    const warm = environment();
    await clock.run(warm.ask([HOST]));
    const calls = dynamodb.calls.length;
    await clock.advance(4_000);
    await clock.run(warm.ask([HOST]));
    expect(dynamodb.calls).toHaveLength(calls);
    await clock.advance(2_000);
    expect((await clock.run(warm.ask([HOST]))).passed).toEqual([HOST]);
    expect(dynamodb.calls).toHaveLength(calls + 1);
    expect(attester.polls).toHaveLength(1);
  });

  test('writes a result before the request that waits for it is answered', async () => {
    await clock.run(environment().ask([HOST]));
    expect(storedEntry(HOST)).toMatchObject({ attestation: { level: 'trusted' }, claim: undefined });
  });

  test('a request that asks for a host twice gets it twice, for one poll', async () => {
    const { passed } = await clock.run(environment().ask([HOST, 'other', HOST]));
    expect(passed).toEqual([HOST, 'other', HOST]);
    expect(attester.pollsOf(HOST)).toBe(1);
  });

  test.each([
    ['hours ago', 'Mon Nov 23 08:11:58 2026'],
    ['hours ahead', '2099-11-23T21:11:58.000'],
  ])('counts an answer whose time has no zone, and would be %s, from when it was asked for', async (_, vtime) => {
    attester.vtime = () => vtime;
    attester.latencyMs = 5_000;
    const warm = environment();
    const { passed, validUntil = 0 } = await clock.run(warm.ask([HOST]));
    expect(passed).toEqual([HOST]);
    expect(validUntil).toBe((attester.polls[0]?.sentAt ?? 0) + 60_000);
    expect([...warm.counts.takeMeasures().keys()]).toEqual(['ClockDifference']);
    expect(warm.counted()).toEqual({ Polls: 1, ZonelessVtimes: 1 });
    await clock.advance(validUntil - clock.now() - 100);
    for (const each of [warm, environment()]) {
      expect(await clock.run(each.ask([HOST]))).toMatchObject({ passed: [HOST], validUntil });
    }
    expect(attester.polls).toHaveLength(1);
    await clock.advance(100);
    await clock.run(warm.ask([HOST]));
    expect(attester.polls).toHaveLength(2);
  });

  test('counts no time without a zone as late where the poll took longer than the validity', async () => {
    attester.vtime = () => 'Mon Nov 23 08:11:58 2026';
    const hasty = environment({ validityMs: 500, recheckMs: 500 });
    expect((await clock.run(hasty.ask([HOST]))).passed).toEqual([HOST]);
    expect(hasty.counted()).toEqual({ Polls: 1, ZonelessVtimes: 1 });
  });

  test('a pattern holds for what the table and memory know, too', async () => {
    const sameShard = HOSTS.filter((host) => shardOf(host, 4) === shardOf(HOST, 4)).slice(0, 2);
    await clock.run(environment().ask([...sameShard, HOST]));
    const [good, evil] = sameShard;
    const strict = environment({ hostPattern: new RegExp(`^${good}$`) });
    expect((await clock.run(strict.ask([good!]))).passed).toEqual([good]);
    expect((await clock.run(strict.ask([evil!]))).reasons.get(evil!)).toBe('unknown');
  });

  test('one host is the special case of many', async () => {
    const { cache, filter } = environment();
    const { invocation } = await clock.run(environment().ask([]));
    await expect(clock.run(cache.getHostAttestation(HOST, invocation))).resolves.toMatchObject({ level: 'trusted' });
    await expect(clock.run(filter.hostPasses({ nodename: HOST }, { trust: 'trusted' }, invocation))).resolves.toBe(
      true,
    );
    await expect(clock.run(filter.hostPasses({ nodename: HOST }, { trust: 'untrusted' }, invocation))).resolves.toBe(
      false,
    );
    await expect(clock.run(filter.hostPasses({ nodename: 'never-polled' }, {}, invocation))).resolves.toBe(true);
    expect(attester.pollsOf('never-polled')).toBe(0);
  });

  test('sends no more polls at once than it may', async () => {
    let most = 0;
    attester.onPoll = () => {
      most = Math.max(most, attester.polls.filter(({ endedAt }) => endedAt === undefined).length);
    };
    const narrow = environment({ requestCount: 2, parallelPolls: 3 });
    expect((await clock.run(narrow.ask(HOSTS))).passed).toEqual(HOSTS);
    expect(most).toBe(3);
    expect(pollsPerHost()).toEqual([1]);
    for (const { hosts } of attester.polls) expect(hosts.length).toBeLessThanOrEqual(2);
  });

  test('an attestation that ends while the request waits for others is not passed on', async () => {
    const warm = environment({ validityMs: 10_000 });
    await clock.run(warm.ask([HOST]));
    await clock.advance(8_000);
    attester.level = (host) => (host === HOST ? 'untrusted' : 'trusted');
    attester.latencyMs = 5_000;
    const { passed, reasons } = await clock.run(warm.ask([HOST, 'slow']));
    expect(passed).toEqual(['slow']);
    expect(reasons.get(HOST)).toBe('untrusted');
  });

  test('with a validity of zero every request polls, and is decided by its own poll', async () => {
    const paranoid = environment({ validityMs: 0, recheckMs: 0 });
    for (const polls of [1, 2, 3]) {
      expect((await clock.run(paranoid.ask([HOST]))).passed).toEqual([HOST]);
      expect(attester.polls).toHaveLength(polls);
      await clock.advance(1);
    }
  });

  test('what a poll decided early stands until the answer, though it has left memory by then', async () => {
    const paranoid = environment({ validityMs: 0, recheckMs: 0, requestCount: 1 });
    const [early, late] = HOSTS.filter((host) => shardOf(host, 4) === shardOf(HOST, 4));
    attester.latencyOf = (hosts) => (hosts.includes(early!) ? 100 : 3_000);
    // Of a name that was never more than unknown, nothing is kept.
    attester.level = (host) => (host === early ? 'unknown' : 'trusted');
    const { reasons } = await clock.run(paranoid.ask([early!, late!]));
    expect([...reasons.values()]).toEqual(['unknown', 'trusted']);
    expect(attester.polls).toHaveLength(2);
  });

  test('a request whose time is over says pending, has its poll aborted and its claim ended', async () => {
    attester.latencyMs = 60_000;
    const { reasons } = await clock.run(environment().ask([HOST], 'trusted', 4_000));
    expect(reasons.get(HOST)).toBe('pending');
    expect(attester.polls[0]?.endedAt).toBe(attester.polls[0]!.sentAt + 3_500 - (attester.polls[0]!.sentAt - start()));
    expect(storedEntry(HOST)).toMatchObject({ claim: undefined, lastTry: { reason: 'pending' } });
  });

  test('a poll goes on for a request that has longer, when another that shares it must answer', async () => {
    attester.latencyMs = 6_000;
    const shared = environment();
    const short = shared.ask([HOST], 'trusted', 4_000);
    const long = shared.ask([HOST]);
    expect((await clock.run(short)).reasons.get(HOST)).toBe('pending');
    expect((await clock.run(long)).passed).toEqual([HOST]);
    expect(attester.polls).toHaveLength(1);
  });

  test('hosts that are still queued when the request must answer are pending, and their claims end', async () => {
    attester.latencyMs = 3_000;
    const narrow = environment({ requestCount: 1, parallelPolls: 1 });
    const { passed, reasons } = await clock.run(narrow.ask(HOSTS.slice(0, 6), 'trusted', 5_000));
    expect(passed).toHaveLength(1);
    expect([...reasons.values()].filter((reason) => reason === 'pending')).toHaveLength(5);
    for (const host of HOSTS.slice(0, 6)) expect(storedEntry(host)?.claim).toBeUndefined();
  });
});

const start = (): number => Date.UTC(2026, 10, 23, 16);

describe('several environments', () => {
  test('poll each host once, however many ask at once', async () => {
    const asks = Array.from({ length: 8 }, () => environment()).flatMap((each) => [each.ask(HOSTS), each.ask(HOSTS)]);
    for (const { passed } of await clock.run(Promise.all(asks))) expect(passed).toEqual(HOSTS);
    expect(pollsPerHost()).toEqual([1]);
    expect(attester.mostAtOnce).toBe(1);
  });

  test('poll each host once also where their requests overlap only in part', async () => {
    const asks = Array.from({ length: 6 }, (_, i) => environment().ask(HOSTS.slice(i * 4, i * 4 + 10)));
    await clock.run(Promise.all(asks));
    expect(pollsPerHost()).toEqual([1]);
  });

  test('see a pause after a failed try that another environment made', async () => {
    attester.reply = () => {
      throw new PollError('unreachable', 'down');
    };
    await clock.run(environment().ask([HOST]));
    const { reasons } = await clock.run(environment().ask([HOST]));
    expect(reasons.get(HOST)).toBe('unreachable');
    expect(attester.polls).toHaveLength(1);
  });

  test('refuse a host within five seconds of the write that found it untrusted', async () => {
    const others = Array.from({ length: 7 }, () => environment({ validityMs: 600_000 }));
    for (const other of others) await clock.run(other.ask([HOST]));
    attester.level = () => 'untrusted';
    await clock.advance(1_000);
    // The one that finds out has a shorter validity, and so polls earlier.
    await clock.run(environment({ validityMs: 1, recheckMs: 1 }).ask([HOST]));
    await clock.advance(5_000);
    for (const other of others) expect((await clock.run(other.ask([HOST]))).passed).toEqual([]);
  });
});

describe('a purge', () => {
  const soon = (): number => clock.monotonic() + 10_000;

  test('is everybody’s within five seconds of its write', async () => {
    const environments = Array.from({ length: 8 }, () => environment({ validityMs: 600_000 }));
    for (const each of environments) await clock.run(each.ask([HOST]));
    attester.level = () => 'untrusted';
    await clock.advance(1_000);
    await expect(clock.run(environments[0]!.cache.purge([HOST], soon()))).resolves.toBe(true);
    expect((await clock.run(environments[0]!.ask([HOST]))).passed).toEqual([]);
    await clock.advance(5_000);
    for (const each of environments) expect((await clock.run(each.ask([HOST]))).passed).toEqual([]);
    expect(attester.polls).toHaveLength(2);
  });

  test('drops the result of a poll that was sent before it, and leaves the claims of other hosts', async () => {
    const [neighbour] = HOSTS.filter((host) => host !== HOST && shardOf(host, 4) === shardOf(HOST, 4));
    const asking = environment();
    const asked = asking.ask([HOST, neighbour!]);
    while (attester.polls.length === 0) await clock.advance(1);
    await clock.run(environment().cache.purge([HOST], soon()));
    expect(storedEntry(neighbour!)?.claim).toBeDefined();
    expect((await clock.run(asked)).passed).toEqual([HOST, neighbour]);
    expect(attester.pollsOf(HOST)).toBe(2);
    expect(attester.pollsOf(neighbour!)).toBe(1);
  });

  test('says so where the table did not take it', async () => {
    dynamodb.weather = () => ({ fault: Object.assign(new Error('not yours'), { name: 'AccessDeniedException' }) });
    await expect(clock.run(environment().cache.purge([HOST], soon()))).resolves.toBe(false);
  });
});

describe('the traps of a shared cache', () => {
  test('an eventual read that shows the past starts no second poll', async () => {
    dynamodb.weather = (name) => (name === 'BatchGetItem' ? { staleBy: 2 } : {});
    const environments = [environment(), environment(), environment()];
    for (let round = 0; round < 4; round++) {
      const asks = environments.map((each) => each.ask(HOSTS));
      for (const { reasons } of await clock.run(Promise.all(asks)))
        expect([round, ...new Set(reasons.values())]).toEqual([round, 'trusted']);
      await clock.advance(6_000);
    }
    expect(pollsPerHost()).toEqual([1]);
  });

  test('a claim whose answer was lost is recognised as one’s own', async () => {
    weatherOf('PutItem', { answerIsLost: true });
    const { passed } = await clock.run(environment().ask([HOST]));
    expect(passed).toEqual([HOST]);
    expect(attester.polls).toHaveLength(1);
    expect(clock.now() - start()).toBeLessThan(3_000);
  });

  test('a result whose answer was lost is not written again', async () => {
    weatherOf('PutItem', {}, { answerIsLost: true });
    expect((await clock.run(environment().ask([HOST]))).passed).toEqual([HOST]);
    expect(attester.polls).toHaveLength(1);
    expect(storedEntry(HOST)).toMatchObject({ attestation: { level: 'trusted' }, claim: undefined });
  });

  test('a claim that would end before its poll does is taken again before the poll is sent', async () => {
    attester.latencyMs = 11_500;
    const claimsAtPoll: number[] = [];
    attester.onPoll = (host) => claimsAtPoll.push((storedEntry(host)?.claim?.until ?? 0) - clock.now());
    const narrow = environment({ requestCount: 1, parallelPolls: 1 });
    const sameShard = HOSTS.filter((host) => shardOf(host, 4) === shardOf(HOST, 4)).slice(0, 2);
    await clock.run(narrow.ask(sameShard));
    expect(claimsAtPoll).toHaveLength(2);
    for (const left of claimsAtPoll) expect(left).toBeGreaterThan(21_000);
  });

  test('a poll is cut short by the end of its claim', async () => {
    attester.latencyMs = 60_000;
    const slowTable = environment({ pollTimeoutMs: 60_000 });
    await clock.run(slowTable.ask([HOST], 'trusted', 120_000));
    for (const { sentAt, endedAt } of attester.polls) expect(endedAt! - sentAt).toBeLessThanOrEqual(28_000);
  });

  test('a put on what was read before the item was deleted and made anew overwrites nothing', async () => {
    const first = environment();
    await clock.run(first.ask([HOST]));
    const key = shardKey(shardOf(HOST, 4), 4);
    dynamodb.expire(key);
    const neighbour = HOSTS.find((host) => host !== HOST && shardOf(host, 4) === shardOf(HOST, 4))!;
    const second = environment();
    const waiting = second.ask([neighbour]);
    while (storedEntry(neighbour)?.claim === undefined) await clock.advance(1);
    await clock.run(first.ask([neighbour]));
    await clock.run(waiting);
    expect(attester.pollsOf(neighbour)).toBe(1);
  });

  test('two environments of one process are two owners', async () => {
    attester.latencyMs = 3_000;
    const [a, b] = [environment(), environment()];
    await clock.run(Promise.all([a.ask(HOSTS), b.ask(HOSTS), a.ask(HOSTS), b.ask(HOSTS)]));
    expect(pollsPerHost()).toEqual([1]);
    expect(attester.mostAtOnce).toBe(1);
  });

  test('a claim whose owner is gone ends by time, and another takes over', async () => {
    const dying = environment();
    void dying.ask([HOST]);
    while (attester.polls.length === 0) await clock.advance(1);
    dying.crash();
    const { passed } = await clock.run(environment().ask([HOST]));
    expect(passed).toEqual([HOST]);
    expect(clock.now() - start()).toBeGreaterThan(22_000 - 1_000);
    expect(clock.now() - start()).toBeLessThan(25_000);
  });

  test('a late answer decides those who waited for it although its write took longer than the recheck', async () => {
    attester.vtime = (now) => now - 120_000;
    weatherOf('PutItem', {}, { latencyMs: 4_000 });
    const { passed } = await clock.run(environment().ask([HOST]));
    expect(passed).toEqual([HOST]);
    expect(attester.polls).toHaveLength(1);
  });

  test('an own claim of the past, which an eventual read shows again, is no leave to poll', async () => {
    // Late answers: the host is stale again after the recheck, while the claim of the first poll has not ended by time.
    attester.vtime = (now) => now - 120_000;
    const [first, second] = [environment(), environment()];
    await clock.run(first.ask([HOST]));
    await clock.advance(6_000);
    attester.latencyMs = 5_000;
    const other = second.ask([HOST]);
    while (attester.polls.length < 2) await clock.advance(1);
    dynamodb.weather = () => ({ staleBy: 2 });
    await clock.run(Promise.all([first.ask([HOST]), other]));
    expect(attester.mostAtOnce).toBe(1);
    expect(attester.polls).toHaveLength(2);
  });

  test('a want that arrives while a claim is being written is not overlooked', async () => {
    weatherOf('PutItem', { latencyMs: 500 });
    attester.latencyOf = (hosts) => (hosts.includes(HOST) ? 10_000 : 1_000);
    const busy = environment();
    const first = busy.ask([HOST]);
    await clock.advance(300);
    const second = busy.ask(['other']);
    expect((await clock.run(second)).passed).toEqual(['other']);
    expect(clock.now() - start()).toBeLessThan(5_000);
    expect((await clock.run(first)).passed).toEqual([HOST]);
  });
});

describe('a host that somebody else polls beyond the time of a request', () => {
  /** What a request with little time gets, and then one that waits for the end of the poll. */
  async function askTwice(waitMs: number, before: () => Promise<void> = async () => {}) {
    const [first, second] = [environment(), environment()];
    await clock.run(first.ask([HOST]));
    await clock.advance(waitMs);
    await before();
    attester.latencyMs = 10_000;
    const polling = second.ask([HOST]);
    const polls = attester.polls.length;
    while (attester.polls.length === polls) await clock.advance(1);
    const [trusted, untrusted] = await clock.run(
      Promise.all((['trusted', 'untrusted'] as const).map((trust) => first.ask([HOST], trust, 4_000))),
    );
    expect([trusted?.passed, untrusted?.passed]).toEqual([[], []]);
    expect(trusted?.validUntil).toBeUndefined();
    expect(untrusted?.reasons).toEqual(trusted?.reasons);
    expect((await clock.run(polling)).passed).toEqual([HOST]);
    expect(attester.polls).toHaveLength(polls + 1);
    return trusted?.reasons.get(HOST);
  }

  test('is late where the last answer was too old when it came, and waited for all the same', async () => {
    attester.vtime = (now) => now - 120_000;
    expect(await askTwice(6_000)).toBe('late');
  });

  test('is late also long after', async () => {
    attester.vtime = (now) => now - 120_000;
    expect(await askTwice(3_600_000)).toBe('late');
  });

  test('is pending where the last answer ended after it came', async () => {
    expect(await askTwice(61_000)).toBe('pending');
  });

  test('is pending where a poll has failed since', async () => {
    attester.vtime = (now) => now - 120_000;
    const failed = async (): Promise<void> => {
      attester.statusOf = () => 503;
      expect((await clock.run(environment().ask([HOST]))).reasons.get(HOST)).toBe('unreachable');
      attester.statusOf = () => 200;
      await clock.advance(6_000);
    };
    expect(await askTwice(6_000, failed)).toBe('pending');
  });

  test('is pending where nothing but memory says that it was late, and the table can’t be read', async () => {
    attester.vtime = (now) => now - 120_000;
    const warm = environment();
    await clock.run(warm.ask([HOST]));
    await clock.advance(6_000);
    dynamodb.weather = () => ({ latencyMs: 60_000 });
    attester.latencyMs = 10_000;
    expect((await clock.run(warm.ask([HOST], 'trusted', 4_000))).reasons.get(HOST)).toBe('pending');
  });
});

describe('DynamoDB', () => {
  const throttled = Object.assign(new Error('slow down'), { name: 'ProvisionedThroughputExceededException' });
  const denied = Object.assign(new Error('not yours'), { name: 'AccessDeniedException' });

  test.each([
    ['throttles everything', () => ({ fault: throttled })],
    ['denies everything', () => ({ fault: denied })],
    ['denies writes', (name: string) => (name === 'PutItem' ? { fault: denied } : {})],
    ['throttles writes', (name: string) => (name === 'PutItem' ? { fault: throttled } : {})],
  ] as [string, (name: string) => Weather][])(
    'that %s: hosts are polled without it and answered in time, counted',
    async (_, weather) => {
      dynamodb.weather = weather;
      attester.level = (host) => (host === HOST ? 'untrusted' : 'trusted');
      const lonely = environment({ requestCount: 10 });
      const { passed, reasons } = await clock.run(lonely.ask(HOSTS));
      expect(passed).toEqual(HOSTS.filter((host) => host !== HOST));
      expect(reasons.get(HOST)).toBe('untrusted');
      expect(clock.now() - start()).toBeLessThan(25_000);
      const counted = lonely.counted();
      expect(counted).toMatchObject({ PollsWithoutClaim: 3 });
      expect(counted['TableFaults']).toBeGreaterThan(0);
    },
  );

  test('that takes a claim and then nothing more: who must answer soon is answered from what came, whoever waits for longer', async () => {
    let puts = 0;
    dynamodb.weather = (name) => (name === 'PutItem' && ++puts > 1 ? { fault: throttled } : {});
    const shared = environment();
    const patient = shared.ask([HOST]);
    const hurried = shared.ask([HOST], 'trusted', 4_000);
    expect((await clock.run(hurried)).passed).toEqual([HOST]);
    expect(clock.now() - start()).toBeLessThanOrEqual(4_000);
    expect((await clock.run(patient)).passed).toEqual([HOST]);
    expect(attester.polls).toHaveLength(1);
  });

  test('that does not answer: one poll at a time in an environment', async () => {
    dynamodb.weather = () => ({ fault: denied });
    const lonely = environment({ requestCount: 10 });
    let most = 0;
    attester.onPoll = () => {
      most = Math.max(most, attester.polls.filter(({ endedAt }) => endedAt === undefined).length);
    };
    await clock.run(lonely.ask(HOSTS));
    expect(attester.polls).toHaveLength(3);
    expect(most).toBe(1);
  });

  test('that does not answer for a while: memory serves until the end of validity, and the next request does not wait', async () => {
    const warm = environment();
    await clock.run(warm.ask([HOST]));
    dynamodb.weather = () => ({ fault: throttled });
    await clock.advance(20_000);
    expect((await clock.run(warm.ask([HOST]))).passed).toEqual([HOST]);
    const before = clock.now();
    expect((await clock.run(warm.ask([HOST]))).passed).toEqual([HOST]);
    expect(clock.now()).toBe(before);
    expect(attester.polls).toHaveLength(1);
  });

  test('that does not answer: the next request, for hosts of other shards, does not wait for it', async () => {
    dynamodb.weather = () => ({ fault: throttled });
    const lonely = environment();
    const [first, ...others] = [0, 1, 2, 3].map((index) => HOSTS.find((host) => shardOf(host, 4) === index)!);
    expect((await clock.run(lonely.ask([first!]))).passed).toEqual([first]);
    const before = clock.now();
    expect((await clock.run(lonely.ask(others))).passed).toEqual(others);
    expect(clock.now() - before).toBeLessThan(2_000);
  });

  test('that leaves keys unprocessed is asked for them again', async () => {
    weatherOf('BatchGetItem', { unprocessed: 3 }, { unprocessed: 1 });
    const { passed } = await clock.run(environment().ask(HOSTS));
    expect(passed).toEqual(HOSTS);
    expect(pollsPerHost()).toEqual([1]);
  });

  test('with a shard that is damaged: its hosts are polled again, counted', async () => {
    await clock.run(environment().ask([HOST]));
    const item = dynamodb.items.get(shardKey(shardOf(HOST, 4), 4))!;
    item['entries'] = { B: new Uint8Array([1, 2, 3]) };
    const other = environment();
    expect((await clock.run(other.ask([HOST]))).passed).toEqual([HOST]);
    expect(other.counted()).toMatchObject({ Polls: 1 });
    expect(storedEntry(HOST)).toMatchObject({ attestation: { level: 'trusted' } });
  });
});
