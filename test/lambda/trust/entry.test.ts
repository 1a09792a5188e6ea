import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Attestation } from '../../../lambda/trust/attestation.ts';
import { newClaim } from '../../../lambda/trust/claim.ts';
import {
  believed,
  withCompany,
  type Entry,
  expiresAt,
  finding,
  isKept,
  merge,
  NO_ENTRY,
  purged,
  withAttestation,
  withTry,
} from '../../../lambda/trust/entry.ts';
import { hourOf } from '../../../lambda/trust/time.ts';
import { attestation, entry, failedTry, HOUR, NOW, SECOND, TIMING } from '../builders.ts';

/** Further ahead than clocks may differ: written by a wrong clock. */
const WRONG = NOW + HOUR;

describe('never older over newer (rule 3)', () => {
  const older = attestation({ reason: 'trusted', sentAt: NOW - 20 * SECOND });
  const newer = attestation({ reason: 'untrusted', sentAt: NOW - 10 * SECOND });

  test.each([
    ['older first', [older, newer]],
    ['newer first', [newer, older]],
  ])('of two attestations that of the poll sent later stays, %s', (_, [first, second]) => {
    const once = withAttestation(NO_ENTRY, first as Attestation, NOW);
    expect(withAttestation(once, second as Attestation, NOW).attestation).toBe(newer);
  });

  test('a poll sent earlier does not win because its answer took longer', () => {
    const slow = attestation({ sentAt: NOW - 20 * SECOND, receivedAt: NOW });
    expect(withAttestation(entry({ attestation: newer }), slow, NOW).attestation).toBe(newer);
  });

  test.each([
    ['unknown', 'trusted', 'unknown'],
    ['unknown', 'untrusted', 'unknown'],
    ['untrusted', 'trusted', 'untrusted'],
  ] as const)('of %s and %s of the same moment, %s stays in either order', (a, b, winner) => {
    for (const [first, second] of [
      [a, b],
      [b, a],
    ] as const) {
      const known = entry({ attestation: attestation({ reason: first }) });
      expect(withAttestation(known, attestation({ reason: second }), NOW).attestation?.level).toBe(winner);
    }
  });

  test('of equal levels of the same moment that with the earlier end stays in either order', () => {
    const short = attestation({ validUntil: NOW + 1 });
    const long = attestation({ validUntil: NOW + 2 });
    expect(withAttestation(entry({ attestation: short }), long, NOW).attestation).toBe(short);
    expect(withAttestation(entry({ attestation: long }), short, NOW).attestation).toBe(short);
  });

  test('a failed try never replaces an attestation, and is dropped where its poll was not sent later', () => {
    const known = entry({ attestation: newer });
    const lastTry = failedTry({ sentAt: newer.sentAt + 1 });
    expect(withTry(known, lastTry, NOW)).toEqual({ ...known, lastTry });
    expect(withTry(known, failedTry({ sentAt: newer.sentAt }), NOW)).toBe(known);
  });

  test('an attestation ends the pause of tries sent before it, and of no later one', () => {
    const before = entry({ lastTry: failedTry({ sentAt: newer.sentAt }) });
    expect(withAttestation(before, newer, NOW).lastTry).toBeUndefined();
    const lastTry = failedTry({ sentAt: newer.sentAt + 1 });
    expect(withAttestation(entry({ lastTry }), newer, NOW).lastTry).toBe(lastTry);
  });

  test('of two tries that sent later stays in either order', () => {
    const early = failedTry({ sentAt: NOW - 3 * SECOND });
    const late = failedTry({ sentAt: NOW - 2 * SECOND });
    expect(withTry(entry({ lastTry: early }), late, NOW).lastTry).toBe(late);
    expect(withTry(entry({ lastTry: late }), early, NOW).lastTry).toBe(late);
  });

  test.each([
    ['trusted', true],
    ['untrusted', true],
    ['unknown', false],
    ['bad-reply', false],
  ] as const)('an attestation %s makes the entry definite: %s', (reason, definite) => {
    expect(withAttestation(NO_ENTRY, attestation({ reason }), NOW).definite).toBe(definite);
    expect(withAttestation(entry({ definite: true }), attestation({ reason }), NOW).definite).toBe(true);
  });
});

describe('purges', () => {
  const claim = { owner: 'a', since: NOW, until: NOW + 9 * SECOND };
  const full = entry({
    attestation: attestation({ sentAt: NOW - 20 * SECOND }),
    lastTry: failedTry({ sentAt: NOW - 10 * SECOND }),
    claim,
    definite: true,
    asked: 7,
  });

  test('one takes what was polled before it and leaves the claim', () => {
    expect(purged(full, NOW, NOW)).toEqual({ claim, definite: true, asked: 7, purgedAt: NOW });
  });

  test('one leaves what was polled after it', () => {
    const after = purged(full, NOW - 15 * SECOND, NOW);
    expect(after.attestation).toBeUndefined();
    expect(after.lastTry).toBe(full.lastTry);
    expect(purged(full, NOW - 21 * SECOND, NOW)).toEqual({ ...full, purgedAt: NOW - 21 * SECOND });
  });

  test('an earlier one does not move the mark of a later one', () => {
    const marked = entry({ purgedAt: NOW });
    expect(purged(marked, NOW - SECOND, NOW).purgedAt).toBe(NOW);
    expect(purged(marked, NOW + SECOND, NOW).purgedAt).toBe(NOW + SECOND);
  });

  test.each([
    ['before the purge is dropped', NOW - 1, false],
    ['at its moment is dropped', NOW, false],
    ['after it is kept', NOW + 1, true],
  ])('a result of a poll sent %s', (_, sentAt, isKeptThen) => {
    const marked = entry({ purgedAt: NOW });
    const attested = withAttestation(marked, attestation({ sentAt }), NOW + SECOND);
    const tried = withTry(marked, failedTry({ sentAt }), NOW + SECOND);
    expect([attested.attestation, tried.lastTry].map((result) => result !== undefined)).toEqual([
      isKeptThen,
      isKeptThen,
    ]);
    expect([attested.purgedAt, tried.purgedAt]).toEqual([NOW, NOW]);
  });
});

describe('wrong clocks (rule 8)', () => {
  const right = attestation();

  test('what a wrong clock wrote makes room for what a right one did', () => {
    const wrong = entry({ attestation: attestation({ sentAt: WRONG }), lastTry: failedTry({ sentAt: WRONG }) });
    expect(withAttestation(wrong, right, NOW).attestation).toBe(right);
    expect(withTry(wrong, failedTry(), NOW).lastTry).toEqual(failedTry());
  });

  test('what is ahead by no more than clocks may differ counts as newer', () => {
    const ahead = attestation({ sentAt: NOW + SECOND, receivedAt: NOW + 2 * SECOND });
    expect(withAttestation(entry({ attestation: ahead }), right, NOW).attestation).toBe(ahead);
  });

  test('an attestation that a wrong clock wrote never replaces that of a right one', () => {
    const known = entry({ attestation: right });
    const wrong = attestation({ reason: 'untrusted', sentAt: WRONG });
    expect(withAttestation(known, wrong, NOW).attestation).toBe(right);
  });

  test('what was sent by a right clock and received by a wrong one is not taken', () => {
    const odd = { sentAt: NOW - SECOND, receivedAt: NOW + 3 * SECOND };
    expect(withAttestation(NO_ENTRY, attestation(odd), NOW)).toBe(NO_ENTRY);
    expect(withTry(NO_ENTRY, failedTry({ sentAt: NOW - SECOND, endedAt: NOW + 3 * SECOND }), NOW)).toBe(NO_ENTRY);
  });

  test('what is ahead goes at the first sight, and with it nothing else', () => {
    const rest = { purgedAt: NOW, company: { most: 1, at: NOW }, definite: true, asked: hourOf(NOW) };
    const wrong = entry({
      attestation: attestation({ sentAt: WRONG }),
      lastTry: failedTry({ sentAt: WRONG }),
      ...rest,
    });
    expect(believed(wrong, NOW)).toEqual({ ...entry(rest), attestation: undefined, lastTry: undefined });
    const good = entry({ attestation: right, lastTry: failedTry(), ...rest });
    expect(believed(good, NOW)).toBe(good);
    expect(believed({ ...good, lastTry: failedTry({ sentAt: WRONG }) }, NOW).attestation).toBe(right);
  });

  test('a try that a wrong clock wrote never replaces that of a right one', () => {
    const known = entry({ lastTry: failedTry() });
    expect(withTry(known, failedTry({ sentAt: WRONG }), NOW).lastTry).toEqual(failedTry());
  });

  test('merging drops what a wrong clock wrote, whichever view has it', () => {
    const wrong = entry({ attestation: attestation({ sentAt: WRONG }), lastTry: failedTry({ sentAt: WRONG }) });
    const good = entry({ attestation: right, lastTry: failedTry({ sentAt: NOW - SECOND, endedAt: NOW }) });
    for (const merged of [merge(wrong, good, NOW), merge(good, wrong, NOW)]) {
      expect(finding(merged, NOW, NOW, TIMING)).toBe(right);
      expect(merged.lastTry).toBe(good.lastTry);
    }
  });
});

describe('keeping', () => {
  const hoursAgo = (hours: number): number => hourOf(NOW) - hours;

  test.each<[string, Entry, boolean]>([
    ['is kept while it is claimed', entry({ claim: { owner: 'a', since: NOW, until: NOW + 1 } }), true],
    ['goes when its claim has ended', entry({ claim: { owner: 'a', since: NOW, until: NOW } }), false],
    ['is kept while it is valid', entry({ attestation: attestation({ reason: 'unknown' }) }), true],
    ['is kept for its pause', entry({ lastTry: failedTry({ endedAt: NOW - 5 * SECOND + 1 }) }), true],
    ['goes when its pause is over', entry({ lastTry: failedTry({ endedAt: NOW - 5 * SECOND }) }), false],
    ['goes when it says nothing', NO_ENTRY, false],
    ['is kept for a day after somebody asked, if ever definite', entry({ definite: true, asked: hoursAgo(24) }), true],
    ['goes after that day', entry({ definite: true, asked: hoursAgo(25) }), false],
    ['is not kept for having been asked about alone', entry({ asked: hoursAgo(0) }), false],
  ])('an entry %s', (_, kept, expected) => {
    expect(isKept(kept, NOW, TIMING)).toBe(expected);
  });

  test('a purge mark outlives every poll and every memory from before it', () => {
    const marked = entry({ purgedAt: NOW });
    const longestClaim = newClaim('a', NOW, HOUR).until;
    expect(isKept(marked, longestClaim + TIMING.validityMs, TIMING)).toBe(true);
    expect(isKept(marked, NOW + HOUR, TIMING)).toBe(false);
  });

  test('a shard expires, in seconds, after all that is kept of it', () => {
    const entries = [
      entry({ attestation: attestation({ sentAt: NOW, receivedAt: NOW }) }),
      entry({ lastTry: failedTry({ endedAt: NOW, pauseMs: TIMING.validityMs }) }),
      entry({ claim: newClaim('a', NOW, HOUR) }),
      entry({ purgedAt: NOW }),
      entry({ definite: true, asked: hourOf(NOW) }),
    ];
    for (const now of [NOW, NOW + HOUR - 1]) {
      const end = expiresAt(now, TIMING);
      expect(Number.isInteger(end)).toBe(true);
      expect(entries.some((kept) => isKept(kept, end * SECOND, TIMING))).toBe(false);
    }
  });

  test('hours are counted from the epoch', () => {
    expect([0, HOUR - 1, HOUR].map(hourOf)).toEqual([0, 0, 1]);
  });
});

describe('merging', () => {
  test('takes the newest of both views, and the claim of the second', () => {
    const lastTry = failedTry({ sentAt: NOW - 3 * SECOND });
    const known = entry({
      attestation: attestation({ sentAt: NOW - 20 * SECOND }),
      lastTry,
      claim: { owner: 'known', since: NOW, until: NOW + SECOND },
      definite: true,
      asked: 8,
    });
    const read = entry({
      attestation: attestation({ reason: 'unknown', sentAt: NOW - 10 * SECOND }),
      claim: { owner: 'read', since: NOW, until: NOW },
      asked: 7,
    });
    const { attestation: newest, claim } = read;
    expect(merge(known, read, NOW)).toEqual({ attestation: newest, lastTry, claim, definite: true, asked: 8 });
    expect(merge(known, { ...read, claim: undefined }, NOW).claim).toBeUndefined();
  });

  test('leaves the read entry as it is where nothing is known beside it', () => {
    const read = entry({ attestation: attestation(), asked: 3 });
    expect(merge(NO_ENTRY, read, NOW)).toBe(read);
  });

  test.each([
    ['known', entry({ purgedAt: NOW }), entry({ attestation: attestation(), lastTry: failedTry() })],
    ['read', entry({ attestation: attestation(), lastTry: failedTry() }), entry({ purgedAt: NOW })],
  ])('a purge that is %s takes what the other view had before it', (_, known, read) => {
    expect(merge(known, read, NOW)).toEqual({ definite: expect.any(Boolean), asked: 0, purgedAt: NOW });
  });

  test('the order in which results, tries and purges arrive does not matter', () => {
    const time = fc.integer({ min: 0, max: 40 }).map((seconds) => NOW - seconds * SECOND);
    const event = fc.oneof(
      fc.record({ reason: fc.constantFrom('trusted', 'untrusted', 'unknown'), sentAt: time }).map((overrides) => ({
        at: overrides.sentAt,
        apply: (known: Entry) => withAttestation(known, attestation(overrides), NOW),
      })),
      time.map((sentAt) => ({ at: sentAt, apply: (known: Entry) => withTry(known, failedTry({ sentAt }), NOW) })),
      time.map((at) => ({ at, apply: (known: Entry) => purged(known, at, NOW) })),
    );
    // A purge of the moment in which a poll is sent counts as the later of the two, so moments are kept apart.
    const events = fc.uniqueArray(event, { selector: ({ at }) => at, maxLength: 6 });
    const shuffled = events.chain((inOrder) =>
      fc.tuple(fc.constant(inOrder), fc.shuffledSubarray(inOrder, { minLength: inOrder.length })),
    );
    fc.assert(
      fc.property(shuffled, fc.nat(6), ([inOrder, order], cut) => {
        const all = (some: typeof inOrder): Entry => some.reduce((known, { apply }) => apply(known), NO_ENTRY);
        const says = ({ attestation: attested, lastTry, purgedAt }: Entry): unknown => ({
          attested,
          lastTry,
          purgedAt,
        });
        const expected = says(all([...inOrder].sort((a, b) => a.at - b.at)));
        expect(says(all(order))).toEqual(expected);
        expect(says(merge(all(order.slice(0, cut)), all(order.slice(cut)), NOW))).toEqual(expected);
      }),
    );
  });
});

describe('a company', () => {
  const company = { most: 5, at: NOW - SECOND };

  test('outlives an answer: what that shows of it depends on how many were polled', () => {
    const known = entry({ company });
    expect(withAttestation(known, attestation({ sentAt: NOW - SECOND }), NOW).company).toEqual(company);
    const answered = entry({ attestation: attestation({ sentAt: NOW - SECOND }) });
    expect(withCompany(answered, company, NOW).company).toEqual(company);
  });

  test('gives way to a later one; of the same time, to one without a doubt', () => {
    const known = entry({ company: { ...company, before: 10 } });
    expect(withCompany(known, { most: 9, at: company.at - 1 }, NOW)).toBe(known);
    expect(withCompany(known, { most: 9, at: company.at + 1, before: 9 }, NOW).company?.most).toBe(9);
    expect(withCompany(known, { ...company, before: 11 }, NOW)).toBe(known);
    expect(withCompany(known, company, NOW).company).toEqual(company);
    expect(withCompany(entry({ company }), { ...company, before: 10 }, NOW).company).toEqual(company);
    expect(withCompany(entry({ company: { most: 5, at: WRONG } }), company, NOW).company).toEqual(company);
    expect(withCompany(known, { most: 9, at: WRONG }, NOW)).toBe(known);
  });

  test('is what two views of a host have in common, whichever was read first', () => {
    const [older, newer] = [entry({ company }), entry({ company: { most: 2, at: NOW } })];
    expect(merge(older, newer, NOW).company?.most).toBe(2);
    expect(merge(newer, older, NOW).company?.most).toBe(2);
  });

  test('keeps the entry of a host that was never trusted or untrusted', () => {
    expect(isKept(entry({ company }), NOW, TIMING)).toBe(true);
    expect(isKept(entry({ company: { most: 5, at: NOW - HOUR } }), NOW, TIMING)).toBe(false);
  });
});

describe('a host of a service that is known to hang, which somebody polls again', () => {
  const hung = { most: 10, at: NOW - 30 * SECOND, before: 10 };
  const claim = { owner: 'a', since: NOW - 5 * SECOND, until: NOW + 17 * SECOND };
  const lastTry = failedTry({ endedAt: NOW - 20 * SECOND, sentAt: NOW - 40 * SECOND, pauseMs: 5 * SECOND });
  const polled = entry({ lastTry, company: hung, claim });
  const asked = (known: Entry, arrivedAt = NOW) => finding(known, NOW, arrivedAt, TIMING)?.reason;

  test('is decided by its last try for whoever asks since', () => {
    expect(asked(polled)).toBe('unreachable');
    expect(asked(polled, claim.since + 1)).toBe('unreachable');
  });

  test('is not so for the request that polls, nor for others that were there before', () => {
    expect(asked(polled, claim.since)).toBeUndefined();
    expect(asked(polled, claim.since - 1)).toBeUndefined();
  });

  test('is not so once the claim is over, nor on a claim that a wrong clock made', () => {
    expect(asked({ ...polled, claim: undefined })).toBeUndefined();
    expect(asked({ ...polled, claim: { ...claim, until: NOW } })).toBeUndefined();
    expect(asked({ ...polled, claim: { ...claim, until: NOW + 33 * SECOND } })).toBeUndefined();
  });

  test('is not so while nobody knows whether the service hangs, nor when that was an hour ago', () => {
    expect(asked({ ...polled, company: { most: 5, at: NOW - 30 * SECOND, before: 10 } })).toBeUndefined();
    expect(asked({ ...polled, company: { most: 5, at: NOW - 30 * SECOND } })).toBeUndefined();
    expect(asked({ ...polled, company: { ...hung, at: NOW - HOUR } })).toBeUndefined();
    expect(asked({ ...polled, company: undefined })).toBeUndefined();
  });
});
