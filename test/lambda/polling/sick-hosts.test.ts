/** Rule 6: one sick host harms itself only, and a service that hangs as a whole scatters nobody. */
import { beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Attester } from '../../fakes/attester.ts';
import { type Asked, FilterEnvironment, type FilterEnvironmentOptions } from '../../fakes/filter-environment.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { pick } from '../../fakes/silent-hosts.ts';
import { lehmer, VirtualClock } from '../../fakes/virtual-clock.ts';

const NEVER_MS = 10_000_000;
const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `compute-${i}.example.com`);

let clock: VirtualClock;
let dynamodb: MemoryDynamoDb;
let attester: Attester;

beforeEach(() => {
  clock = new VirtualClock();
  dynamodb = new MemoryDynamoDb(clock);
  attester = new Attester(clock);
});

function environment(options: Partial<FilterEnvironmentOptions> = {}): FilterEnvironment {
  return new FilterEnvironment({ clock, dynamodb, connection: attester, shardCount: 10, ...options });
}

/** A service that answers when the slowest of the hosts has: these never do. */
function neverAnswers(sick: ReadonlySet<string>): void {
  attester.latencyOf = (hosts) => (hosts.some((host) => sick.has(host)) ? NEVER_MS : attester.latencyMs);
}

/** A service that answers a batch with this status if any of these hosts is in it. */
function refuses(sick: ReadonlySet<string>, status = 500): void {
  attester.statusOf = (hosts) => (hosts.some((host) => sick.has(host)) ? status : 200);
}

async function askAgainAndAgain(
  asking: FilterEnvironment,
  hosts: readonly string[],
  requests: number,
  pauseMs: number,
): Promise<Asked[]> {
  const answers: Asked[] = [];
  for (let i = 0; i < requests; i++) {
    answers.push(await clock.run(asking.ask(hosts)));
    await clock.advance(pauseMs);
  }
  return answers;
}

describe('hosts that never answer', () => {
  const hosts = names(100);
  const pauses = [5_100, 6_000, 20_000, 61_000, 130_000];

  describe.each(pauses)('with a request every time that %d ms have gone by since the last answer', (pauseMs) => {
    test.each([1, 2, 3, 4, 5])('one of them: 99 pass within 8 requests, and from then on (story %d)', async (story) => {
      const random = lehmer(story);
      const jitter = jest.spyOn(Math, 'random').mockImplementation(random);
      neverAnswers(pick(hosts, 1, random));
      const answers = await askAgainAndAgain(environment(), hosts, 20, pauseMs);
      expect(answers.slice(7).map(({ passed }) => passed.length)).toEqual(Array(13).fill(99));
      jitter.mockRestore();
    });

    test.each([1, 2, 3, 4, 5])(
      'five of them: 95 pass within 12 requests, and from then on (story %d)',
      async (story) => {
        const random = lehmer(story);
        const jitter = jest.spyOn(Math, 'random').mockImplementation(random);
        neverAnswers(pick(hosts, 5, random));
        const answers = await askAgainAndAgain(environment(), hosts, 24, pauseMs);
        expect(answers.slice(11).map(({ passed }) => passed.length)).toEqual(Array(13).fill(95));
        jitter.mockRestore();
      },
    );
  });
});

test('hosts that never answer stand alone also where several environments ask for them at once', async () => {
  const hosts = names(100);
  const sick = pick(hosts, 5, lehmer(3));
  neverAnswers(sick);
  const environments = [environment(), environment(), environment()];
  for (let i = 0; i < 16; i++) {
    const answers = await clock.run(Promise.all(environments.map((each) => each.ask(hosts))));
    if (i >= 11) for (const { passed } of answers) expect(passed).toHaveLength(95);
    await clock.advance(6_000);
  }
  expect(attester.mostAtOnce).toBe(1);
});

test('hosts that never answer do not keep healthy ones from being polled, however many they are', async () => {
  const sick = names(300);
  const healthy = Array.from({ length: 100 }, (_, i) => `healthy-${i}`);
  const small = environment({ pollTimeoutMs: 5_000 });
  neverAnswers(new Set(sick));
  // The sick are known for what they are.
  await askAgainAndAgain(small, sick, 40, 6_000);
  const both = small.ask([...sick, ...healthy]);
  expect((await clock.run(small.ask(healthy))).passed).toEqual(healthy);
  expect((await clock.run(both)).passed).toEqual(healthy);
});

describe('a service that hangs as a whole', () => {
  const hosts = names(1_000);

  async function hangFor(ms: number): Promise<void> {
    attester.latencyOf = () => NEVER_MS;
    await clock.advance(ms);
    attester.latencyOf = () => attester.latencyMs;
  }

  describe.each([
    ['that knew the fleet before', true],
    ['that never answered before', false],
  ])('%s', (_, isWarm) => {
    test.each([1_000, 7_000, 30_000])(
      'under a request every %d ms leaves the fleet whole: all are attested with at most 40 polls when it is back',
      async (everyMs) => {
        const asking = environment();
        if (isWarm) await clock.run(asking.ask(hosts));
        let isOver = false;
        const answers: Promise<Asked>[] = [];
        const under = async (): Promise<void> => {
          while (!isOver) {
            answers.push(asking.ask(hosts));
            await clock.wait(everyMs);
          }
        };
        const requests = under();
        await clock.run(hangFor(isWarm ? 180_000 : 120_000));
        const before = attester.polls.length;
        let attested: Asked | undefined;
        for (let i = 0; i < 90 && attested?.passed.length !== hosts.length; i++) {
          attested = await clock.run(asking.ask(hosts));
          await clock.advance(1_000);
        }
        expect(attested?.passed).toHaveLength(hosts.length);
        const since = attester.polls.slice(before);
        expect(since.length).toBeLessThanOrEqual(40);
        // The fleet was attested in full batches: all but the probes and what was left of the last.
        expect(since.filter((poll) => poll.hosts.length === 100).length).toBeGreaterThanOrEqual(9);
        isOver = true;
        await clock.run(requests);
        await clock.run(Promise.all(answers));
      },
    );
  });

  test('makes only the request wait that finds out; all others are answered at once, in other environments too', async () => {
    const asking = environment();
    await clock.run(asking.ask(hosts));
    await clock.advance(61_000);
    attester.latencyOf = () => NEVER_MS;
    await clock.run(asking.ask(hosts));
    const tookMs: number[] = [];
    const other = environment();
    const ask = async (by: FilterEnvironment): Promise<void> => {
      const from = clock.now();
      const { reasons } = await by.ask(hosts);
      tookMs.push(clock.now() - from);
      expect(new Set(reasons.values())).toEqual(new Set(['pending']));
    };
    // The first finds out that it hangs; from then on that is known.
    await clock.advance(6_000);
    await clock.run(ask(asking));
    tookMs.length = 0;
    const asks: Promise<void>[] = [];
    for (let i = 0; i < 600; i++) {
      asks.push(ask(i % 3 === 0 ? other : asking));
      await clock.advance(200);
    }
    await clock.run(Promise.all(asks));
    // Two minutes, and a round of probes every 20 to 80 seconds.
    expect(tookMs.filter((ms) => ms >= 1_000).length).toBeLessThanOrEqual(4);
    expect(asking.counted()).toMatchObject({ ProbesFailed: expect.any(Number) });
  });

  test.each([1, 2, 3])('with %d polls at once is asked again when it is back', async (parallelPolls) => {
    const some = names(100);
    const asking = environment({ parallelPolls });
    await clock.run(asking.ask(some));
    await clock.advance(61_000);
    attester.latencyOf = () => NEVER_MS;
    await askAgainAndAgain(asking, some, 3, 70_000);
    attester.latencyOf = () => attester.latencyMs;
    const answers = await askAgainAndAgain(asking, some, 4, 120_000);
    expect(answers.at(-1)?.passed).toEqual(some);
  });

  test('is asked again when it is back, also where probes waited for the polls of another request', async () => {
    const some = names(100);
    const asking = environment();
    attester.latencyOf = () => NEVER_MS;
    await clock.run(asking.ask(some));
    await clock.advance(6_000);
    const first = asking.ask(Array.from({ length: 1_000 }, (_, i) => `other-${i}`));
    await clock.advance(1_000);
    await clock.run(Promise.all([first, asking.ask(some)]));
    attester.latencyOf = () => attester.latencyMs;
    const answers = await askAgainAndAgain(asking, some, 4, 120_000);
    expect(answers.at(-1)?.passed).toEqual(some);
  });

  test('does not keep a host waiting that was never polled', async () => {
    const asking = environment();
    attester.latencyOf = (polled) => (polled.includes('new') ? attester.latencyMs : NEVER_MS);
    await askAgainAndAgain(asking, hosts.slice(0, 100), 2, 6_000);
    expect((await clock.run(asking.ask([...hosts.slice(0, 100), 'new']))).passed).toEqual(['new']);
  });
});

describe('a batch that is refused', () => {
  const hosts = names(41);

  test.each([400, 500])('with %d is split at once: all but the sick host pass in the first request', async (status) => {
    for (const sick of [hosts[0]!, hosts[20]!, hosts[21]!, hosts[40]!]) {
      const asking = environment({ dynamodb: new MemoryDynamoDb(clock) });
      refuses(new Set([sick]), status);
      const before = attester.polls.length;
      const { passed, reasons } = await clock.run(asking.ask(hosts));
      expect(passed).toEqual(hosts.filter((host) => host !== sick));
      expect(reasons.get(sick)).toBe('refused');
      expect(attester.polls.length - before).toBeLessThanOrEqual(1 + 16);
      expect(asking.counted()['SplitPolls']).toBe(attester.polls.length - before - 1);
    }
  });

  test('has its host polled apart for an hour, and then with the others again', async () => {
    const asking = environment();
    const [sick] = hosts;
    refuses(new Set([sick!]));
    await clock.run(asking.ask(hosts));
    const from = attester.polls.length;
    for (let minute = 0; minute < 58; minute++) {
      await clock.advance(61_000);
      expect((await clock.run(asking.ask(hosts))).passed).toHaveLength(40);
    }
    for (const poll of attester.polls.slice(from)) expect([1, 40]).toContain(poll.hosts.length);
    await clock.advance(3_600_000);
    attester.statusOf = () => 200;
    expect((await clock.run(asking.ask(hosts))).passed).toEqual(hosts);
    expect(attester.polls.at(-1)?.hosts).toHaveLength(41);
  });

  test('is no longer split when the service refuses both halves: it refuses everybody', async () => {
    const asking = environment();
    attester.statusOf = () => 500;
    const { reasons } = await clock.run(asking.ask(hosts));
    expect(new Set(reasons.values())).toEqual(new Set(['unreachable']));
    expect(attester.polls.map((poll) => poll.hosts.length)).toEqual([41, 21, 20]);
    // It is mended: the fleet is in one batch again soon.
    await askAgainAndAgain(asking, hosts, 3, 41_000);
    attester.statusOf = () => 200;
    await askAgainAndAgain(asking, hosts, 1, 61_000);
    await clock.run(asking.ask(hosts));
    expect(attester.polls.at(-1)?.hosts).toHaveLength(41);
  });

  test('because of several hosts is split no more than sixteen times, and goes on in the next requests', async () => {
    const many = names(100);
    const sick = pick(many, 6, lehmer(7));
    refuses(sick);
    const answers = await askAgainAndAgain(environment(), many, 4, 6_000);
    expect(answers[0]?.reasons.get([...sick][0]!)).toMatch(/refused|unreachable/);
    expect(attester.polls.filter(({ sentAt }) => sentAt < clock.now() - 20_000).length).toBeGreaterThan(0);
    expect(answers.at(-1)?.passed).toEqual(many.filter((host) => !sick.has(host)));
    for (const host of sick) expect(answers.at(-1)?.reasons.get(host)).toBe('refused');
  });

  test.each([301, 401, 403, 404, 429, 502, 503])('with %d is not split: its hosts are unreachable', async (status) => {
    attester.statusOf = () => status;
    const { reasons } = await clock.run(environment().ask(hosts));
    expect(new Set(reasons.values())).toEqual(new Set(['unreachable']));
    expect(attester.polls).toHaveLength(1);
    attester.statusOf = () => 200;
    await clock.advance(6_000);
    await clock.run(environment().ask(hosts));
    expect(attester.polls.at(-1)?.hosts).toHaveLength(41);
  });

  test('of which one half is not answered in time: the other half passes', async () => {
    const [slow, refused] = [hosts[2]!, hosts[38]!];
    attester.latencyOf = (polled) => (polled.includes(slow) && polled.length < 41 ? NEVER_MS : attester.latencyMs);
    refuses(new Set([refused]));
    const answers = await askAgainAndAgain(environment(), hosts, 8, 6_000);
    expect(answers[0]?.passed.length).toBeGreaterThanOrEqual(19);
    expect(answers.at(-1)?.passed).toEqual(hosts.filter((host) => host !== slow && host !== refused));
  });

  test('leaves no host behind when its request ends while it is being split', async () => {
    attester.latencyMs = 900;
    attester.statusOf = (polled) => (polled.length > 1 ? 500 : 200);
    const asking = environment();
    for (const limitMs of [1_500, 2_500, 3_500]) {
      const { reasons } = await clock.run(asking.ask(hosts, 'trusted', limitMs));
      expect([...reasons.values()].every((reason) => ['pending', 'unreachable', 'trusted'].includes(reason))).toBe(
        true,
      );
      await clock.advance(61_000);
    }
    attester.statusOf = () => 200;
    expect((await clock.run(asking.ask(hosts))).passed).toEqual(hosts);
  });
});

describe('names that some service refuses', () => {
  const odd = ['10.0.0.1:8080', 'a,b', '"quoted"', 'x'.repeat(51), '::1', 'plus+', "o'host", 'hash#', 'a&b'];
  const long = Array.from({ length: 1_000 }, (_, i) => `compute-${i}.`.padEnd(60, 'x'));
  const isLong = (host: string): boolean => host.length > 50;

  test('are polled with all others', async () => {
    const hosts = [...names(5), ...odd];
    expect((await clock.run(environment().ask(hosts))).passed).toEqual(hosts);
    expect(attester.polls.map(({ hosts: { length } }) => length)).toEqual([hosts.length]);
  });

  test('are attested in three seconds, a thousand of them, where a poll takes two', async () => {
    attester.latencyMs = 2_000;
    expect((await clock.run(environment().ask(long, 'trusted', 3_000))).passed).toEqual(long);
  });

  test('where it does refuse them: all others pass in the same answer, and such names are polled apart from then on', async () => {
    const asking = environment();
    const hosts = [...names(400), ...long.slice(0, 3)];
    attester.statusOf = (asked) => (asked.some(isLong) ? 400 : 200);
    const { passed, reasons } = await clock.run(asking.ask(hosts));
    expect(passed).toEqual(names(400));
    for (const host of long.slice(0, 3)) expect(['refused', 'unreachable']).toContain(reasons.get(host));
    attester.polls.length = 0;
    const others = [...names(500).slice(400), ...long.slice(500, 504)];
    expect((await clock.run(asking.ask(others))).reasons.get(long[500]!)).toBe('refused');
    expect(attester.polls.map((poll) => poll.hosts.length).sort((a, b) => b - a)).toEqual([100, 1, 1, 1, 1]);
  });

  test('where it refuses them no more: one answer about such a name, and they are polled with all others again', async () => {
    const asking = environment();
    attester.statusOf = (asked) => (asked.some(isLong) ? 400 : 200);
    await clock.run(asking.ask([...names(99), long[0]!]));
    attester.statusOf = () => 200;
    await clock.run(asking.ask([long[1]!]));
    attester.polls.length = 0;
    expect((await clock.run(asking.ask(long.slice(2, 102)))).passed).toEqual(long.slice(2, 102));
    expect(attester.polls).toHaveLength(1);
  });

  test('where one of them is refused for something else: the others are polled together, then and whenever that is tried again', async () => {
    const asking = environment();
    attester.statusOf = (asked) => (asked.some((host) => host.startsWith('<')) ? 400 : 200);
    expect((await clock.run(asking.ask([...long.slice(0, 50), '<'.padEnd(60, 'x')]))).passed).toEqual(
      long.slice(0, 50),
    );
    for (const round of [1, 2]) {
      const hosts = long.slice(100 * round, 100 * round + 100);
      attester.polls.length = 0;
      expect((await clock.run(asking.ask(hosts))).passed).toEqual(hosts);
      expect(attester.polls).toHaveLength(1);
      await clock.run(asking.ask([`<${round}`.padEnd(60, 'x'), `compute-${round}.example.com`]));
    }
  });

  test('where it refuses everybody: such names are blamed for nothing', async () => {
    const asking = environment();
    attester.statusOf = () => 500;
    await clock.run(asking.ask([...names(50), ...long.slice(0, 50)]));
    attester.statusOf = () => 200;
    attester.polls.length = 0;
    expect((await clock.run(asking.ask(long.slice(100, 200)))).passed).toEqual(long.slice(100, 200));
    expect(attester.polls).toHaveLength(1);
  });

  test('a thousand of them do not keep others from being polled', async () => {
    attester.latencyMs = 2_000;
    attester.statusOf = (asked) => (asked.some(isLong) ? 400 : 200);
    const { passed } = await clock.run(environment().ask([...long, ...names(100)]));
    for (const host of names(100)) expect(passed).toContain(host);
  });
});
