import { describe, expect, test } from '@jest/globals';
import { isUsable, isValid, toAttestation, usableUntil } from '../../../lambda/trust/attestation.ts';
import { finding } from '../../../lambda/trust/entry.ts';
import { attestation, entry, HOUR, NOW, SECOND, TIMING } from '../builders.ts';

/** Further ahead than clocks may differ: written by a wrong clock. */
const WRONG = NOW + HOUR;

describe('validity', () => {
  test.each([
    ['the time of the service, where that is earlier', NOW - 9 * SECOND, NOW - 9 * SECOND],
    ['the receipt, where the time of the service is later: it gains nothing', WRONG, NOW],
    ['when the poll was sent, where the service said no time, or none with a zone', undefined, NOW - SECOND],
    ['the time of the service, however old', 0, 0],
  ])('counts from %s', (_, vtime, from) => {
    const answer = { level: 'trusted', reason: 'trusted', ...(vtime === undefined ? {} : { vtime }) } as const;
    expect(toAttestation(answer, NOW - SECOND, NOW, TIMING)).toEqual({
      ...answer,
      sentAt: NOW - SECOND,
      receivedAt: NOW,
      validUntil: from + 60 * SECOND,
    });
  });

  test.each([
    ['in its last millisecond', NOW + 1, NOW - SECOND, true],
    ['no more at its end', NOW, NOW - SECOND, false],
    ['where its receipt is ahead by as much as clocks may differ', WRONG, NOW + 2 * SECOND, true],
    ['but not where its receipt is ahead by more', WRONG, NOW + 2 * SECOND + 1, false],
  ])('an attestation is valid %s', (_, validUntil, receivedAt, expected) => {
    expect(isValid(attestation({ validUntil, receivedAt }), NOW)).toBe(expected);
  });

  test('a validity of nothing still lets an answer decide the request that polled, and no later one', () => {
    const timing = { validityMs: 0, recheckMs: 0 };
    const answer = toAttestation({ level: 'trusted', reason: 'trusted', vtime: NOW }, NOW, NOW + 10, timing);
    expect(isUsable(answer, NOW + 10, NOW, timing)).toBe(true);
    expect(isUsable(answer, NOW + 11, NOW + 11, timing)).toBe(false);
  });
});

describe('an answer whose vtime was already older than the validity (rule 9)', () => {
  const late = attestation({ vtime: NOW - HOUR, receivedAt: NOW });

  test.each([
    ['the request that polled', NOW + 20 * SECOND, NOW - 4 * SECOND, true],
    ['a request that arrives a recheck after its receipt', NOW + 5 * SECOND, NOW + 5 * SECOND, true],
    ['such a request for as long as that waits for other hosts', NOW + 29 * SECOND, NOW + 5 * SECOND, true],
    ['no request that arrives later', NOW + 5 * SECOND + 1, NOW + 5 * SECOND + 1, false],
  ])('decides %s', (_, now, arrivedAt, expected) => {
    expect(isUsable(late, now, arrivedAt, TIMING)).toBe(expected);
    expect(finding(entry({ attestation: late }), now, arrivedAt, TIMING)).toBe(expected ? late : undefined);
  });

  test('decides nobody where its receipt is ahead of every right clock', () => {
    const wrong = attestation({ vtime: NOW - HOUR, receivedAt: NOW + 2 * SECOND + 1 });
    expect(isUsable(wrong, NOW, NOW, TIMING)).toBe(false);
  });

  test('may be passed on until the recheck after its receipt is over, a valid one until its end', () => {
    expect(usableUntil(late, NOW, TIMING)).toBe(NOW + 5 * SECOND);
    expect(usableUntil(attestation({ validUntil: NOW + 1 }), NOW, TIMING)).toBe(NOW + 1);
  });
});
