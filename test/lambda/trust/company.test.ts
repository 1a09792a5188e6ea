import { describe, expect, test } from '@jest/globals';
import { afterSpoiledBatch, companyNow, isHung, isInDoubt, isLater } from '../../../lambda/trust/company.ts';
import { HOUR, NOW, SECOND } from '../builders.ts';

const AT = NOW - SECOND;

describe('a company', () => {
  test.each([
    ['holds for an hour', NOW - HOUR + 1, 5],
    ['is over after that', NOW - HOUR, undefined],
    ['of a wrong clock does not hold', NOW + HOUR, undefined],
  ])('%s', (_, at, most) => {
    expect(companyNow({ most: 5, at }, NOW)?.most).toBe(most);
  });

  test('gives way to a later one; of the same time, to one without a doubt', () => {
    const company = { most: 5, at: AT };
    expect(isLater({ most: 9, at: AT + 1, before: 9 }, company)).toBe(true);
    expect(isLater({ most: 9, at: AT - 1 }, company)).toBe(false);
    expect(isLater(company, { ...company, before: 10 })).toBe(true);
    expect(isLater({ ...company, before: 10 }, company)).toBe(false);
    expect(isLater(company, company)).toBe(false);
  });
});

describe('a doubt', () => {
  const doubtful = { most: 50, at: AT, before: 100 };

  test('lasts until the service says something of any host', () => {
    expect(isInDoubt(doubtful, AT - 1)).toBe(true);
    expect(isInDoubt(doubtful, AT)).toBe(false);
    expect(isInDoubt({ most: 50, at: AT }, AT - 1)).toBe(false);
  });

  test('is settled against the service where nobody is answered for the second time in a row', () => {
    const batch = { asked: 1, sentAt: NOW, answeredAt: AT - 1, isOfHosts: false, mostBefore: 50 };
    const hung = afterSpoiledBatch(doubtful, batch);
    expect(hung).toEqual({ most: 100, at: NOW, before: 100 });
    expect([isHung(hung), isHung(doubtful), isHung({ most: 100, at: NOW })]).toEqual([true, false, false]);
  });

  test('is settled against the hosts where somebody was answered meanwhile', () => {
    const batch = { asked: 49, sentAt: NOW, answeredAt: AT, isOfHosts: false, mostBefore: 50 };
    expect(afterSpoiledBatch(doubtful, batch)).toEqual({ most: 24, at: NOW });
  });

  test('never arises about a host that is polled alone anyway, nor about one that is refused alone', () => {
    const batch = { asked: 1, sentAt: NOW, answeredAt: -Infinity, isOfHosts: false, mostBefore: 1 };
    expect(afterSpoiledBatch(undefined, batch)).toEqual({ most: 1, at: NOW });
    expect(afterSpoiledBatch(undefined, { ...batch, mostBefore: 100, isOfHosts: true })).toEqual({ most: 1, at: NOW });
  });
});
