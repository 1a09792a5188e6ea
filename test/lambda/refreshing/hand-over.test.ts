/** What is handed over, a fleet at a time: requests that have no time to poll, and a few executions that poll for them. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Attester } from '../../fakes/attester.ts';
import { FilterEnvironment } from '../../fakes/filter-environment.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { RefreshQueue } from '../../fakes/refresh-queue.ts';
import { SEEDS } from '../../fakes/seeds.ts';
import { hang, spread } from '../../fakes/silent-hosts.ts';
import { lehmer, VirtualClock } from '../../fakes/virtual-clock.ts';
import { SECOND } from '../builders.ts';

const MINUTE = 60 * SECOND;
/** A machine that is busy with others takes long for ten thousand hosts. */
const PATIENCE_MS = 180_000;
const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `compute-${i}.example.com`);

let clock: VirtualClock;
let dynamodb: MemoryDynamoDb;
let attester: Attester;
const { random } = Math;

beforeEach(() => {
  clock = new VirtualClock();
  dynamodb = new MemoryDynamoDb(clock);
  attester = new Attester(clock);
});
afterEach(() => {
  Math.random = random;
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

  async function tell(story: Story, seed: number): Promise<{ byMinute: number[]; deadLetters: number }> {
    Math.random = lehmer(seed);
    const { fleet, silent = 0, executions = 10, everySeconds, environments = 4, minutes, scheduleMinutes } = story;
    const hosts = names(fleet);
    const sick = spread(hosts, silent);
    hang(attester, sick, 7 * SECOND);
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

  const stories: [string, Story, number][] = [
    ['nobody silent', { fleet: 2_000, everySeconds: 2, minutes: 4 }, 0.9],
    ['1 % silent', { fleet: 2_000, silent: 20, everySeconds: 2, minutes: 4 }, 0.9],
    [
      '1 % silent, and a request every 10 s',
      { fleet: 2_000, silent: 20, everySeconds: 10, environments: 2, minutes: 6 },
      0.9,
    ],
    ['0.2 % of ten thousand silent', { fleet: 10_000, silent: 20, everySeconds: 2, minutes: 3 }, 0.9],
    ['a single execution', { fleet: 5_000, executions: 1, everySeconds: 1, minutes: 3 }, 0.8],
  ];
  const told = stories.flatMap(([title, ...story]) => SEEDS.map((seed) => [title, seed, ...story] as const));

  test.each(told)(
    '%s: the healthy pass from the second minute on, and no event is lost (seed %d)',
    async (_, seed, story, least) => {
      const { byMinute, deadLetters } = await tell(story, seed);
      for (const share of byMinute.slice(1)) expect(share).toBeGreaterThan(least);
      const later = byMinute.slice(2);
      expect(later.reduce((a, b) => a + b) / later.length).toBeGreaterThan(0.95);
      expect(deadLetters).toBe(0);
    },
    PATIENCE_MS,
  );

  test.each(SEEDS)(
    '5 %% silent, with a schedule: the healthy pass from the third minute on (seed %d)',
    async (seed) => {
      const schedule = { validitySeconds: 600, scheduleMinutes: 5 };
      const story = { fleet: 2_000, silent: 100, everySeconds: 5, minutes: 7, ...schedule };
      const { byMinute, deadLetters } = await tell(story, seed);
      for (const share of byMinute.slice(2)) expect(share).toBeGreaterThan(0.9);
      expect(deadLetters).toBe(0);
    },
    PATIENCE_MS,
  );
});
