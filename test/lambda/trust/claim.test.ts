import { describe, expect, test } from '@jest/globals';
import { isClaimed, newClaim, pollLimit } from '../../../lambda/trust/claim.ts';
import { NOW, SECOND } from '../builders.ts';

describe('claims', () => {
  test.each([
    ['holds in its last millisecond', NOW + 1, true],
    ['holds no more at its end', NOW, false],
    ['holds where it ends as late as a claim may on clocks that differ', NOW + 32 * SECOND, true],
    ['holds nobody up where it ends later: a wrong clock wrote it', NOW + 32 * SECOND + 1, false],
  ])('one %s', (_, until, expected) => {
    expect(isClaimed({ owner: 'a', since: NOW, until }, NOW)).toBe(expected);
  });

  test('an entry without one is not claimed', () => {
    expect(isClaimed(undefined, NOW)).toBe(false);
  });

  test.each([
    [20, 22],
    [28, 30],
    [29, 30],
  ])('one for a poll of at most %d s lasts %d s', (limit, lasts) => {
    expect(newClaim('a', NOW, limit * SECOND)).toEqual({ owner: 'a', since: NOW, until: NOW + lasts * SECOND });
  });

  test('a poll has the rest of its claim but for the room for clocks that differ', () => {
    const { until } = newClaim('a', NOW, 20 * SECOND);
    const limitAfter = (seconds: number): number | undefined => pollLimit(20 * SECOND, until, NOW + seconds * SECOND);
    expect(limitAfter(0)).toBe(20 * SECOND);
    expect(limitAfter(3)).toBe(17 * SECOND);
    expect(limitAfter(11)).toBe(10 * SECOND);
    expect(limitAfter(11.001)).toBeUndefined();
    expect(pollLimit(20 * SECOND, undefined, NOW)).toBe(20 * SECOND);
  });

  test('a short poll is not kept from starting by the time that its claim took to write', () => {
    const { until } = newClaim('a', NOW, SECOND);
    expect(pollLimit(SECOND, until, NOW + 600)).toBe(SECOND / 2);
  });

  test('has all of a limit that is short beside the longest, or is not sent', () => {
    const until = NOW + 22 * SECOND;
    const limitAfter = (seconds: number): number | undefined =>
      pollLimit(4 * SECOND, until, NOW + seconds * SECOND, 20 * SECOND);
    expect([limitAfter(0), limitAfter(17), limitAfter(17.1)]).toEqual([4 * SECOND, 4 * SECOND, undefined]);
  });
});
