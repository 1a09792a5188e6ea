/** Rule 7: always an answer in time, and at a bounded cost, whatever is asked. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Situation } from '../../../lambda/polling/situation.ts';
import { ShardActor } from '../../../lambda/table/shard-actor.ts';
import { Attester } from '../../fakes/attester.ts';
import { FilterEnvironment, type FilterEnvironmentOptions } from '../../fakes/filter-environment.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';

const MOST_ASKED = 70_000;
const NEVER_MS = 10_000_000;
const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `compute-${i}.example.com`);
const strangers = (count: number, length = 30): string[] =>
  Array.from({ length: count }, (_, i) => `stranger-${i}-`.padEnd(length, 'x'));

let clock: VirtualClock;
let dynamodb: MemoryDynamoDb;
let attester: Attester;
let units: number;
let largest: number;

beforeEach(() => {
  clock = new VirtualClock();
  dynamodb = new MemoryDynamoDb(clock);
  attester = new Attester(clock);
  attester.level = (host) => (host.startsWith('compute-') ? 'trusted' : 'unknown');
  units = 0;
  largest = 0;
  dynamodb.onPut = (_before, { entries }) => {
    const bytes = entries?.B?.length ?? 0;
    units += Math.ceil(bytes / 1024);
    largest = Math.max(largest, bytes);
  };
});

function environment(options: Partial<FilterEnvironmentOptions> = {}): FilterEnvironment {
  return new FilterEnvironment({ clock, dynamodb, connection: attester, shardCount: 10, ...options });
}

describe('names that nobody knows, seventy thousand in one request, in a fleet of a thousand', () => {
  const honest = names(1_000);

  test('are polled as far as there is room for new hosts; the rest is pending at once, and counted', async () => {
    const asking = environment();
    await clock.run(asking.ask(honest));
    const askedAt = clock.now();
    asking.counted();
    const { reasons } = await clock.run(asking.ask(strangers(MOST_ASKED)));
    const byReason = Object.groupBy([...reasons.values()], (reason) => reason);
    expect(byReason.unknown?.length).toBe(2_000);
    expect(byReason.pending?.length).toBe(MOST_ASKED - 2_000);
    expect(asking.counted()).toMatchObject({ HostsLeftOut: MOST_ASKED - 2_000, Polls: 20 });
    expect(clock.now() - askedAt).toBeLessThan(5_000);
    expect((await clock.run(asking.ask(honest))).passed).toEqual(honest);
  });

  test.each([30, 255])(
    'of %d characters leave shards small, and cost less than a write unit a name polled',
    async (length) => {
      const asking = environment();
      await clock.run(asking.ask(honest));
      units = 0;
      const { reasons } = await clock.run(asking.ask(strangers(MOST_ASKED, length)));
      const polled = [...reasons.values()].filter((reason) => reason === 'unknown').length;
      expect(polled).toBeGreaterThan(400);
      expect(units).toBeLessThan(polled / 4);
      expect(largest).toBeLessThan(20_000);
    },
  );

  test('are handed over as far as there is room, whatever the number of requests', async () => {
    const handedOver: string[] = [];
    const handOver = {
      isUp: () => true,
      send: (hosts: readonly string[]) => {
        handedOver.push(...hosts);
        return Promise.resolve([]);
      },
    };
    const asking = environment({ handOver });
    await clock.run(asking.ask(strangers(MOST_ASKED), 'trusted', 4_000));
    expect(handedOver).toHaveLength(2_000);
    await clock.run(
      environment()
        .refresher()
        .takeOver({ hosts: handedOver.slice(0, 1_000) }),
    );
    await clock.run(
      environment()
        .refresher()
        .takeOver({ hosts: handedOver.slice(1_000) }),
    );
    handedOver.length = 0;
    const others = strangers(MOST_ASKED).map((host) => `${host}-again`);
    for (let i = 0; i < 3; i++) {
      await clock.advance(6_000);
      await clock.run(asking.ask(others, 'trusted', 4_000));
    }
    expect(handedOver).toEqual([]);
  });

  test('that several environments ask for at once have no more room than those of one', async () => {
    const asking = Array.from({ length: 4 }, () => environment());
    const asked = asking.map((env, i) => env.ask(strangers(5_000).map((host) => `${i}-${host}`)));
    const answers = await clock.run(Promise.all(asked));
    const unknown = answers.map(({ reasons }) => [...reasons.values()].filter((reason) => reason === 'unknown').length);
    expect(unknown.reduce((a, b) => a + b)).toBeLessThanOrEqual(2_000);
    expect(new Set(attester.polls.flatMap((poll) => poll.hosts)).size).toBeLessThanOrEqual(2_000);
  });

  test('make room for others when what the service said of them is over', async () => {
    const asking = environment();
    await clock.run(asking.ask(strangers(MOST_ASKED)));
    const fresh = ['compute-1', 'compute-2'];
    expect((await clock.run(asking.ask(fresh))).passed).toEqual([]);
    await clock.advance(61_000);
    expect((await clock.run(asking.ask(fresh))).passed).toEqual(fresh);
  });

  test('are no more in memory than in the table, where the table does not answer', async () => {
    dynamodb.weather = () => ({ fault: new Error('on purpose') });
    attester.latencyMs = 500;
    const asking = environment();
    for (let i = 0; i < 2; i++) await clock.run(asking.ask(strangers(5_000).map((host) => `${i}-${host}`)));
    const polled = new Set(attester.polls.flatMap((poll) => poll.hosts));
    expect(polled.size).toBeGreaterThan(500);
    expect(polled.size).toBeLessThanOrEqual(2_000);
  });

  test('never keep hosts out that were attested before', async () => {
    const asking = environment();
    await clock.run(asking.ask(honest));
    await clock.advance(61_000);
    const { passed } = await clock.run(asking.ask([...strangers(60_000), ...honest]));
    expect(passed).toEqual(honest);
  });
});

describe('a host that finds no room goes round and round in no claim', () => {
  const within = async (asked: Promise<unknown>, ms: number): Promise<void> => {
    const askedAt = clock.now();
    // The clock refuses to stand still for so many steps as such a round would take.
    await clock.run(asked);
    expect(clock.now() - askedAt).toBeLessThanOrEqual(ms);
  };

  test.each([
    ['this environment', true],
    ['another', false],
  ])('where names of which nothing but a claim counts any more are polled by %s', async (_, isSame) => {
    const asking = environment({ shardCount: 1 });
    await clock.run(asking.ask(strangers(200)));
    await clock.advance(61_000);
    attester.latencyMs = 10_000;
    const again = asking.ask(strangers(200));
    await clock.advance(2_000);
    const other = isSame ? asking : environment({ shardCount: 1 });
    await within(other.ask(['compute-1', 'compute-2']), 25_000);
    expect(attester.pollsOf('compute-1')).toBe(0);
    await clock.run(again);
  });

  test('where an operator purged more names than there is room for', async () => {
    const asking = environment({ shardCount: 1 });
    await clock.run(asking.cache.purge(strangers(300), clock.monotonic() + 5_000));
    const { reasons } = await clock.run(asking.ask(strangers(10)));
    expect(new Set(reasons.values())).toEqual(new Set(['unknown']));
  });

  test('where the table has lost hosts that memory knows, and others have filled its room', async () => {
    const asking = environment({ shardCount: 1 });
    const known = names(50);
    await clock.run(asking.ask(known));
    for (const key of dynamodb.items.keys()) dynamodb.expire(key);
    await clock.advance(61_000);
    await clock.run(environment({ shardCount: 1 }).ask(strangers(200)));
    expect((await clock.run(asking.ask(known))).passed).toEqual(known);
  });

  test('where the table was down while names failed that memory has a place for', async () => {
    const asking = environment({ shardCount: 1 });
    const failed = strangers(150).map((host) => `${host}-failed`);
    attester.statusOf = (hosts) => (hosts.length > 1 ? 500 : 200);
    dynamodb.weather = () => ({ fault: new Error('on purpose') });
    await clock.run(asking.ask(failed));
    attester.statusOf = () => 200;
    dynamodb.weather = () => ({});
    await clock.run(environment({ shardCount: 1 }).ask(strangers(200)));
    await clock.advance(20_000);
    await within(asking.ask(failed), 25_000);
  });
});

test('a fleet three times as large as expected is attested all the same: whom the service knows makes room', async () => {
  const asking = environment();
  const hosts = names(3_000);
  expect((await clock.run(asking.ask(hosts))).passed).toEqual(hosts);
  expect(asking.counted()).not.toHaveProperty('HostsLeftOut');
});

describe('a request of seventy thousand hosts', () => {
  const hosts = names(MOST_ASKED);
  const { known } = ShardActor.prototype;
  const { isWanted } = Situation.prototype;
  let operations: number;

  beforeEach(() => {
    operations = 0;
    ShardActor.prototype.known = function (...host) {
      operations++;
      return known.apply(this, host);
    };
    Situation.prototype.isWanted = function (batch) {
      operations++;
      return isWanted.call(this, batch);
    };
  });
  afterEach(() => {
    ShardActor.prototype.known = known;
    Situation.prototype.isWanted = isWanted;
  });

  const denied = Object.assign(new Error('on purpose'), { name: 'AccessDeniedException' });
  const weathers: [string, () => void][] = [
    ['all is well', () => {}],
    ['the table takes no write', () => (dynamodb.weather = (call) => (call === 'PutItem' ? { fault: denied } : {}))],
    [
      'the answer of every put is lost',
      () => (dynamodb.weather = (call) => (call === 'PutItem' ? { answerIsLost: true } : {})),
    ],
    ['the table does not answer', () => (dynamodb.weather = () => ({ fault: new Error('on purpose') }))],
    ['the service hangs', () => (attester.latencyMs = NEVER_MS)],
    ['the service is fast', () => (attester.latencyMs = 20)],
    ['the service refuses everybody', () => (attester.statusOf = () => 500)],
    ['the service answers with garbage', () => (attester.reply = () => 'garbage')],
    [
      'one of a hundred hangs',
      () => (attester.latencyOf = (asked) => (asked.some((host) => host.includes('7.')) ? NEVER_MS : 100)),
    ],
  ];

  test.each(weathers)('is answered in time, at a bounded cost for each host, where %s', async (_, begin) => {
    begin();
    const asking = environment({ shardCount: 700 });
    const askedAt = clock.now();
    await clock.run(asking.ask(hosts));
    expect(clock.now() - askedAt).toBeLessThanOrEqual(25_000);
    expect(operations).toBeLessThan(10 * MOST_ASKED);
  });

  test('is answered so the second time, too, in a fleet of a thousand whose polls all fail', async () => {
    attester.statusOf = () => 500;
    const asking = environment();
    await clock.run(asking.ask(hosts));
    await clock.advance(6_000);
    operations = 0;
    const askedAt = clock.now();
    await clock.run(asking.ask(hosts));
    expect(clock.now() - askedAt).toBeLessThanOrEqual(25_000);
    expect(operations).toBeLessThan(10 * MOST_ASKED);
  });
});
