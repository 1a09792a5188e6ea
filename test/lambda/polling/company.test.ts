import { describe, expect, test } from '@jest/globals';
import { isDoubtful, mostTogether, odditiesOf, sharedOddities } from '../../../lambda/polling/company.ts';
import { attestation, entry, NOW } from '../builders.ts';

const TOGETHER = { requestCount: 100, refusedOddities: new Set<string>() };
const REFUSING = { requestCount: 100, refusedOddities: new Set([':', 'long']) };

describe('a name that some dialect refuses', () => {
  test.each(['a#', '::1', 'x'.repeat(51)])('is polled with others like any other: %s', (host) => {
    expect(mostTogether(host, entry(), NOW, TOGETHER)).toBe(100);
  });

  test.each(['::1', 'x'.repeat(51), 'a&b:8080'])('is polled alone where this service refused such: %s', (host) => {
    expect(mostTogether(host, entry(), NOW, REFUSING)).toBe(1);
  });

  test.each(['compute-1.example.com', 'a&b', 'x'.repeat(50)])('is not where it refused others: %s', (host) => {
    expect(mostTogether(host, entry(), NOW, REFUSING)).toBe(100);
  });

  test('is polled with others once the service answered about it', () => {
    expect(mostTogether('::1', entry({ attestation: attestation() }), NOW, REFUSING)).toBe(100);
  });
});

test('a host is polled in the company that it has, never in more than any host', () => {
  const known = entry({ company: { most: 7, at: NOW } });
  expect(mostTogether('a', known, NOW, TOGETHER)).toBe(7);
  expect(mostTogether('a', known, NOW, { ...TOGETHER, requestCount: 5 })).toBe(5);
  expect(mostTogether('::1', known, NOW, REFUSING)).toBe(7);
});

test('it is in doubt why a host was not answered about until somebody is answered', () => {
  const doubtful = entry({ company: { most: 50, at: NOW, before: 100 } });
  expect(isDoubtful(doubtful, NOW, -Infinity)).toBe(true);
  expect(isDoubtful(doubtful, NOW, NOW - 1)).toBe(true);
  expect(isDoubtful(doubtful, NOW, NOW)).toBe(false);
  expect(isDoubtful(entry({ company: { most: 50, at: NOW } }), NOW, -Infinity)).toBe(false);
  expect(isDoubtful(entry(), NOW, -Infinity)).toBe(false);
});

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
