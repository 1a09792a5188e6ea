import { describe, expect, test } from '@jest/globals';
import { cutRefused, odditiesOf, sharedOddities } from '../../../lambda/polling/odd-names.ts';

describe('what is odd about a name', () => {
  test.each([
    ['a#', ['#']],
    ['a&b', ['&']],
    ['a+b', ['+']],
    ['::1', [':']],
    ['"a"', ['"']],
    ["a'", ["'"]],
    ['a,b:8080', [',', ':']],
    ['x'.repeat(51), ['long']],
    [`${'x'.repeat(50)}:`, [':', 'long']],
  ])('are the characters that some dialect refuses, and more than 50 of any: %s', (host, oddities) => {
    expect(odditiesOf(host)).toEqual(oddities);
  });

  test.each(['compute-1.example.com', 'x'.repeat(50), '__proto__', 'überhost', '1.2.3.4'])('is nothing: %s', (host) => {
    expect(odditiesOf(host)).toEqual([]);
  });

  test('is shared by several where it is so about each', () => {
    expect(sharedOddities(['a:,', 'b:', ':c#'])).toEqual([':']);
    expect(sharedOddities(['a:', 'b,'])).toEqual([]);
    expect(sharedOddities(['a:', 'b'])).toEqual([]);
    expect(sharedOddities(['a:,'])).toEqual([':', ',']);
  });
});

describe('hosts that were refused together', () => {
  const cut = (...hosts: string[]): string[][] =>
    cutRefused(hosts.map((host) => ({ host }))).map((part) => part.map(({ host }) => host));

  test('are cut into those with plain names and those with odd ones', () => {
    expect(cut('a', 'b:', 'c', 'd', 'e,')).toEqual([
      ['a', 'c', 'd'],
      ['b:', 'e,'],
    ]);
  });

  test('are cut in the middle, where all names are of one kind', () => {
    expect(cut('a', 'b', 'c')).toEqual([['a', 'b'], ['c']]);
    expect(cut('a:', 'b:')).toEqual([['a:'], ['b:']]);
  });
});
