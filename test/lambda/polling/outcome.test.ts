import { describe, expect, test } from '@jest/globals';
import {
  afterPoll,
  NEVER_ANSWERED,
  type PollContext,
  polledOf,
  type PollEnd,
} from '../../../lambda/polling/outcome.ts';
import type { Entry } from '../../../lambda/trust/entry.ts';
import { attestation, entry, failedTry, NOW, SECOND, TIMING } from '../builders.ts';

const LIMIT_MS = 20 * SECOND;
const context = (overrides: Partial<PollContext> = {}): PollContext => ({
  asked: 100,
  service: NEVER_ANSWERED,
  timing: TIMING,
  requestCount: 100,
  limitMs: LIMIT_MS,
  ...overrides,
});

/** A poll without an answer, which ends now. */
const failed = (
  reason: NonNullable<PollEnd['failure']>['reason'],
  tookMs = LIMIT_MS,
  refusedWith?: number,
): PollEnd => ({
  sentAt: NOW - tookMs,
  endedAt: NOW,
  attestations: new Map(),
  failure: { reason, refusedWith },
});

const after = (end: PollEnd, given: Partial<PollContext> = {}, known: Entry = entry(), host = 'a'): Entry =>
  polledOf(end, context(given)).outcome(host, known, NOW);

describe('an answer', () => {
  const said = attestation({ sentAt: NOW - SECOND, receivedAt: NOW });
  const end: PollEnd = { sentAt: NOW - SECOND, endedAt: NOW, attestations: new Map([['a', said]]) };

  test('attests the hosts that it is about, and leaves the others a try', () => {
    expect(after(end).attestation).toBe(said);
    expect(after(end, {}, entry(), 'b')).toMatchObject({ lastTry: { reason: 'not-in-reply', pauseMs: 5 * SECOND } });
    expect(after(end, {}, entry(), 'b').company).toBeUndefined();
  });

  test('shows that the service answers, when, and how long it takes', () => {
    expect(afterPoll(NEVER_ANSWERED, end)).toEqual({ ...NEVER_ANSWERED, answeredAt: NOW, slowestMs: SECOND });
    expect(afterPoll(NEVER_ANSWERED, { ...end, attestations: new Map() })).toBe(NEVER_ANSWERED);
    expect(polledOf(end, context())).toMatchObject({ isAnswered: true, isConclusive: true, refusedWith: undefined });
  });
});

describe('a batch that failed', () => {
  const answering = { ...NEVER_ANSWERED, answeredAt: NOW - SECOND, slowestMs: SECOND };

  test.each([
    ['was not answered in time', failed('pending')],
    ['was answered with something that is no reply', failed('bad-reply')],
  ])('since it %s has its hosts polled in parts, at once, where the service answered others', (_, end) => {
    const service = { ...answering, answeredAt: end.sentAt };
    expect(after(end, { service }).company).toEqual({ most: 10, at: end.sentAt });
    expect(polledOf(end, context({ service })).goesOn).toBe(true);
  });

  test('since it was refused has its hosts polled in half of its company', () => {
    const end = failed('unreachable', SECOND, 500);
    const service = { ...answering, answeredAt: end.sentAt };
    expect(after(end, { service }).company).toEqual({ most: 50, at: end.sentAt, strikes: 0 });
    // It is cut as a batch.
    expect(polledOf(end, context({ service })).goesOn).toBe(false);
  });

  test('before the longest that a poll may take goes on at once, since the service was there just now', () => {
    expect(polledOf(failed('pending', 5 * SECOND), context({ service: answering })).goesOn).toBe(true);
    expect(polledOf(failed('pending'), context()).goesOn).toBe(false);
    expect(polledOf(failed('pending', 5 * SECOND), context({ service: answering, asked: 1 })).goesOn).toBe(false);
    expect(polledOf(failed('unreachable', 5 * SECOND), context({ service: answering })).goesOn).toBe(false);
  });

  test('leaves them their company in doubt, where nobody was answered meanwhile', () => {
    expect(after(failed('pending')).company).toEqual({ most: 10, at: NOW - LIMIT_MS, before: 100 });
  });

  test('for the second time in a row gives it back to them: the service hangs', () => {
    const known = entry({ company: { most: 50, at: NOW - 60 * SECOND, before: 100 } });
    expect(after(failed('pending'), {}, known).company).toEqual({ most: 100, at: NOW - LIMIT_MS, before: 100 });
    expect(after(failed('pending'), { asked: 1 }, known).company).toMatchObject({ most: 100, before: 100 });
  });

  test('after somebody was answered since the first failure is its hosts’ fault', () => {
    const known = entry({ company: { most: 50, at: NOW - 60 * SECOND, before: 100 } });
    const service = { ...answering, answeredAt: NOW - 30 * SECOND };
    expect(after(failed('pending'), { asked: 50, service }, known).company).toEqual({
      most: 7,
      at: NOW - LIMIT_MS,
      strikes: 2,
    });
  });

  test.each(['unreachable', 'not-in-reply'] as const)(
    'for a reason that is none of its hosts’ (%s) changes no company',
    (reason) => {
      expect(after(failed(reason, SECOND)).company).toBeUndefined();
    },
  );

  test('that was cut short before it had its time says nothing of its hosts', () => {
    const end = failed('pending', SECOND);
    expect(polledOf(end, context()).isConclusive).toBe(false);
    expect(after(end).company).toBeUndefined();
    expect(after(end).lastTry?.reason).toBe('pending');
    expect(polledOf(failed('pending', 10 * SECOND), context()).isConclusive).toBe(true);
  });
});

describe('a host that spoils batches', () => {
  const service = { ...NEVER_ANSWERED, answeredAt: NOW, slowestMs: SECOND };

  test('stands alone after at most seven tries', () => {
    let [known, asked, tries] = [entry(), 100, 0];
    for (; known.company?.most !== 1; tries++) {
      const end = { ...failed('pending'), sentAt: NOW - LIMIT_MS + tries };
      known = after(end, { asked, service }, known);
      asked = known.company?.most ?? 0;
    }
    expect(tries).toBeLessThanOrEqual(7);
  });

  test('stays alone when it is refused alone, though nobody else was answered', () => {
    expect(after(failed('refused', SECOND, 400), { asked: 1 }).company).toEqual({
      most: 1,
      at: NOW - SECOND,
      strikes: 0,
    });
  });
});

describe('the pause after a failed try', () => {
  const known = entry({ lastTry: failedTry({ sentAt: NOW - 50 * SECOND, pauseMs: 10 * SECOND }) });
  const pauseOf = (given: Partial<PollContext>, end = failed('pending')): number | undefined =>
    after(end, given, known).lastTry?.pauseMs;

  test('doubles where nobody was answered meanwhile, and where the host was polled alone', () => {
    expect(pauseOf({})).toBe(20 * SECOND);
    expect(pauseOf({ asked: 1, service: { ...NEVER_ANSWERED, answeredAt: NOW, slowestMs: SECOND } })).toBe(20 * SECOND);
  });

  test('is the recheck where others were answered', () => {
    expect(pauseOf({ service: { ...NEVER_ANSWERED, answeredAt: NOW, slowestMs: SECOND } })).toBe(5 * SECOND);
  });
});

describe('where each host has an outcome of its own', () => {
  const own = { isEachItsOwn: true };

  test.each(['pending', 'bad-reply', 'unreachable', 'refused'] as const)(
    'a poll that failed as a whole (%s) leaves every host its company, and goes on with nobody',
    (reason) => {
      const end = failed(reason, LIMIT_MS, reason === 'refused' ? 500 : undefined);
      const alive = { service: { ...NEVER_ANSWERED, answeredAt: NOW - SECOND, slowestMs: SECOND } };
      const left = after(end, { ...own, ...alive });
      expect([left.lastTry?.reason, left.company]).toEqual([reason, undefined]);
      expect(polledOf(end, context({ ...own, ...alive }))).toMatchObject({ goesOn: false, refusedWith: undefined });
      if (reason === 'pending') expect(after(end, alive).company).toBeDefined();
    },
  );

  test('a host that failed alone keeps its reason, its attestation and its company, and its pause doubles', () => {
    const said = attestation({ sentAt: NOW - SECOND, receivedAt: NOW });
    const end: PollEnd = {
      sentAt: NOW - SECOND,
      endedAt: NOW,
      attestations: new Map([['b', said]]),
      failures: new Map([['a', { reason: 'pending' }]]),
    };
    const service = afterPoll(NEVER_ANSWERED, end);
    const before = attestation({ sentAt: NOW - 30 * SECOND });
    const known = entry({ attestation: before, lastTry: failedTry({ sentAt: NOW - 20 * SECOND }) });
    const left = after(end, { ...own, service }, known);
    expect(left).toMatchObject({ attestation: before, lastTry: { reason: 'pending', pauseMs: 2 * TIMING.recheckMs } });
    expect(left.company).toBeUndefined();
    expect(after(end, { ...own, service }, entry(), 'b').attestation).toBe(said);
  });

  test('a host that was left out pauses for the recheck, however often', () => {
    const said = attestation({ sentAt: NOW - SECOND, receivedAt: NOW });
    const end: PollEnd = { sentAt: NOW - SECOND, endedAt: NOW, attestations: new Map([['b', said]]) };
    const service = afterPoll(NEVER_ANSWERED, end);
    const known = entry({ lastTry: failedTry({ sentAt: NOW - 20 * SECOND }) });
    expect(after(end, { ...own, service }, known).lastTry).toMatchObject({
      reason: 'not-in-reply',
      pauseMs: TIMING.recheckMs,
    });
  });
});
