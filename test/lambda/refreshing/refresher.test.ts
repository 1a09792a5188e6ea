/** Off the request's path: hosts that are handed over, and those that are refreshed on a schedule. */
import { beforeEach, describe, expect, test } from '@jest/globals';
import type { HandOver } from '../../../lambda/polling/hand-over.ts';
import { shardKey, shardOf } from '../../../lambda/table/shard.ts';
import { unpackShard } from '../../../lambda/table/shard-format.ts';
import { Attester } from '../../fakes/attester.ts';
import { FilterEnvironment, type FilterEnvironmentOptions } from '../../fakes/filter-environment.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { lehmer, VirtualClock } from '../../fakes/virtual-clock.ts';
import { HOUR, SECOND } from '../builders.ts';

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `compute-${i}.example.com`);
const HOSTS = names(50);

let clock: VirtualClock;
let dynamodb: MemoryDynamoDb;
let attester: Attester;
let refreshing: RefreshFunction;

/** The refreshing function as Lambda runs it: asynchronously, in environments of its own. */
class RefreshFunction implements Pick<HandOver, 'isUp' | 'send'> {
  readonly invocations: { readonly hosts: readonly string[] }[] = [];
  takes = true;
  /** Whether a call that failed keeps the next from being tried, as with the real one. */
  failing = false;
  #up = true;
  /** How long an event is queued before an environment has it, and how often it is delivered. */
  queuedMs = 20;
  deliveries = 1;
  answerMs = 10;

  isUp(): boolean {
    return this.#up;
  }

  async send(hosts: readonly string[]): Promise<string[]> {
    await clock.wait(this.answerMs);
    this.#up = this.takes || !this.failing;
    if (!this.takes) return [...hosts];
    this.invocations.push({ hosts });
    for (let i = 0; i < this.deliveries; i++) {
      const run = async (): Promise<unknown> => clock.wait(this.queuedMs).then(() => this.#environment(hosts));
      void run();
    }
    return [];
  }

  async #environment(hosts: readonly string[]): Promise<unknown> {
    return environment().refresher().takeOver({ hosts });
  }
}

beforeEach(() => {
  clock = new VirtualClock();
  dynamodb = new MemoryDynamoDb(clock);
  attester = new Attester(clock);
  attester.latencyMs = 7 * SECOND;
  refreshing = new RefreshFunction();
});

function environment(options: Partial<FilterEnvironmentOptions> = {}): FilterEnvironment {
  return new FilterEnvironment({ clock, dynamodb, connection: attester, shardCount: 10, ...options });
}

function short(): FilterEnvironment {
  return environment({ handOver: refreshing });
}

function storedEntry(host: string) {
  const packed = dynamodb.items.get(shardKey(shardOf(host, 10), 10))?.['entries']?.B;
  return packed === undefined ? undefined : unpackShard(packed, { validityMs: 60_000, recheckMs: 5_000 }).get(host);
}

const polls = (): number[] => [...new Set(HOSTS.map((host) => attester.pollsOf(host)))];

describe('a request that has less time than a poll may take', () => {
  test('hands its hosts over, answers in time with pending, and the next passes from the table', async () => {
    const [one, from] = [short(), clock.now()];
    const first = await clock.run(one.ask(HOSTS, 'trusted', 4_000));
    expect(clock.now() - from).toBeLessThanOrEqual(4_000);
    expect(new Set(first.reasons.values())).toEqual(new Set(['pending']));
    expect(first.invocation.polls).toBe(0);
    await clock.advance(8_000);
    const second = await clock.run(one.ask(HOSTS, 'trusted', 4_000));
    expect(second.passed).toEqual(HOSTS);
    expect(second.invocation).toMatchObject({ polls: 0, from: { table: 50 } });
    expect(polls()).toEqual([1]);
    expect(refreshing.invocations).toHaveLength(1);
  });

  test('hands each host over once per environment and twenty seconds, also when they ask again and again', async () => {
    const environments = [short(), short(), short()];
    const asks = environments.flatMap((each) => [each.ask(HOSTS, 'trusted', 4_000), each.ask(HOSTS, 'trusted', 4_000)]);
    for (const { passed } of await clock.run(Promise.all(asks))) expect(passed).toEqual([]);
    await clock.run(Promise.all(environments.map((each) => each.ask(HOSTS, 'trusted', 2_000))));
    await clock.advance(8_000);
    for (const each of environments) expect((await clock.run(each.ask(HOSTS, 'trusted', 4_000))).passed).toEqual(HOSTS);
    expect(polls()).toEqual([1]);
    expect(attester.mostAtOnce).toBe(1);
    expect(refreshing.invocations.map(({ hosts }) => hosts.toSorted())).toEqual(
      environments.map(() => HOSTS.toSorted()),
    );
    // Events that wait in their queue for long.
    refreshing.queuedMs = 60 * SECOND;
    await clock.advance(61 * SECOND);
    for (let i = 0; i < 9; i++) await clock.run(environments[0]!.ask(HOSTS, 'trusted', 4_000));
    // 36 seconds: at once, and once more.
    expect(refreshing.invocations).toHaveLength(5);
  });

  test('has what comes in time from the table', async () => {
    attester.latencyMs = SECOND;
    const { passed, invocation } = await clock.run(short().ask(HOSTS, 'trusted', 4_000));
    expect(passed).toEqual(HOSTS);
    expect(invocation).toMatchObject({ polls: 0, from: { table: 50, poll: 0 } });
  });

  test('polls for itself where invoking just failed, and where it fails', async () => {
    attester.latencyMs = SECOND;
    refreshing.takes = false;
    refreshing.failing = true;
    expect((await clock.run(short().ask(HOSTS, 'trusted', 4_000))).passed).toEqual(HOSTS);
    expect(polls()).toEqual([1]);
    expect(refreshing.isUp()).toBe(false);
    await clock.advance(61_000);
    expect((await clock.run(short().ask(HOSTS, 'trusted', 4_000))).passed).toEqual(HOSTS);
    expect(refreshing.invocations).toHaveLength(0);
  });

  test('polls for itself where the table does not answer', async () => {
    attester.latencyMs = SECOND;
    dynamodb.weather = () => ({ fault: Object.assign(new Error('no'), { name: 'AccessDeniedException' }) });
    expect((await clock.run(short().ask(HOSTS, 'trusted', 4_000))).passed).toEqual(HOSTS);
    expect(refreshing.invocations).toHaveLength(0);
  });

  test('whose event is delivered twice causes one poll', async () => {
    refreshing.deliveries = 2;
    await clock.run(short().ask(HOSTS, 'trusted', 4_000));
    await clock.advance(30_000);
    expect(polls()).toEqual([1]);
  });

  test('whose event comes after its claim has ended is served all the same', async () => {
    refreshing.queuedMs = 40_000;
    await clock.run(short().ask(HOSTS, 'trusted', 4_000));
    await clock.advance(50_000);
    expect((await clock.run(short().ask(HOSTS, 'trusted', 4_000))).passed).toEqual(HOSTS);
    expect(polls()).toEqual([1]);
  });
});

describe('a request that has the time to poll', () => {
  test('polls for itself', async () => {
    expect((await clock.run(short().ask(HOSTS))).passed).toEqual(HOSTS);
    expect(refreshing.invocations).toHaveLength(0);
  });

  test('hands over what it has to leave pending', async () => {
    attester.latencyMs = 9 * SECOND;
    const narrow = environment({ handOver: refreshing, requestCount: 10, parallelPolls: 2 });
    const { passed, reasons } = await clock.run(narrow.ask(HOSTS));
    expect(passed.length).toBeGreaterThan(0);
    const left = HOSTS.filter((host) => reasons.get(host) === 'pending');
    expect(left.length).toBeGreaterThan(0);
    expect(refreshing.invocations.flatMap(({ hosts }) => hosts).toSorted()).toEqual(left.toSorted());
    await clock.advance(40_000);
    for (const host of left) expect(storedEntry(host)).toMatchObject({ attestation: { level: 'trusted' } });
    expect(attester.mostAtOnce).toBe(1);
  });
});

describe('a request whose polls get no answer', () => {
  test('hands over its hosts, once, and finds all but the sick one attested when it is asked again', async () => {
    const sick = HOSTS[7]!;
    attester.latencyOf = (hosts) => (hosts.includes(sick) ? 10_000_000 : SECOND);
    const asking = short();
    // A cold environment does not know how long answers take, and gives the batch all the time that there is.
    expect((await clock.run(asking.ask(HOSTS, 'trusted', 20_400))).passed).toEqual([]);
    expect(refreshing.invocations.flatMap(({ hosts }) => hosts).toSorted()).toEqual(HOSTS.toSorted());
    // Whoever asks in the pause has nothing to hand over: it is done.
    await clock.run(asking.ask(HOSTS));
    expect(refreshing.invocations).toHaveLength(1);
    const passed: number[] = [];
    for (let i = 0; i < 10; i++) {
      await clock.advance(20_000);
      passed.push((await clock.run(asking.ask(HOSTS))).passed.length);
    }
    expect(passed.slice(7)).toEqual([49, 49, 49]);
    expect(attester.mostAtOnce).toBe(1);
  });
});

describe('a host that was handed over in the pause after a failed try', () => {
  test('is polled when the pause is over', async () => {
    const sick = HOSTS.slice(0, 1);
    attester.statusOf = () => 503;
    await clock.run(environment().ask(sick));
    attester.statusOf = () => 200;
    const result = clock.run(environment().refresher().takeOver({ hosts: sick }));
    expect(await result).toEqual({
      kind: 'handed over',
      hosts: 1,
      attested: 1,
      renewed: 1,
      due: 0,
      oldest_age_s: 0,
    });
    expect(attester.polls[1]!.sentAt - attester.polls[0]!.endedAt!).toBeGreaterThanOrEqual(5_000);
  });
});

describe('hosts that are handed over', () => {
  test('and that somebody else polls are left to it', async () => {
    const asking = environment();
    attester.latencyMs = 10_000_000;
    for (let i = 0; i < 2; i++) {
      await clock.run(asking.ask(HOSTS));
      await clock.advance(61_000);
    }
    const polling = asking.ask(HOSTS);
    await clock.advance(SECOND);
    const [polled, from] = [attester.polls.length, clock.now()];
    await clock.run(environment().refresher().takeOver({ hosts: HOSTS }));
    expect(attester.polls).toHaveLength(polled);
    expect(clock.now() - from).toBeLessThan(SECOND);
    await clock.run(polling);
  });

  test('take no more than a minute, however many must be polled alone', async () => {
    const from = clock.now();
    const hosts = Array.from({ length: 1_000 }, (_, i) => `a:${i}`);
    await clock.run(environment().refresher().takeOver({ hosts }));
    expect(clock.now() - from).toBeLessThanOrEqual(60_000);
  });

  test('in numbers that no shard holds do not make the table seem down to others', async () => {
    const random = lehmer(5);
    const evil: string[] = [];
    for (let i = 0; evil.length < 6_000; i++) {
      const letters = Array.from({ length: 42 }, () => 0x4e00 + Math.floor(random() * 0x5000));
      const name = `h${i}${String.fromCodePoint(...letters)}`;
      if (shardOf(name, 10) === 0) evil.push(name);
    }
    attester.latencyMs = 4 * SECOND;
    refreshing.queuedMs = 60 * SECOND;
    const [a, b] = [short(), short()];
    await clock.run(a.ask(evil, 'trusted', 2_000));
    const before = attester.polls.length;
    await clock.run(Promise.all([a.ask(HOSTS), b.ask(HOSTS)]));
    const ofHosts = attester.polls.slice(before).filter(({ hosts }) => hosts.some((host) => HOSTS.includes(host)));
    for (const host of HOSTS) expect(ofHosts.filter(({ hosts }) => hosts.includes(host)).length).toBeLessThanOrEqual(1);
    expect(attester.mostAtOnce).toBe(1);
  });
});

describe('a schedule', () => {
  const FLEET = names(1_000);
  const MINUTE = 60 * SECOND;
  const tenMinutes = { validityMs: 10 * MINUTE };

  test('with a validity of ten minutes: no request of the next hour waits for a poll, and each host is polled once a round', async () => {
    attester.latencyMs = SECOND;
    const asking = environment(tenMinutes);
    await clock.run(asking.ask(FLEET));
    await clock.advance(MINUTE);
    const rounds = 12;
    const polled = new Map(FLEET.map((host) => [host, attester.pollsOf(host)]));
    for (let i = 0; i < rounds; i++) {
      const round = environment(tenMinutes).refresher().round();
      for (let j = 0; j < 10; j++) {
        const before = clock.now();
        const { passed, invocation, validUntil } = await clock.run(asking.ask(FLEET));
        expect(passed).toHaveLength(FLEET.length);
        expect(invocation.polls).toBe(0);
        // A look at the table, at most; no poll.
        expect(clock.now() - before).toBeLessThan(200);
        expect(validUntil).toBeGreaterThan(clock.now());
        await clock.advance(30 * SECOND - (clock.now() - before));
      }
      await clock.run(round);
      for (const host of FLEET) expect(attester.pollsOf(host)).toBe((polled.get(host) ?? 0) + i + 1);
    }
    expect(attester.mostAtOnce).toBe(1);
  }, 60_000);

  test('measures how many hosts in use are of each level', async () => {
    const asking = environment(tenMinutes);
    attester.level = (host) => (host === FLEET[0] ? 'untrusted' : 'trusted');
    await clock.run(asking.ask(FLEET.slice(0, 20)));
    const round = environment(tenMinutes);
    await clock.run(round.refresher().round());
    expect(Object.fromEntries(round.counts.takeMeasures())).toMatchObject({
      FleetTrusted: 19,
      FleetUntrusted: 1,
      FleetUnknown: 0,
    });
  });

  test('leaves out hosts that nobody asked about for a day, and keeps those that requests only read', async () => {
    attester.latencyMs = SECOND;
    const dayLong = { validityMs: 2 * HOUR };
    const asking = environment(dayLong);
    const [kept, dropped] = [FLEET.slice(0, 10), FLEET.slice(10, 20)];
    await clock.run(asking.ask([...kept, ...dropped]));
    let last: { hosts: number } = { hosts: 0 };
    for (let hour = 0; hour < 27; hour++) {
      last = await clock.run(environment(dayLong).refresher().round());
      if (hour === 10) expect(last.hosts).toBe(20);
      await clock.run(asking.ask(kept));
      await clock.advance(HOUR);
    }
    expect(last.hosts).toBe(10);
    expect(attester.pollsOf(kept[0]!)).toBeGreaterThan(26);
    expect(attester.pollsOf(dropped[0]!)).toBeLessThanOrEqual(26);
  });

  test('of two environments at the same moment polls each host once', async () => {
    attester.latencyMs = SECOND;
    await clock.run(environment(tenMinutes).ask(FLEET));
    await clock.advance(MINUTE);
    await clock.run(Promise.all([0, 1].map(() => environment(tenMinutes).refresher().round())));
    for (const host of FLEET) expect(attester.pollsOf(host)).toBe(2);
    expect(attester.mostAtOnce).toBe(1);
  });

  test('ends before its time is over', async () => {
    attester.latencyMs = 100 * SECOND;
    await clock.run(environment({ ...tenMinutes, pollTimeoutMs: 10_000 }).ask(FLEET.slice(0, 10)));
    const from = clock.now();
    await clock.run(environment(tenMinutes).refresher(60_000).round());
    expect(clock.now() - from).toBeLessThanOrEqual(60_000);
  });
});

describe('a round whose polls bring nothing', () => {
  const tenMinutes = { validityMs: 600 * SECOND };

  test('says that no host was renewed, how many are due, and how old the attestations are that still hold', async () => {
    attester.latencyMs = SECOND;
    await clock.run(environment(tenMinutes).ask(HOSTS));
    await clock.advance(120 * SECOND);
    const well = { kind: 'schedule', hosts: 50, attested: 50, renewed: 50, due: 0 };
    expect(await clock.run(environment(tenMinutes).refresher().round())).toMatchObject(well);
    await clock.advance(120 * SECOND);
    attester.statusOf = () => 503;
    const down = await clock.run(environment(tenMinutes).refresher().round());
    expect(down).toMatchObject({ ...well, renewed: 0, due: 50 });
    expect(down.oldest_age_s).toBeGreaterThanOrEqual(120);
    expect(down.oldest_age_s).toBeLessThan(150);
  });

  test('says so also of the hosts that its time was too short for', async () => {
    attester.latencyMs = SECOND;
    await clock.run(environment(tenMinutes).ask(HOSTS));
    await clock.advance(120 * SECOND);
    attester.latencyMs = 5 * SECOND;
    const narrow = environment({ ...tenMinutes, requestCount: 10, parallelPolls: 1 });
    const result = await clock.run(narrow.refresher(12 * SECOND).round());
    expect(result.renewed).toBeGreaterThan(0);
    expect(result.due).toBe(50 - result.renewed);
    expect(result.due).toBeGreaterThan(0);
  });

  test('says so where the table did not take what they brought', async () => {
    attester.latencyMs = SECOND;
    await clock.run(environment(tenMinutes).ask(HOSTS));
    await clock.advance(120 * SECOND);
    const full = Object.assign(new Error('no'), { name: 'AccessDeniedException' });
    dynamodb.weather = (command) => (command === 'PutItem' ? { fault: full } : {});
    const result = await clock.run(environment(tenMinutes).refresher().round());
    expect(result).toMatchObject({ hosts: 50, renewed: 0, due: 50 });
  });
});

describe('a round that cannot read the table', () => {
  const tenMinutes = { validityMs: 600 * SECOND };
  const down = Object.assign(new Error('no'), { name: 'InternalServerError' });

  test('fails, and not after half of its time', async () => {
    await clock.run(environment(tenMinutes).ask(HOSTS));
    await clock.advance(6 * SECOND);
    dynamodb.weather = () => ({ fault: down });
    const from = clock.now();
    await expect(clock.run(environment(tenMinutes).refresher().round())).rejects.toMatchObject({
      message: '10 of 10 shards of the table could not be read.',
      done: { kind: 'schedule', hosts: 0, attested: 0, renewed: 0, due: 0 },
    });
    expect(clock.now() - from).toBeLessThan(35 * SECOND);
    expect(polls()).toEqual([1]);
  });

  test('fails also where memory serves on, since the table was found to be down just now', async () => {
    const one = environment(tenMinutes);
    await clock.run(one.ask(HOSTS));
    await clock.advance(6 * SECOND);
    dynamodb.weather = () => ({ fault: down });
    for (let i = 0; i < 2; i++) {
      await expect(clock.run(one.refresher().round())).rejects.toThrow('10 of 10 shards');
      await clock.advance(SECOND);
    }
    expect(polls()).toEqual([1]);
    dynamodb.weather = () => ({});
    await clock.advance(6 * SECOND);
    expect(await clock.run(one.refresher().round())).toMatchObject({ hosts: 50, attested: 50 });
  });

  test('to its end attests what it could read, tells of it, and fails', async () => {
    const sent: string[] = [];
    const bus: NonNullable<FilterEnvironmentOptions['bus']> = {
      send: (news) => {
        sent.push(...news.map(({ host }) => host));
        return Promise.resolve([...news]);
      },
    };
    await clock.run(environment(tenMinutes).ask(HOSTS));
    attester.level = () => 'untrusted';
    await clock.advance(6 * SECOND);
    const downUntil = clock.now() + 31 * SECOND;
    dynamodb.weather = () => (clock.now() < downUntil ? { unprocessed: 3 } : {});
    const lost = [7, 8, 9];
    const read = HOSTS.filter((host) => !lost.includes(shardOf(host, 10)));
    expect(read.length).toBeLessThan(HOSTS.length);
    await expect(
      clock.run(
        environment({ ...tenMinutes, bus })
          .refresher()
          .round(),
      ),
    ).rejects.toMatchObject({
      message: '3 of 10 shards of the table could not be read.',
      done: { hosts: read.length, attested: read.length, renewed: read.length, due: 0 },
    });
    for (const host of HOSTS) expect(attester.pollsOf(host)).toBe(read.includes(host) ? 2 : 1);
    expect(sent.toSorted()).toEqual(read.toSorted());
  });
});
