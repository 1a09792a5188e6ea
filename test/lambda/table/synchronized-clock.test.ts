import { beforeEach, describe, expect, test } from '@jest/globals';
import { Counts } from '../../../lambda/log/counts.ts';
import { SynchronizedClock } from '../../../lambda/table/synchronized-clock.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';
import { HOUR, NOW, SECOND } from '../builders.ts';

let world: VirtualClock;
let wrongMs: number;
let frozenMs: number;
let counts: Counts;
let clock: SynchronizedClock;

beforeEach(() => {
  world = new VirtualClock(NOW + 300);
  wrongMs = 0;
  frozenMs = 0;
  counts = new Counts();
  clock = new SynchronizedClock(
    world.skewed(
      () => wrongMs,
      () => frozenMs,
    ),
    counts,
  );
});

/** DynamoDB answers, dated as it is half-way. */
async function ask(tookMs = 20): Promise<void> {
  const sent = clock.moment();
  await world.advance(tookMs / 2);
  const date = Math.floor(world.now() / SECOND) * SECOND;
  await world.advance(tookMs / 2);
  clock.dated(date, sent);
}

const aheadMs = (): number => clock.now() - world.now();
const faults = (): number => counts.take().values.get('ClockFaults') ?? 0;

describe('the time', () => {
  test('is that of a clock which is right, to the millisecond', async () => {
    for (let i = 0; i < 20; i++) {
      await ask();
      await world.advance(777);
      expect(aheadMs()).toBe(0);
    }
    expect(faults()).toBe(0);
  });

  test.each([
    ['less than three seconds ahead', 2_400],
    ['less than three seconds behind', -2_400],
  ])('is that of a clock which is %s', async (_, ms) => {
    wrongMs = ms;
    clock = new SynchronizedClock(
      world.skewed(() => wrongMs),
      counts,
    );
    for (let i = 0; i < 10; i++) {
      await ask();
      await world.advance(777);
      expect(aheadMs()).toBe(ms);
    }
    expect(faults()).toBe(0);
  });

  test.each([
    ['an hour ahead', HOUR],
    ['an hour behind', -HOUR],
    ['just over three and a half seconds ahead', 3_600],
    ['just over three and a half seconds behind', -3_600],
  ])('is DynamoDB’s where the clock is %s, exact to half a second, and that is a fault', async (_, ms) => {
    wrongMs = ms;
    for (let i = 0; i < 5; i++) {
      await ask();
      expect(Math.abs(aheadMs())).toBeLessThanOrEqual(510);
      expect(Math.abs((counts.takeMeasures().get('ClockDifference') ?? 0) - ms)).toBeLessThanOrEqual(510);
      await world.advance(777);
    }
    const { values, faults: causes } = counts.take();
    expect(values.get('ClockFaults')).toBe(5);
    expect(causes[0]?.cause).toMatch(
      /^the clock of this environment is \d+ s (ahead of|behind) DynamoDB's, which counts$/,
    );
  });

  test('is the clock’s again when that was set right', async () => {
    wrongMs = HOUR;
    await ask();
    wrongMs = 0;
    await ask();
    expect(aheadMs()).toBe(0);
    faults();
    await ask();
    expect(faults()).toBe(0);
  });

  test('goes on where the clock is set back, before DynamoDB says anything', async () => {
    await ask();
    wrongMs = -HOUR;
    await world.advance(5 * SECOND);
    expect(aheadMs()).toBe(0);
  });

  test('goes on while a freeze stops the monotonic clock', async () => {
    await ask();
    await world.advance(HOUR);
    frozenMs = HOUR;
    expect(aheadMs()).toBe(0);
  });

  test('of a moment is as is known by now, on either side of a setting', async () => {
    wrongMs = -HOUR;
    const before = clock.moment();
    const at = world.now();
    await world.advance(SECOND);
    await ask();
    await world.advance(SECOND);
    expect(Math.abs(clock.timeOf(before) - at)).toBeLessThanOrEqual(510);
    expect(clock.timeOf(clock.moment())).toBe(clock.now());
  });
});

describe('nothing is learned', () => {
  test.each([
    ['of an answer without a date', () => clock.dated(NaN, clock.moment())],
    ['of an answer that took more than two seconds', () => ask(2_100)],
    [
      'of an answer during which the clock was set',
      () => {
        const sent = clock.moment();
        wrongMs = HOUR;
        clock.dated(NOW, sent);
        wrongMs = 0;
      },
    ],
  ])('%s', async (_, answer: () => void | Promise<void>) => {
    await answer();
    expect([...counts.takeMeasures()]).toEqual([]);
    expect(faults()).toBe(0);
  });

  test('against a clock that may be right, of an answer that took its time', async () => {
    wrongMs = 1_900;
    await ask(1_900);
    expect(faults()).toBe(0);
  });
});
