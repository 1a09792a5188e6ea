import { describe, expect, test } from '@jest/globals';
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import type { Answer } from '../../../../lambda/trust/attestation.ts';
import { parsePollReply } from '../../../../lambda/service/oat/poll-reply.ts';
import { ASKED as ARBITRARILY_ASKED, arbitraryReply, unfounded } from './arbitrary-replies.ts';
import { NOW, SECOND } from '../../builders.ts';

const FIXTURES = new URL('../../../fixtures/poll-hosts/', import.meta.url);
const ASKED = new Set(['compute-1', 'compute-2', 'compute-3', 'compute-4', 'compute-5', 'compute-6', '__proto__']);
/** The time in nearly all of the fixtures. */
const VTIME = NOW - 2 * SECOND;

const trusted = (vtime = VTIME): Answer => ({ level: 'trusted', reason: 'trusted', vtime });
const TRUSTED: Answer = { level: 'trusted', reason: 'trusted' };
const UNTRUSTED: Answer = { level: 'untrusted', reason: 'untrusted' };
const untrusted = (vtime = VTIME): Answer => ({ level: 'untrusted', reason: 'untrusted', vtime });
const unknown = (reason: Answer['reason'], vtime?: number): Answer => ({
  level: 'unknown',
  reason,
  ...(vtime === undefined ? {} : { vtime }),
});

interface Case {
  readonly answers: Record<string, Answer>;
  readonly unasked?: number;
  readonly otherCase?: number;
  readonly futureVtimes?: number;
  readonly zonelessVtimes?: number;
}

const CASES: Record<string, [title: string, expected: Case | undefined]> = {
  'oat-1-trusted': [
    'a reply of OAT 1.x says of each host its level and time',
    { answers: { 'compute-1': trusted(VTIME + 881), 'compute-2': untrusted() } },
  ],
  'oat-2-extra-members': [
    'members that nobody needs change nothing',
    { answers: { 'compute-1': trusted(VTIME + 120), 'compute-2': unknown('unknown', VTIME + 120) } },
  ],
  'mt-wilson-c-time': [
    'the times of Mt. Wilson, which state no zone, are none, and counted',
    { answers: { 'compute-1': TRUSTED, 'compute-2': UNTRUSTED }, zonelessVtimes: 2 },
  ],
  'zoneless-vtimes': [
    'a time without a zone is none, of hosts that were asked for, whatever their level',
    {
      answers: {
        'compute-1': TRUSTED,
        'compute-2': unknown('timeout'),
        'compute-3': unknown('bad-reply'),
        'compute-4': unknown('bad-vtime'),
        'compute-5': TRUSTED,
        'compute-6': unknown('bad-reply'),
      },
      unasked: 1,
      zonelessVtimes: 4,
    },
  ],
  'epoch-times': [
    'a time may be a number, or a number as a string',
    { answers: { 'compute-1': trusted(VTIME + 120), 'compute-2': trusted(VTIME + 120) } },
  ],
  'undecided-words': [
    'each of the words beside the two levels is unknown, with itself for the reason, and needs no time',
    {
      answers: {
        'compute-1': unknown('unknown', VTIME),
        'compute-2': unknown('timeout'),
        'compute-3': unknown('pending'),
      },
    },
  ],
  'odd-words': [
    'a level that is not exactly one of the words is a bad reply about that host alone',
    {
      answers: {
        'compute-1': unknown('bad-reply', VTIME),
        'compute-2': unknown('bad-reply', VTIME),
        'compute-3': unknown('bad-reply', VTIME),
        'compute-4': unknown('bad-reply', VTIME),
        'compute-5': unknown('bad-reply', VTIME),
        'compute-6': trusted(),
      },
    },
  ],
  'bad-vtimes': [
    'a level without a usable time is unknown',
    {
      answers: {
        'compute-1': unknown('bad-vtime'),
        'compute-2': unknown('bad-vtime'),
        'compute-3': unknown('bad-vtime'),
        'compute-4': unknown('bad-vtime'),
        'compute-5': trusted(),
      },
    },
  ],
  'future-vtimes': [
    'times after the receipt are counted, of hosts that were asked for, one at the receipt is none',
    {
      answers: {
        'compute-1': trusted(NOW + 1),
        'compute-2': unknown('unknown', Date.UTC(2036, 10, 23, 16)),
        'compute-3': trusted(NOW),
      },
      unasked: 1,
      futureVtimes: 2,
    },
  ],
  'unasked-host': [
    'entries about hosts that nobody asked for are dropped and counted, names compared code point for code point',
    { answers: { 'compute-2': trusted() }, unasked: 3, otherCase: 1 },
  ],
  'missing-host': ['a host that is missing has no answer', { answers: { 'compute-2': trusted() } }],
  reordered: [
    'the order of the entries does not matter',
    { answers: { 'compute-1': trusted(), 'compute-2': untrusted() } },
  ],
  'agreeing-duplicates': ['duplicates that agree are one answer', { answers: { 'compute-1': trusted() } }],
  'disagreeing-duplicates': [
    'duplicates that disagree in level or time are a bad reply, whatever more of them say',
    {
      answers: {
        'compute-1': unknown('bad-reply'),
        'compute-2': unknown('bad-reply'),
        'compute-3': unknown('bad-reply'),
        'compute-4': unknown('bad-reply'),
        'compute-5': trusted(),
      },
    },
  ],
  'entries-of-no-host': [
    'entries about no host at all are dropped and counted, and harm nobody',
    { answers: { 'compute-2': trusted() }, unasked: 8 },
  ],
  'hostile-names': [
    'names and members that mean something to JavaScript are names and members like others',
    { answers: { ['__proto__']: trusted(), 'compute-1': unknown('bad-reply', VTIME) }, unasked: 1 },
  ],
  'no-hosts': ['an empty list is an answer about nobody', { answers: {} }],
  'hosts-as-map': ['hosts as a map are no reply', undefined],
  'error-of-oat-1': ['an error of OAT 1.x is no reply', undefined],
  'error-of-oat-2': ['an error of OAT 2.x is no reply', undefined],
  list: ['a bare list is no reply', undefined],
  null: ['null is no reply', undefined],
};

describe('a reply of PollHosts', () => {
  test.each(Object.entries(CASES).map(([name, [title, expected]]) => ({ name, title, expected })))(
    '$name: $title',
    ({ name, expected }) => {
      const body: unknown = JSON.parse(readFileSync(new URL(`${name}.json`, FIXTURES), 'utf8'));
      const reply = parsePollReply(body, ASKED, NOW);
      if (expected === undefined) {
        expect(reply).toBeUndefined();
        return;
      }
      const { answers, unasked = 0, otherCase = 0, futureVtimes = 0, zonelessVtimes = 0 } = expected;
      const vtimes = Object.values(answers).flatMap(({ vtime }) => vtime ?? []);
      const newestVtime = vtimes.length === 0 ? undefined : Math.max(...vtimes);
      expect(reply).toEqual({
        answers: new Map(Object.entries(answers)),
        unasked,
        otherCase,
        futureVtimes,
        zonelessVtimes,
        newestVtime,
      });
    },
  );

  test('has a case for each of its fixtures', () => {
    expect(readdirSync(FIXTURES).sort()).toEqual(
      Object.keys(CASES)
        .map((name) => `${name}.json`)
        .sort(),
    );
  });

  test('names how many of its entries differ from a host asked for in upper and lower case alone', () => {
    const entry = (host_name: unknown): object => ({ host_name, trust_lvl: 'trusted', vtime: VTIME });
    const hosts = ['COMPUTE-1', 'Compute-2', 'compute-3', 'STRANGER', 'compute-1 ', ['COMPUTE-1'], null].map(entry);
    const reply = parsePollReply({ hosts }, new Set(['compute-1', 'cOMPUTE-2', 'compute-3']), NOW);
    expect(reply).toMatchObject({ answers: new Map([['compute-3', trusted()]]), unasked: 6, otherCase: 2 });
  });

  test('counts no other case where hosts that were asked for differ in nothing else', () => {
    const hosts = ['compute-1', 'COMPUTE-1'].map((host_name) => ({ host_name, trust_lvl: 'trusted', vtime: VTIME }));
    const reply = parsePollReply({ hosts }, new Set(['compute-1', 'COMPUTE-1']), NOW);
    expect(reply).toMatchObject({ unasked: 0, otherCase: 0 });
    expect(reply?.answers.size).toBe(2);
  });

  test('names the newest of its usable times, of whatever level, among hosts asked for', () => {
    const hosts = [
      { host_name: 'compute-1', trust_lvl: 'trusted', vtime: VTIME },
      { host_name: 'compute-2', trust_lvl: 'unknown', vtime: VTIME + 5 },
      { host_name: 'compute-3', trust_lvl: 'trusted', vtime: 'tomorrow' },
      { host_name: 'compute-4', trust_lvl: 'trusted', vtime: '2036-11-23T16:00:00' },
      { host_name: 'somebody-else', trust_lvl: 'trusted', vtime: VTIME + 9 },
    ];
    expect(parsePollReply({ hosts }, ASKED, NOW)?.newestVtime).toBe(VTIME + 5);
    expect(parsePollReply({ hosts: hosts.slice(2) }, ASKED, NOW)).not.toHaveProperty('newestVtime');
  });

  test('that is any JSON at all yields a level only for a host asked for, exactly that word and a valid time', () => {
    let levels = 0;
    fc.assert(
      fc.property(arbitraryReply, (body) => {
        const reply = parsePollReply(body, ARBITRARILY_ASKED, NOW);
        if (reply === undefined) return;
        for (const { level } of reply.answers.values()) if (level !== 'unknown') levels++;
        const faults = unfounded(reply, body);
        if (faults.length > 0) throw new Error(faults.join('; '));
        if (reply.otherCase > reply.unasked) throw new Error('more names in other case than names nobody asked for');
      }),
      { numRuns: 20_000 },
    );
    // Otherwise nothing was shown.
    expect(levels).toBeGreaterThan(10_000);
  });
});
