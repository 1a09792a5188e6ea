import { describe, expect, test } from '@jest/globals';
import { type Entry, NO_ENTRY } from '../../../lambda/trust/entry.ts';
import { freshnessOf, isLeftLate } from '../../../lambda/trust/freshness.ts';
import { attestation, entry, failedTry, HOUR, NOW, SECOND, TIMING } from '../builders.ts';

const received = (secondsAgo: number) => {
  const receivedAt = NOW - secondsAgo * SECOND;
  return entry({ attestation: attestation({ sentAt: receivedAt - SECOND, receivedAt }) });
};
const STARTED = { startedAt: NOW - 10 * SECOND };
const ROUND = { ...STARTED, since: NOW - 15 * SECOND };

describe('how new the attestations of hosts are', () => {
  test('a host is renewed by what was received since the invocation began', () => {
    expect(freshnessOf([received(10), received(3)], ROUND, NOW, TIMING)).toMatchObject({
      renewed: 2,
      due: 0,
      oldestMs: 10_000,
    });
  });

  test('a host that was attested shortly before is neither renewed nor due', () => {
    expect(freshnessOf([received(15)], ROUND, NOW, TIMING)).toMatchObject({ renewed: 0, due: 0, oldestMs: 15_000 });
  });

  test('a host whose attestation still holds is due where a newer one was wanted, and its age tells for how long', () => {
    const failed = { ...received(40), lastTry: failedTry() };
    expect(freshnessOf([failed, received(2)], ROUND, NOW, TIMING)).toMatchObject({
      renewed: 1,
      due: 1,
      oldestMs: 40_000,
    });
  });

  test('a host whose attestation still holds is not due where any will do', () => {
    expect(freshnessOf([received(40)], STARTED, NOW, TIMING)).toMatchObject({ renewed: 0, due: 0, oldestMs: 40_000 });
  });

  test('what has ended is due, and is no attestation in use', () => {
    const hosts = [received(70), entry(), entry({ lastTry: failedTry() })];
    for (const wanted of [STARTED, ROUND]) {
      expect(freshnessOf(hosts, wanted, NOW, TIMING)).toMatchObject({ renewed: 0, due: 3, oldestMs: undefined });
    }
  });

  test('what was received late is renewed, though it has ended by now', () => {
    const late = entry({ attestation: attestation({ vtime: NOW - HOUR, sentAt: NOW - 8 * SECOND }) });
    for (const wanted of [STARTED, ROUND]) {
      expect(freshnessOf([late], wanted, NOW, TIMING)).toMatchObject({ renewed: 1, due: 0, oldestMs: undefined });
    }
  });

  test('what a clock far ahead wrote counts for nothing', () => {
    expect(freshnessOf([received(-60)], ROUND, NOW, TIMING)).toMatchObject({ renewed: 0, due: 1, oldestMs: undefined });
    expect(freshnessOf([received(-1)], ROUND, NOW, TIMING)).toMatchObject({ renewed: 1, due: 0, oldestMs: 0 });
  });

  test('each host is of the level that whoever asks now gets, and unknown where nothing decides it', () => {
    const of = (level: 'trusted' | 'untrusted' | 'unknown'): Entry =>
      entry({ attestation: attestation({ level, reason: level, sentAt: NOW - 2 * SECOND, receivedAt: NOW - SECOND }) });
    const hosts = [of('trusted'), of('trusted'), of('untrusted'), of('unknown'), received(70), entry()];
    expect(freshnessOf(hosts, ROUND, NOW, TIMING).levels).toEqual({ trusted: 2, untrusted: 1, unknown: 3 });
  });
});

describe('what is left of a host that nothing decides is a late answer', () => {
  const late = attestation({ vtime: NOW - HOUR });
  const earlier = failedTry({ sentAt: late.sentAt - 1 });
  const later = failedTry({ sentAt: late.sentAt + 1 });
  test.each<[string, boolean, Entry]>([
    ['where it was too old when it came', true, entry({ attestation: late })],
    ['where a poll sent earlier has failed', true, entry({ attestation: late, lastTry: earlier })],
    ['not where a poll sent later has failed', false, entry({ attestation: late, lastTry: later })],
    ['not where it ended after it came', false, entry({ attestation: attestation({ sentAt: NOW - HOUR }) })],
    ['not where there is only a failed try', false, entry({ lastTry: later })],
    ['not where nothing is known', false, NO_ENTRY],
  ])('%s: %s', (_, expected, known) => {
    expect(isLeftLate(known)).toBe(expected);
  });
});
