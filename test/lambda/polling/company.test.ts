import { describe, expect, test } from '@jest/globals';
import { halfOf, mostTogether, startsAlone } from '../../../lambda/polling/company.ts';
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

test('a host that spoils batches stands alone after at most seven tries', () => {
  let size = 100;
  let tries = 1;
  for (; size > 1; tries++) size = halfOf(size);
  expect(tries).toBeLessThanOrEqual(7);
  expect(halfOf(1)).toBe(1);
});
