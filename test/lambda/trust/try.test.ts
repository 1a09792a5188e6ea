import { describe, expect, test } from '@jest/globals';
import { finding, NO_ENTRY } from '../../../lambda/trust/entry.ts';
import { hadItsTime, isPaused, lateAfter, nextPause, slowestOf } from '../../../lambda/trust/try.ts';
import { attestation, entry, failedTry, HOUR, NOW, SECOND, TIMING } from '../builders.ts';

describe('failed tries', () => {
  const ended = failedTry({ endedAt: NOW });

  test.each([
    ['a request that arrived before it ended, also after its pause', NOW + 20 * SECOND, NOW, true],
    ['later requests in its pause', NOW + 5 * SECOND - 1, NOW + 5 * SECOND - 1, true],
    ['no later request when its pause is over', NOW + 5 * SECOND, NOW + 5 * SECOND, false],
  ])('one decides %s', (_, now, arrivedAt, expected) => {
    expect(isPaused(ended, now, arrivedAt)).toBe(expected);
    expect(finding(entry({ lastTry: ended }), now, arrivedAt, TIMING)).toBe(expected ? ended : undefined);
  });

  test('one that a wrong clock wrote decides nobody', () => {
    expect(isPaused(failedTry({ endedAt: NOW + 2 * SECOND }), NOW, NOW)).toBe(true);
    expect(isPaused(failedTry({ endedAt: NOW + 2 * SECOND + 1 }), NOW, NOW)).toBe(false);
  });

  test('one decides only what no attestation does', () => {
    const usable = attestation({ sentAt: NOW - 30 * SECOND });
    expect(finding(entry({ attestation: usable, lastTry: ended }), NOW, NOW, TIMING)).toBe(usable);
    const over = attestation({ sentAt: NOW - HOUR });
    expect(finding(entry({ attestation: over, lastTry: ended }), NOW, NOW, TIMING)).toBe(ended);
    expect(finding(NO_ENTRY, NOW, NOW, TIMING)).toBeUndefined();
  });

  test('pauses double from the recheck up to the validity', () => {
    const pauses: number[] = [];
    let lastTry;
    for (let i = 0; i < 6; i++) {
      lastTry = failedTry({ pauseMs: nextPause(lastTry, true, TIMING) });
      pauses.push(lastTry.pauseMs / SECOND);
    }
    expect(pauses).toEqual([5, 10, 20, 40, 60, 60]);
  });

  test('a pause that does not double is the recheck, whatever came before', () => {
    expect(nextPause(failedTry({ pauseMs: 40 * SECOND }), false, TIMING)).toBe(5 * SECOND);
  });

  test('a shorter configured validity caps the pause that an entry still has', () => {
    expect(nextPause(failedTry({ pauseMs: HOUR }), true, TIMING)).toBe(60 * SECOND);
  });
});

test('a poll that was cut short had its time after half of its limit, or two seconds, or what the last one took', () => {
  expect(hadItsTime(NOW - 7 * SECOND, NOW, 20 * SECOND, 5 * SECOND)).toBe(false);
  expect(hadItsTime(NOW - 7.5 * SECOND, NOW, 20 * SECOND, 5 * SECOND)).toBe(true);
  expect(hadItsTime(NOW - 10 * SECOND, NOW, 20 * SECOND, 15 * SECOND)).toBe(true);
  expect(hadItsTime(NOW - 1_999, NOW, 20 * SECOND, 0)).toBe(false);
  expect(hadItsTime(NOW - 2_000, NOW, 20 * SECOND, SECOND)).toBe(true);
  expect(hadItsTime(NOW - 500, NOW, SECOND, 0)).toBe(true);
});

test('an answer is late after half as long again as the slowest of the last took, but not before two seconds', () => {
  expect([lateAfter(0), lateAfter(SECOND), lateAfter(4 * SECOND)]).toEqual([2 * SECOND, 2 * SECOND, 6 * SECOND]);
});

test('a slow answer is remembered for some faster ones, and less with each', () => {
  expect(slowestOf(0, 5 * SECOND)).toBe(5 * SECOND);
  expect(slowestOf(10 * SECOND, SECOND)).toBe(9 * SECOND);
  expect(slowestOf(SECOND, 2 * SECOND)).toBe(2 * SECOND);
});
