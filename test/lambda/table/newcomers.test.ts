import { expect, test } from '@jest/globals';
import { ROOM_FOR_NEWCOMERS, roomOf, roomTakenBy } from '../../../lambda/table/newcomers.ts';
import { attestation, entry, failedTry, NOW, SECOND, TIMING } from '../builders.ts';

test('a shard has room for twice the newcomers that it has hosts, and for fewer where their names are long', () => {
  expect(ROOM_FOR_NEWCOMERS / roomOf('compute-1.example.com')).toBe(200);
  expect(ROOM_FOR_NEWCOMERS / roomOf('x'.repeat(64))).toBe(200);
  expect(ROOM_FOR_NEWCOMERS / roomOf('x'.repeat(256))).toBe(50);
});

test('a newcomer takes room for as long as anything is to be kept of it', () => {
  const taken = (known = entry(), now = NOW): number => roomTakenBy('compute-1', known, now, TIMING);
  const unknown = entry({ attestation: attestation({ level: 'unknown', reason: 'unknown' }) });
  expect(taken()).toBe(0);
  expect(taken(unknown)).toBe(roomOf('compute-1'));
  expect(taken(unknown, NOW + 600 * SECOND)).toBe(0);
  expect(taken(entry({ lastTry: failedTry() }))).toBe(roomOf('compute-1'));
  expect(taken(entry({ claim: { owner: 'another', since: NOW, until: NOW + 20 * SECOND } }))).toBe(roomOf('compute-1'));
});

test('a host that was ever trusted or untrusted takes none', () => {
  expect(roomTakenBy('compute-1', entry({ attestation: attestation(), definite: true }), NOW, TIMING)).toBe(0);
  expect(roomTakenBy('compute-1', entry({ lastTry: failedTry(), definite: true }), NOW, TIMING)).toBe(0);
});
