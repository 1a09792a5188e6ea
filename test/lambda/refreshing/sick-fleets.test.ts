/** Rule 6, a fleet at a time: what silent hosts, and hosts that hang now and then, cost the healthy. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Attester } from '../../fakes/attester.ts';
import { FilterEnvironment } from '../../fakes/filter-environment.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { RefreshQueue } from '../../fakes/refresh-queue.ts';
import { leftBehind, spread } from '../../fakes/silent-hosts.ts';
import { lehmer, VirtualClock } from '../../fakes/virtual-clock.ts';
import { SECOND } from '../builders.ts';

const NEVER_MS = 10_000_000;
const MINUTE = 60 * SECOND;
const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `compute-${i}.example.com`);

let clock: VirtualClock;
let dynamodb: MemoryDynamoDb;
let attester: Attester;
const { random } = Math;

beforeEach(() => {
  clock = new VirtualClock();
  dynamodb = new MemoryDynamoDb(clock);
  attester = new Attester(clock);
  Math.random = lehmer(5);
});
afterEach(() => {
  Math.random = random;
});

/** Batches with one of these hosts hang. */
function hang(sick: ReadonlySet<string>, usuallyMs: number): void {
  attester.latencyOf = (hosts) => (hosts.some((host) => sick.has(host)) ? NEVER_MS : usuallyMs);
}

describe('a host that hangs now and then', () => {
  type Hangs = (polled: readonly string[], poll: number) => boolean;
  const atEverySecondPoll: Hangs = (_, poll) => poll % 2 === 1;
  const inThreeOfFour: Hangs = (_, poll) => poll % 4 !== 0;
  const inCompany: Hangs = (polled) => polled.length > 1;
  const inLargeCompany: Hangs = (polled) => polled.length >= 50;

  const stories: [string, Hangs, number, number, number][] = [
    ['at every second poll', atEverySecondPoll, 100, 1, 10],
    ['in three polls of four', inThreeOfFour, 100, 1, 10],
    ['in company, asked every 3 s', inCompany, 100, 1, 3],
    ['in company, asked every 61 s', inCompany, 100, 1, 61],
    ['in large company', inLargeCompany, 100, 1, 10],
    ['at every second poll, ten of a thousand', atEverySecondPoll, 1_000, 10, 10],
    ['in company, ten of a thousand', inCompany, 1_000, 10, 10],
  ];
  const told = stories.flatMap(([title, ...story]) => {
    const seeds = story[1] > 100 ? [5] : [5, 7, 11];
    return seeds.map((seed) => [title, seed, ...story] as const);
  });

  test.each(told)(
    '%s, costs the healthy less than 1 %% (seed %d)',
    async (_, seed, hangs, fleet, count, everySeconds) => {
      Math.random = lehmer(seed);
      const hosts = names(fleet);
      const sick = spread(hosts, count);
      const polls = new Map<string, number>();
      attester.latencyOf = (polled) => {
        const hanging = polled.filter((host) => {
          if (!sick.has(host)) return false;
          polls.set(host, (polls.get(host) ?? 0) + 1);
          return hangs(polled, polls.get(host)!);
        });
        return hanging.length > 0 ? NEVER_MS : SECOND;
      };
      const asking = new FilterEnvironment({ clock, dynamodb, connection: attester, shardCount: fleet / 100 });
      let [asked, passed] = [0, 0];
      for (const endsAt = clock.now() + 60 * MINUTE; clock.now() < endsAt;) {
        const isLate = clock.now() > endsAt - 50 * MINUTE;
        const answer = await clock.run(asking.ask(hosts));
        if (isLate)
          [asked, passed] = [asked + fleet - count, passed + answer.passed.filter((host) => !sick.has(host)).length];
        await clock.advance(everySeconds * SECOND);
      }
      expect(passed / asked).toBeGreaterThan(0.99);
      expect(attester.mostAtOnce).toBe(1);
    },
  );
});

describe('hand-over, with requests of 4 s that poll nothing themselves and polls of 7 s,', () => {
  interface Story {
    readonly fleet: number;
    readonly silent?: number;
    readonly executions?: number;
    readonly everySeconds: number;
    readonly environments?: number;
    readonly minutes: number;
    readonly validitySeconds?: number;
    readonly scheduleMinutes?: number;
  }

  async function tell(story: Story): Promise<{ byMinute: number[]; deadLetters: number }> {
    const { fleet, silent = 0, executions = 10, everySeconds, environments = 4, minutes, scheduleMinutes } = story;
    const hosts = names(fleet);
    const sick = spread(hosts, silent);
    hang(sick, 7 * SECOND);
    const validityMs = (story.validitySeconds ?? 60) * SECOND;
    const base = { clock, dynamodb, connection: attester, shardCount: fleet / 100, validityMs };
    const refreshing = new RefreshQueue(clock, executions, () => new FilterEnvironment(base));
    const asking = Array.from({ length: environments }, () => new FilterEnvironment({ ...base, handOver: refreshing }));
    const [from, endsAt] = [clock.now(), clock.now() + minutes * MINUTE];
    const shares = Array.from({ length: minutes }, () => [] as number[]);
    const answers: Promise<void>[] = [];
    for (let i = 0, nextRound = from + (scheduleMinutes ?? Infinity) * MINUTE; clock.now() < endsAt; i++) {
      const minute = Math.floor((clock.now() - from) / MINUTE);
      const answer = asking[i % environments]!.ask(hosts, 'trusted', 4_000);
      answers.push(answer.then(({ passed }) => void shares[minute]?.push(passed.length / (fleet - silent))));
      if (clock.now() >= nextRound) {
        nextRound += (scheduleMinutes ?? Infinity) * MINUTE;
        void refreshing.round();
      }
      await clock.advance(everySeconds * SECOND);
    }
    await clock.run(Promise.all(answers));
    const byMinute = shares.map((its) => its.reduce((a, b) => a + b, 0) / its.length);
    expect(attester.mostAtOnce).toBe(1);
    return { byMinute, deadLetters: refreshing.deadLetters };
  }

  test.each<[string, Story, number]>([
    ['nobody silent', { fleet: 2_000, everySeconds: 2, minutes: 4 }, 0.9],
    ['1 % silent', { fleet: 2_000, silent: 20, everySeconds: 2, minutes: 6 }, 0.9],
    [
      '1 % silent, and a request every 10 s',
      { fleet: 2_000, silent: 20, everySeconds: 10, environments: 2, minutes: 8 },
      0.85,
    ],
    ['0.2 % of ten thousand silent', { fleet: 10_000, silent: 20, everySeconds: 2, minutes: 4 }, 0.9],
    ['a single execution', { fleet: 5_000, executions: 1, everySeconds: 1, minutes: 4 }, 0.8],
  ])('%s: the healthy pass from the second minute on, and no event is lost', async (_, story, least) => {
    const { byMinute, deadLetters } = await tell(story);
    for (const share of byMinute.slice(1)) expect(share).toBeGreaterThan(least);
    const later = byMinute.slice(2);
    expect(later.reduce((a, b) => a + b) / later.length).toBeGreaterThan(0.95);
    expect(deadLetters).toBe(0);
  });

  test('5 % silent, with a schedule: the healthy pass from the third minute on', async () => {
    const story = { fleet: 2_000, silent: 100, everySeconds: 5, minutes: 8, validitySeconds: 600, scheduleMinutes: 5 };
    const { byMinute, deadLetters } = await tell(story);
    for (const share of byMinute.slice(2)) expect(share).toBeGreaterThan(0.9);
    expect(deadLetters).toBe(0);
  });
});

describe('scheduled rounds of ten thousand hosts, when some fall silent,', () => {
  const hosts = names(10_000);
  const timing = { validityMs: 600 * SECOND, recheckMs: 5 * SECOND };

  test.each([
    [20, 3],
    [50, 3],
  ])(
    '%d of them: from round %d on all healthy are renewed, in about twice the time at most, and none ends',
    async (silent, from) => {
      const base = { clock, dynamodb, connection: attester, shardCount: 100, ...timing };
      attester.latencyMs = 2 * SECOND;
      const asking = new FilterEnvironment(base);
      for (let i = 0; i < 4; i++) {
        await clock.run(asking.ask(hosts));
        await clock.advance(70 * SECOND);
      }
      const refreshing = new FilterEnvironment(base);
      const round = async (): Promise<number> => {
        const begun = clock.now();
        await clock.run(refreshing.refresher(299_000).round());
        return clock.now() - begun;
      };
      const usuallyMs = await round();
      const sick = spread(hosts, silent);
      hang(sick, 2 * SECOND);
      for (let i = 1; i <= 5; i++) {
        const begun = clock.now();
        const tookMs = await round();
        const { notRenewed, ended } = leftBehind(dynamodb, sick, { since: begun, now: clock.now(), timing });
        expect([i, ended]).toEqual([i, 0]);
        if (i >= from) {
          expect([i, notRenewed]).toEqual([i, 0]);
          expect([i, tookMs / usuallyMs < 2.2]).toEqual([i, true]);
        }
        await clock.advance(Math.max(0, begun + 300 * SECOND - clock.now()));
      }
    },
  );
});
