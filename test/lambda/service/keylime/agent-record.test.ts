import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { meaningOf, periodOf } from '../../../../lambda/service/keylime/agent-record.ts';
import { isLate, toAttestation } from '../../../../lambda/trust/attestation.ts';
import { NOW, SECOND } from '../../builders.ts';
import { PULLED, PUSHED, RECEIPT, VERIFIER_NOW } from './builders.ts';

const JUDGEMENT = { validityMs: 60 * SECOND, policyRequired: true };

const TRUSTED = { level: 'trusted', reason: 'trusted', vtime: NOW - 3 * SECOND };
const UNTRUSTED = { level: 'untrusted', reason: 'untrusted' };
const BAD = { last_received_quote: VERIFIER_NOW - 1, last_successful_attestation: VERIFIER_NOW - 3 };
const NEVER = { last_received_quote: 0, last_successful_attestation: 0 };
const OLD = { last_received_quote: VERIFIER_NOW - 60, last_successful_attestation: VERIFIER_NOW - 60 };
const unknown = (reason: string) => ({ level: 'unknown', reason });

describe('the record of an agent that the verifier polls', () => {
  test.each([
    ['9, whatever else it says', { operational_state: 9 }, UNTRUSTED],
    ['9, also of an agent that never was good', { operational_state: 9, ...NEVER, attestation_count: 0 }, UNTRUSTED],
    ['7, silent', { operational_state: 7, last_event_id: 'internal.verifier.not_reachable' }, unknown('timeout')],
    [
      '7, silent at the second call',
      { operational_state: 7, last_event_id: 'internal.verifier.not_reachable_v' },
      unknown('timeout'),
    ],
    [
      '7, silent, and the last quote was bad',
      { operational_state: 7, last_event_id: 'internal.verifier.not_reachable', ...BAD },
      unknown('timeout'),
    ],
    [
      '7, and the last quote was bad',
      { operational_state: 7, last_event_id: 'internal.verifier.exception', ...BAD },
      UNTRUSTED,
    ],
    [
      '7, and the last quote was good',
      { operational_state: 7, last_event_id: 'internal.verifier.no_quote' },
      unknown('unknown'),
    ],
    [
      '7, with an event like that of silence',
      { operational_state: 7, last_event_id: 'internal.verifier.not_reachable_x' },
      unknown('unknown'),
    ],
    [
      '7, with an event that can’t become text',
      { operational_state: 7, last_event_id: { toString: 1, valueOf: null } },
      unknown('unknown'),
    ],
    ['10', { operational_state: 10 }, unknown('unknown')],
    ['8', { operational_state: 8 }, unknown('unknown')],
    ['0', { operational_state: 0 }, unknown('pending')],
    ['2', { operational_state: 2 }, unknown('pending')],
    ['1, never attested', { operational_state: 1, attestation_count: 0 }, unknown('pending')],
    ['1, attested before', { operational_state: 1 }, 'left out'],
    ['3, count 0, which says PASS without ever a quote', { attestation_count: 0, ...NEVER }, unknown('pending')],
    ['3, never good', { last_successful_attestation: 0 }, unknown('pending')],
    ['3, never good as null', { last_successful_attestation: null }, unknown('pending')],
    ['3, reactivated after a bad quote', BAD, UNTRUSTED],
    ['3, old by the verifier’s own clock', OLD, unknown('timeout')],
    ['3', {}, TRUSTED],
    ['4', { operational_state: 4 }, TRUSTED],
    ['5', { operational_state: 5 }, TRUSTED],
    ['6', { operational_state: 6 }, TRUSTED],
    [
      '3, with the event and the severity of an earlier failure',
      { severity_level: 6, last_event_id: 'pcr_validation.invalid_pcr_0' },
      TRUSTED,
    ],
    ['3, whose status says FAIL, which is no verdict here', { attestation_status: 'FAIL' }, TRUSTED],
    ['9, whose status says PASS', { operational_state: 9, attestation_status: 'PASS' }, UNTRUSTED],
    [
      '3, of a verifier before 7.14, without status and period',
      { attestation_status: undefined, attestation_period: undefined },
      TRUSTED,
    ],
    ['11, which there is not', { operational_state: 11 }, unknown('bad-reply')],
    ['-1', { operational_state: -1 }, unknown('bad-reply')],
    ['3 as text', { operational_state: '3' }, unknown('bad-reply')],
    ['none', { operational_state: undefined }, unknown('bad-reply')],
    ['3, without a count', { attestation_count: undefined }, unknown('bad-reply')],
    ['3, with a count that is no number', { attestation_count: true }, unknown('bad-reply')],
    ['1, without a count', { operational_state: 1, attestation_count: null }, unknown('bad-reply')],
    ['3, without the time of the last success', { last_successful_attestation: undefined }, unknown('bad-reply')],
    ['3, with a time as text', { last_successful_attestation: String(VERIFIER_NOW) }, unknown('bad-reply')],
    [
      '3, with a time that is no number of seconds',
      { last_successful_attestation: VERIFIER_NOW + 0.5 },
      unknown('bad-reply'),
    ],
    ['3, without the time of the last quote', { last_received_quote: undefined }, unknown('bad-reply')],
    [
      '3, with a time far ahead of the verifier’s clock',
      { last_received_quote: VERIFIER_NOW + 61, last_successful_attestation: VERIFIER_NOW + 61 },
      unknown('bad-vtime'),
    ],
  ])('of state %s', (_state, members, expected) => {
    expect(meaningOf({ ...PULLED, ...members }, RECEIPT, JUDGEMENT)).toEqual(expected);
  });
});

describe('the record of an agent that reports by itself', () => {
  test.each([
    ['FAIL', { attestation_status: 'FAIL' }, UNTRUSTED],
    ['FAIL, with later good quotes', { attestation_status: 'FAIL', attestation_count: 99 }, UNTRUSTED],
    ['TIMEOUT', { attestation_status: 'TIMEOUT' }, unknown('timeout')],
    ['PENDING', { attestation_status: 'PENDING' }, unknown('pending')],
    ['PASS', {}, TRUSTED],
    ['PASS, in a state of after a restart', { operational_state: 1 }, TRUSTED],
    ['PASS, old', OLD, unknown('timeout')],
    ['PASS, without a time', { last_successful_attestation: undefined }, unknown('bad-reply')],
    ['PASS, never good', { last_successful_attestation: null }, unknown('timeout')],
    ['pass in other letters', { attestation_status: 'pass' }, unknown('bad-reply')],
    ['none', { attestation_status: null }, unknown('bad-reply')],
  ])('of status %s', (_status, members, expected) => {
    expect(meaningOf({ ...PUSHED, ...members }, RECEIPT, JUDGEMENT)).toEqual(expected);
  });

  test('is known by a state that is null, too', () => {
    expect(meaningOf({ ...PULLED, operational_state: null, attestation_status: 'FAIL' }, RECEIPT, JUDGEMENT)).toEqual(
      UNTRUSTED,
    );
  });

  test('is not known by an address of which one part is null', () => {
    expect(meaningOf({ ...PULLED, ip: null, attestation_status: 'FAIL' }, RECEIPT, JUDGEMENT)).toEqual(TRUSTED);
  });
});

describe('the time of a record', () => {
  const time = (receipt: Partial<typeof RECEIPT>, members = {}, judgement = JUDGEMENT) =>
    meaningOf({ ...PULLED, ...members }, { ...RECEIPT, ...receipt }, judgement);

  test('is judged by the verifier’s own clock, and by ours where the answer does not say its', () => {
    expect(time({ date: (VERIFIER_NOW + 56) * SECOND })).toEqual({ ...TRUSTED, vtime: NOW - 59 * SECOND });
    expect(time({ date: (VERIFIER_NOW + 57) * SECOND })).toEqual(unknown('timeout'));
    expect(time({ date: undefined })).toEqual(unknown('timeout'));
    const ours = { last_received_quote: NOW / 1000 - 3, last_successful_attestation: NOW / 1000 - 3 };
    expect(time({ date: undefined }, ours)).toEqual(TRUSTED);
  });

  test('gains nothing where it lies a little ahead', () => {
    const ahead = { last_received_quote: VERIFIER_NOW + 2, last_successful_attestation: VERIFIER_NOW + 2 };
    expect(time({}, ahead)).toEqual({ ...TRUSTED, vtime: NOW });
  });

  test('is not later for an answer that took long: the verifier may have said its time when it was asked', () => {
    expect(time({ sentAt: NOW - 10 * SECOND })).toEqual({ ...TRUSTED, vtime: NOW - 13 * SECOND });
    expect(time({ sentAt: NOW - 57 * SECOND })).toEqual(unknown('timeout'));
    const ours = { last_received_quote: NOW / 1000 - 3, last_successful_attestation: NOW / 1000 - 3 };
    expect(time({ sentAt: NOW - 10 * SECOND, date: undefined }, ours)).toEqual(TRUSTED);
  });

  test('is held against the end of the poll, not only against the receipt of the record', () => {
    expect(time({ judgedAt: NOW + 56 * SECOND })).toEqual(TRUSTED);
    expect(time({ judgedAt: NOW + 57 * SECOND })).toEqual(unknown('timeout'));
  });
});

describe('what a good record is worth', () => {
  const of = (members: object, policyRequired = true) =>
    meaningOf({ ...PULLED, has_runtime_policy: 0, ...members }, RECEIPT, { ...JUDGEMENT, policyRequired });
  const UNCHECKED = { ...TRUSTED, ...unknown('unchecked') };

  test.each([
    ['a runtime policy', { has_runtime_policy: 1 }],
    ['a measured boot policy', { has_mb_refstate: 1 }],
    ['a PCR', { tpm_policy: '{"mask":"0x400","10":["00"]}' }],
  ])('is trust where the verifier checks %s', (_what, members) => {
    expect(of(members)).toEqual(TRUSTED);
  });

  test.each([
    ['nothing', {}],
    ['true where 1 should stand', { has_runtime_policy: true, has_mb_refstate: '1' }],
    ['no member that says so', { has_runtime_policy: undefined, has_mb_refstate: undefined, tpm_policy: undefined }],
    ['a mask alone, which compares nothing', { tpm_policy: '{"mask":"0x408000"}' }],
    ['a PCR without values', { tpm_policy: '{"15":[]}' }],
    ['a PCR that no TPM has', { tpm_policy: '{"24":["00"]}' }],
    ['a PCR with something else than values', { tpm_policy: '{"15":"00","14":[1],"13":[""]}' }],
    ['no JSON', { tpm_policy: '{"15":["00"]' }],
    ['an array', { tpm_policy: '[["00"]]' }],
    ['an object where text should stand', { tpm_policy: { '15': ['00'] } }],
  ])('is unchecked where the verifier has %s', (_what, members) => {
    expect(of(members)).toEqual(UNCHECKED);
    expect(of(members, false)).toEqual(TRUSTED);
  });
});

describe('arbitrary records', () => {
  const odd = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom(0, 1, 3, null, true, '3', 'PASS', VERIFIER_NOW, String(VERIFIER_NOW), undefined),
  );
  const members = Object.keys(PULLED);
  /** A good record of which some members are something else. */
  const changed = fc
    .tuple(fc.constantFrom<object>(PULLED, PUSHED), fc.dictionary(fc.constantFrom(...members), odd))
    .map(([record, changes]): unknown => ({ ...record, ...changes }));

  const isTime = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;

  test('are trusted only where all is there, with its type, that the tables ask for', () => {
    let trusted = 0;
    fc.assert(
      fc.property(fc.oneof(changed, fc.jsonValue()), (record) => {
        const meaning = meaningOf(record, RECEIPT, JUDGEMENT);
        if (meaning === 'left out' || meaning.level !== 'trusted') return;
        trusted++;
        const r = record as Record<string, unknown>;
        const s = r['last_successful_attestation'] as number;
        expect(isTime(s) && s > VERIFIER_NOW - 60 && s <= VERIFIER_NOW + 60).toBe(true);
        const isPush = r['operational_state'] === null || (r['ip'] === null && r['port'] === null);
        if (isPush) expect(r['attestation_status']).toBe('PASS');
        else {
          expect([3, 4, 5, 6]).toContain(r['operational_state']);
          expect(isTime(r['attestation_count'])).toBe(true);
          const q = r['last_received_quote'];
          expect(q === null || (Number.isSafeInteger(q) && (q as number) <= s)).toBe(true);
        }
        const isChecked = r['has_runtime_policy'] === 1 || r['has_mb_refstate'] === 1;
        expect(isChecked || typeof r['tpm_policy'] === 'string').toBe(true);
      }),
      { numRuns: 20_000 },
    );
    expect(trusted).toBeGreaterThan(100);
  });

  test('are never younger than they are, and end no later than the validity after the last good quote', () => {
    const ages = fc.integer({ min: -200, max: 200 });
    const tooks = fc.integer({ min: 0, max: 90_000 });
    fc.assert(
      fc.property(ages, ages, tooks, tooks, fc.boolean(), (age, drift, answerMs, restMs, hasDate) => {
        const date = hasDate ? (VERIFIER_NOW + drift) * SECOND : undefined;
        const at = Math.floor((date ?? NOW) / SECOND) - age;
        const record = { ...PULLED, last_received_quote: at, last_successful_attestation: at };
        const sentAt = NOW - answerMs;
        const judgedAt = NOW + restMs;
        const meaning = meaningOf(record, { sentAt, receivedAt: NOW, date, judgedAt }, JUDGEMENT);
        if (meaning === 'left out' || meaning.level !== 'trusted') return;
        const attestation = toAttestation(meaning, sentAt, judgedAt, {
          validityMs: 60 * SECOND,
          recheckMs: 5 * SECOND,
        });
        const datedAt = hasDate ? sentAt : NOW;
        expect(attestation.validUntil).toBeLessThanOrEqual(datedAt + 60 * SECOND - Math.max(0, age) * SECOND);
        expect(isLate(attestation)).toBe(false);
      }),
      { numRuns: 5_000 },
    );
  });
});

test.each([
  ['2s', 2_000],
  ['0.5s', 500],
  ['60', undefined],
  ['1m', undefined],
  [null, undefined],
  [2, undefined],
])('the period %j is %s ms', (period, ms) => {
  expect(periodOf({ ...PULLED, attestation_period: period })).toBe(ms);
});
