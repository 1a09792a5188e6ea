import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isSameName, parseDistinguishedName } from '../../../lambda/http/distinguished-name.ts';

function isSame(one: string, other: string): boolean {
  const [a, b] = [parseDistinguishedName(one), parseDistinguishedName(other)];
  if (a === undefined || b === undefined) throw new Error(`no name: ${a === undefined ? one : other}`);
  return isSameName(a, b) && isSameName(b, a);
}

describe('two names are the same', () => {
  test.each([
    ['written alike', 'CN=kube-scheduler,O=example', 'CN=kube-scheduler,O=example'],
    ['from either end', 'CN=kube-scheduler,OU=a,O=example', 'O=example,OU=a,CN=kube-scheduler'],
    ['with types in another case', 'cn=nova,o=Example', 'CN=nova,O=Example'],
    ['with numbers for types', '2.5.4.3=nova,0.9.2342.19200300.100.1.25=net', 'CN=nova,DC=net'],
    ['with a part of several attributes', 'CN=nova+UID=7,O=a', 'uid=7+cn=nova,O=a'],
    ['with a comma escaped as itself or in hexadecimal', String.raw`O=a\, b`, String.raw`O=a\2C\20b`],
    ['with a letter escaped', String.raw`CN=n\6Fva`, 'CN=nova'],
    ['with a letter of two bytes escaped', String.raw`CN=Lu\C4\8Di\C4\87`, 'CN=Lučić'],
    ['with spaces that are escaped', String.raw`CN=\ a\ `, String.raw`CN=\20a\20`],
    ['with an "=" in a value', 'UID=bm92YQ==', String.raw`UID=bm92YQ\=\3D`],
    ['with an encoding of a value', '1.2.3=#0C0161', '1.2.3=#0c0161'],
  ])('%s', (_, one, other) => {
    expect(isSame(one, other)).toBe(true);
  });
});

describe('two names are not the same', () => {
  test.each([
    ['with values in another case', 'CN=nova', 'CN=Nova'],
    ['with a part more', 'CN=nova', 'CN=nova,O=example'],
    ['with a part twice', 'CN=nova,CN=nova', 'CN=nova'],
    ['with parts that are mixed, rather than turned round', 'CN=a,OU=b,O=c', 'OU=b,CN=a,O=c'],
    ['with attributes in one part or in two', 'CN=a+O=b', 'CN=a,O=b'],
    ['with attributes in other parts', 'CN=a+OU=b,O=c', 'CN=a,OU=b+O=c'],
    ['with a value that looks like two attributes', String.raw`O=b\,2.5.4.3\=a`, 'CN=a+O=b'],
    ['with a comma in a value', String.raw`CN=a\,O=b`, 'CN=a,O=b'],
    ['with a space more', 'CN=a b', 'CN=a  b'],
    ['with letters that look alike', 'CN=n\u006F\u0308va', 'CN=n\u00F6va'],
    ['with a zero', String.raw`CN=nova\00x`, 'CN=nova'],
    ['with a byte order mark', 'CN=\uFEFFnova', 'CN=nova'],
    ['with a text that looks like an encoding', String.raw`CN=\#0c0161`, 'CN=#0c0161'],
    ['with another type', 'CN=a', 'OU=a'],
  ])('%s', (_, one, other) => {
    expect(isSame(one, other)).toBe(false);
  });
});

test.each([
  '',
  'nova',
  '=nova',
  'CN=',
  'CN= ',
  'CN=nova,',
  ',CN=nova',
  'CN=nova+',
  'CN=nova,,O=example',
  'CN=nova, O=example',
  'CN = nova',
  'CN=nova ',
  'CN=nova;O=example',
  'CN="nova"',
  'CN=no<va',
  'CN=no\0va',
  'CN=nova\\',
  String.raw`CN=n\ova`,
  String.raw`CN=n\4`,
  String.raw`CN=n\C4`,
  'CN=#',
  'CN=#0c0',
  'CN=#0c01nova',
  'CN=\uD800',
  '2.5.4.03=nova',
  '2=nova',
  '2.5.=nova',
  '-a=nova',
  'c_n=nova',
  '/O=example/CN=nova, Inc',
])('%j is no name', (text) => {
  expect(parseDistinguishedName(text)).toBeUndefined();
});

test('a text that begins like a name and goes on for long is found to be none', () => {
  for (const more of [' ', 'a ', '\\', '\\ ', '+', '=']) {
    expect(parseDistinguishedName(`CN=nova${more.repeat(100_000)}"`)).toBeUndefined();
  }
});

describe('of all names', () => {
  const attribute = fc.record({
    type: fc.constantFrom('CN', 'O', 'ou', '1.2.3', 'x-y'),
    value: fc.string({
      unit: fc.constantFrom(...Array.from('abB ,+=#";<>\\\0\n1é\u{1F511}')),
      minLength: 1,
      maxLength: 6,
    }),
  });
  const model = fc.array(fc.array(attribute, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 });
  type Model = readonly (readonly { readonly type: string; readonly value: string }[])[];

  const inHex = (character: string): string =>
    Array.from(Buffer.from(character), (byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('');

  /** Writes a name; the lots say what is escaped without need, and how. */
  function write(parts: Model, lots: readonly number[]): string {
    let drawn = 0;
    const draw = (): number => lots[drawn++ % lots.length] ?? 0;
    const escape = (value: string): string =>
      Array.from(value, (character, i) => {
        const isEdge = i === 0 || i === Array.from(value).length - 1;
        if (character === '\0' || draw() === 0) return inHex(character);
        if (/["+,;<>\\]/.test(character) || (isEdge && /[ #]/.test(character))) return `\\${character}`;
        return /[ #=]/.test(character) && draw() === 1 ? `\\${character}` : character;
      }).join('');
    const caseOf = (type: string): string => (draw() === 1 ? type.toLowerCase() : type);
    return parts.map((part) => part.map(({ type, value }) => `${caseOf(type)}=${escape(value)}`).join('+')).join(',');
  }

  const lots = fc.array(fc.nat(3), { minLength: 1, maxLength: 30 });
  const sorted = (parts: Model): string[] =>
    parts.map((part) => JSON.stringify(part.map(({ type, value }) => `${type.toLowerCase()} ${value}`).sort()));

  test('one that is written in two ways is the same, from either end and with its attributes in any order', () => {
    fc.assert(
      fc.property(model, lots, lots, (parts, some, others) => {
        const turned = parts.map((part) => part.toReversed()).toReversed();
        expect(isSame(write(parts, some), write(parts, others))).toBe(true);
        expect(isSame(write(parts, some), write(turned, others))).toBe(true);
      }),
    );
  });

  test('two are the same only if their parts are', () => {
    const near = fc.tuple(model, model).map(([one, other]) => [one, [...other.slice(1), ...one.slice(1)]] as const);
    fc.assert(
      fc.property(fc.oneof(near, fc.tuple(model, model)), lots, ([one, other], some) => {
        fc.pre(other.length > 0);
        const [a, b] = [sorted(one), sorted(other)];
        const expected = [b, b.toReversed()].some((names) => JSON.stringify(names) === JSON.stringify(a));
        expect(isSame(write(one, some), write(other, [3]))).toBe(expected);
      }),
    );
  });
});
