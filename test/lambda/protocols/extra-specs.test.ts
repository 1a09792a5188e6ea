import { describe, expect, test } from '@jest/globals';
import { InvalidRequestError } from '../../../lambda/errors.ts';
import { requiredTrust } from '../../../lambda/protocols/extra-specs.ts';

const requiredOf = (extraSpecs: unknown) => requiredTrust(extraSpecs, 'flavor.extra_specs');

describe('extra specs', () => {
  test.each<[string, unknown]>([
    ['absent ones', undefined],
    ['null', null],
    ['none', {}],
    ['others', { 'hw:cpu_policy': 'dedicated', 'capabilities:trust': 'trusted', distrusted: 'x', 'a trust': 1, '': 1 }],
  ])('ask for nothing: %s', (_, extraSpecs) => {
    expect(requiredOf(extraSpecs)).toBeUndefined();
  });

  test.each<[unknown, string]>([
    [{ 'trust:trusted_host': 'trusted' }, 'trusted'],
    [{ 'trust:trusted_host': 'untrusted' }, 'untrusted'],
    [{ trust: 'trusted' }, 'trusted'],
    [{ trust: 'untrusted', 'hw:cpu_policy': 'dedicated' }, 'untrusted'],
    [{ trust: 'trusted', 'trust:trusted_host': 'trusted' }, 'trusted'],
  ])('%j ask for %s', (extraSpecs, required) => {
    expect(requiredOf(extraSpecs)).toBe(required);
  });

  test.each([
    'trusted_host',
    'Trusted_Host',
    'TRUST',
    'Trust:trusted_host',
    ' trust',
    'trust ',
    '\ttrust:trusted_host\n',
    'trust:',
    'trust:trusted',
    'trustworthy',
    'trusted',
  ])('with the key %j are refused, since it would silently do nothing', (key) => {
    for (const extraSpecs of [{ [key]: 'trusted' }, { trust: 'trusted', [key]: 'trusted' }]) {
      expect(() => requiredOf(extraSpecs)).toThrow(InvalidRequestError);
      expect(() => requiredOf(extraSpecs)).toThrow(/^"flavor\.extra_specs" has the key ".+", which asks for nothing/);
    }
  });

  test.each<[unknown, string]>([
    ['unknown', '"unknown"'],
    ['Trusted', '"Trusted"'],
    [' trusted', '" trusted"'],
    ['', '""'],
    ['s== trusted', '"s== trusted"'],
    [true, 'true'],
    [1, '1'],
    [null, 'null'],
    [['trusted'], 'an array'],
    [{ trusted: true }, 'an object'],
  ])('that ask for %j are refused by name', (value, quoted) => {
    for (const key of ['trust', 'trust:trusted_host']) {
      const act = () => requiredOf({ [key]: value });
      expect(act).toThrow(InvalidRequestError);
      expect(act).toThrow(`"flavor.extra_specs" asks for ${quoted} with "${key}"`);
    }
  });

  test.each([
    { trust: 'trusted', 'trust:trusted_host': 'untrusted' },
    { 'trust:trusted_host': 'untrusted', trust: 'trusted' },
  ])('%j are refused, since both cannot be met', (extraSpecs) => {
    expect(() => requiredOf(extraSpecs)).toThrow(InvalidRequestError);
  });

  test.each<[unknown]>([['trusted'], [1], [true], [[['trust', 'trusted']]]])(
    '%j are refused: no object',
    (extraSpecs) => {
      expect(() => requiredOf(extraSpecs)).toThrow('"flavor.extra_specs" must be an object or null.');
    },
  );
});

test.each([
  ['a zero width space', '\u200btrust'],
  ['a word joiner', '\u2060trust:trusted_host'],
  ['a soft hyphen', 'tru\u00adst'],
  ['a change of direction', '\u202etrust'],
  ['a next line', '\u0085trust'],
  ['full width letters', '\uff54rust'],
  ['a long s', 'tru\u017ft'],
  ['a combining grapheme joiner', 'tr\u034fust:trusted_host'],
  ['a Hangul filler', '\u3164trust'],
  ['a Braille pattern without dots', '\u2800trust'],
  ['a mark of its own', 't\u0307rust'],
  ['a letter with a mark', '\u1e97rust'],
  // Takes most of a minute where they are sorted.
  ['marks without end', `t${'\u0301\u0316'.repeat(150_000)}rust`],
])('a key that %s keeps from being one is refused', (_case, key) => {
  expect(() => requiredTrust({ [key]: 'trusted' }, 'extra_specs')).toThrow(/asks for nothing/);
});
