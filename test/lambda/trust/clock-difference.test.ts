import { describe, expect, test } from '@jest/globals';
import { clockDifference, isTooLarge, mayBeNone, middleOf } from '../../../lambda/trust/clock-difference.ts';
import { NOW } from '../builders.ts';

describe('a clock that reads so many milliseconds after the date of an answer which took no time', () => {
  test.each([
    [0, -500, true, false],
    [1_000, 500, true, false],
    [-1, -501, false, false],
    [1_001, 501, false, false],
    [3_500, 3_000, false, false],
    [3_501, 3_001, false, true],
    [-2_500, -3_000, false, false],
    [-2_501, -3_001, false, true],
  ])('%d', (ms, middle, mayBeRight, isWrong) => {
    const difference = clockDifference(NOW + ms, 0, NOW)!;
    expect(middleOf(difference)).toBe(middle);
    expect([mayBeNone(difference), isTooLarge(difference)]).toEqual([mayBeRight, isWrong]);
  });
});

test('an answer that took long has fewer clocks be wrong', () => {
  expect(isTooLarge(clockDifference(NOW + 5_500, 2_000, NOW)!)).toBe(false);
  expect(isTooLarge(clockDifference(NOW + 5_501, 2_000, NOW)!)).toBe(true);
});

test('an answer that took more than two seconds says nothing', () => {
  expect(clockDifference(NOW, 2_001, NOW)).toBeUndefined();
});
