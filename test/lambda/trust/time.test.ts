import { describe, expect, test } from '@jest/globals';
import { ageOf, doClocksAgree, isYounger, laterOf, LONG_AGO, type Moment } from '../../../lambda/trust/time.ts';
import { HOUR, NOW, SECOND } from '../builders.ts';

const then: Moment = { wall: NOW, monotonic: 7_000 };
const after = (wallMs: number, monotonicMs: number): Moment => ({
  wall: then.wall + wallMs,
  monotonic: then.monotonic + monotonicMs,
});

describe('a moment', () => {
  test.each([
    ['both clocks say', 5 * SECOND, 5 * SECOND, 5 * SECOND, true],
    ['the monotonic one says, where the other was set back', -HOUR, 5 * SECOND, 5 * SECOND, false],
    ['the wall clock says, where a freeze stopped the other', HOUR, 1, HOUR, false],
    ['the wall clock says, where that was set ahead', HOUR + SECOND, SECOND, HOUR + SECOND, false],
    ['the one says that says more, where they differ by no more than clocks may', 7_000, 5_000, 7_000, true],
  ])('is as long ago as %s', (_, wallMs, monotonicMs, age, agrees) => {
    const now = after(wallMs, monotonicMs);
    expect(ageOf(then, now)).toBe(age);
    expect([isYounger(then, age, now), isYounger(then, age + 1, now)]).toEqual([false, true]);
    expect(doClocksAgree(then, now)).toBe(agrees);
  });

  test('before everything is older than any span', () => {
    expect(isYounger(LONG_AGO, Number.MAX_VALUE, then)).toBe(false);
  });

  test('is later than another by the clock that nobody sets', () => {
    const later = after(-HOUR, 1);
    expect([laterOf(then, later), laterOf(later, then)]).toEqual([later, later]);
  });
});
