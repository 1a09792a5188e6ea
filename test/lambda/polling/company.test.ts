import { describe, expect, test } from '@jest/globals';
import { isDoubtful, mostTogether, startsAlone } from '../../../lambda/polling/company.ts';
import { attestation, entry, NOW } from '../builders.ts';

describe('a name that some dialect refuses', () => {
  test.each(['a#', 'a&b', 'a+b', '::1', '"a"', "a'", 'a,b', 'x'.repeat(51)])('starts alone: %s', (host) => {
    expect(startsAlone(host)).toBe(true);
    expect(mostTogether(host, entry(), NOW, 100)).toBe(1);
  });

  test.each(['compute-1.example.com', 'x'.repeat(50), '__proto__', 'überhost', '1.2.3.4'])('is not %s', (host) => {
    expect(startsAlone(host)).toBe(false);
    expect(mostTogether(host, entry(), NOW, 100)).toBe(100);
  });

  test('is polled with others once the service answered about it', () => {
    expect(mostTogether('::1', entry({ attestation: attestation() }), NOW, 100)).toBe(100);
  });
});

test('a host is polled in the company that it has, never in more than any host', () => {
  expect(mostTogether('a', entry({ company: { most: 7, at: NOW } }), NOW, 100)).toBe(7);
  expect(mostTogether('a', entry({ company: { most: 7, at: NOW } }), NOW, 5)).toBe(5);
  expect(mostTogether('::1', entry({ company: { most: 7, at: NOW } }), NOW, 100)).toBe(7);
});

test('it is in doubt why a host was not answered about until somebody is answered', () => {
  const doubtful = entry({ company: { most: 50, at: NOW, before: 100 } });
  expect(isDoubtful(doubtful, NOW, -Infinity)).toBe(true);
  expect(isDoubtful(doubtful, NOW, NOW - 1)).toBe(true);
  expect(isDoubtful(doubtful, NOW, NOW)).toBe(false);
  expect(isDoubtful(entry({ company: { most: 50, at: NOW } }), NOW, -Infinity)).toBe(false);
  expect(isDoubtful(entry(), NOW, -Infinity)).toBe(false);
});
