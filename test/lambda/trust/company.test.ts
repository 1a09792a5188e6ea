import { describe, expect, test } from '@jest/globals';
import {
  afterAnswer,
  afterSpoiledBatch,
  type Company,
  companyNow,
  isGivenUp,
  isHung,
  isInDoubt,
  isLater,
} from '../../../lambda/trust/company.ts';
import { HOUR, NOW, SECOND } from '../builders.ts';

const AT = NOW - SECOND;
const SPOILED = { sentAt: NOW, answeredAt: NOW, isOfHosts: false, isRefused: false, mostBefore: 100 };

const MINUTE = 60 * SECOND;

describe('a company', () => {
  test.each([
    ['is as it was found for a minute', { most: 3 }, MINUTE - 1, 3],
    ['grows fourfold in each step', { most: 3 }, MINUTE, 12],
    ['grows step by step', { most: 1 }, 3 * MINUTE, 64],
    ['is forgotten after six steps', { most: 1 }, 6 * MINUTE, undefined],
    ['grows half as fast with each strike', { most: 1, strikes: 3 }, 4 * MINUTE - 1, 1],
    ['of a host that strikes again and again takes an hour for a step', { most: 1, strikes: 8 }, HOUR - 1, 1],
    ['of a silent host does not grow', { most: 0, strikes: 3 }, 8 * MINUTE, 0],
    ['is remembered for as long', { most: 1, strikes: 8 }, 5 * HOUR, 1024],
    ['of a host that was refused holds for an hour', { most: 1, strikes: 0 }, HOUR - 1, 1],
    ['of a host that was refused is over then', { most: 1, strikes: 0 }, HOUR, undefined],
    ['of a host that was refused after strikes holds as long', { most: 1, strikes: 0, struck: 5 }, HOUR - 1, 1],
    ['of such a host is over but for the strikes, by which it grew', { most: 1, strikes: 0, struck: 5 }, HOUR, 64],
    ['of such a host is forgotten when the strikes are', { most: 1, strikes: 0, struck: 3 }, HOUR, undefined],
    ['in doubt does not grow, and holds for an hour', { most: 10, before: 100 }, HOUR - 1, 10],
    ['of a wrong clock does not hold', { most: 5 }, -HOUR, undefined],
  ])('%s', (_, company, afterMs, most) => {
    expect(companyNow({ ...company, at: NOW - afterMs }, NOW)?.most).toBe(most);
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
    const batch = { asked: 1, sentAt: NOW, answeredAt: AT - 1, isRefused: false, isOfHosts: false, mostBefore: 50 };
    const hung = afterSpoiledBatch(doubtful, batch);
    expect(hung).toEqual({ most: 100, at: NOW, before: 100 });
    expect([isHung(hung), isHung(doubtful), isHung({ most: 100, at: NOW })]).toEqual([true, false, false]);
  });

  test('is settled against the hosts where somebody was answered meanwhile', () => {
    const batch = { asked: 49, sentAt: NOW, answeredAt: AT, isRefused: false, isOfHosts: false, mostBefore: 50 };
    expect(afterSpoiledBatch(doubtful, batch)).toEqual({ most: 7, at: NOW, strikes: 2 });
  });

  test('is no refusal, also about a host that was refused before, so that an answer alone does not end it', () => {
    const refused = { most: 4, at: AT, strikes: 0 };
    const doubted = afterSpoiledBatch(refused, { ...SPOILED, asked: 4, answeredAt: NOW - 1, mostBefore: 4 });
    expect(doubted).toEqual({ most: 2, at: NOW, before: 4 });
    expect(afterAnswer(doubted, { asked: 1, sentAt: NOW })).toEqual({ most: 2, at: NOW });
    const again = { ...SPOILED, asked: 4, answeredAt: NOW - 1, isRefused: true };
    expect(afterSpoiledBatch(undefined, again)).toEqual({ most: 2, at: NOW, before: 100, strikes: 0 });
    const struck = afterSpoiledBatch({ ...refused, struck: 3 }, { ...SPOILED, asked: 4, answeredAt: NOW - 1 });
    expect(struck).toMatchObject({ strikes: 3, before: 100 });
  });

  test('never arises about a host that is polled alone anyway, nor about one that is refused alone', () => {
    const batch = { asked: 1, sentAt: NOW, answeredAt: -Infinity, isRefused: false, isOfHosts: false, mostBefore: 1 };
    expect(afterSpoiledBatch(undefined, batch)).toEqual({ most: 0, at: NOW });
    const refused = { ...batch, mostBefore: 100, isRefused: true, isOfHosts: true };
    expect(afterSpoiledBatch(undefined, refused)).toEqual({ most: 1, at: NOW, strikes: 0 });
  });
});

describe('a batch that failed', () => {
  const batch = { asked: 100, sentAt: NOW, answeredAt: NOW, isOfHosts: false, isRefused: false, mostBefore: 100 };

  test('is cut into about as many parts as each has hosts, and in two where it was refused', () => {
    expect(afterSpoiledBatch(undefined, batch)).toEqual({ most: 10, at: NOW });
    expect(afterSpoiledBatch(undefined, { ...batch, asked: 10 }).most).toBe(3);
    expect(afterSpoiledBatch(undefined, { ...batch, asked: 3 }).most).toBe(1);
    expect(afterSpoiledBatch(undefined, { ...batch, isRefused: true })).toEqual({ most: 50, at: NOW, strikes: 0 });
  });

  test('counts against its hosts, doubly where it was one alone', () => {
    let company = afterSpoiledBatch(undefined, batch);
    for (const [asked, strikes] of [
      [10, 2],
      [3, 3],
      [1, 5],
      [1, 7],
      [1, 8],
      [1, 8],
    ] as const) {
      company = afterSpoiledBatch(company, { ...batch, asked });
      expect(company.strikes).toBe(strikes);
    }
  });
});

describe('a host that is refused', () => {
  const refused = { ...SPOILED, asked: 1, isRefused: true };
  const struck = { most: 1, at: AT, strikes: 0, struck: 5 };

  test('keeps the strikes that it had beside that, however often it is', () => {
    expect(afterSpoiledBatch({ most: 0, at: AT, strikes: 5 }, refused)).toEqual({ ...struck, at: NOW });
    expect(afterSpoiledBatch({ most: 10, at: AT }, refused)).toEqual({ ...struck, at: NOW, struck: 1 });
    expect(afterSpoiledBatch(struck, refused)).toEqual({ ...struck, at: NOW });
    expect(afterSpoiledBatch({ most: 1, at: AT, strikes: 0 }, refused)).toEqual({ most: 1, at: NOW, strikes: 0 });
  });

  test('and spoils a batch again has one more, and is back in the company that they leave', () => {
    const again = afterSpoiledBatch(struck, { ...SPOILED, asked: 4 });
    expect(again).toEqual({ most: 2, at: NOW, strikes: 6 });
    expect(companyNow(again, NOW + 32 * MINUTE)?.most).toBe(8);
    expect(afterSpoiledBatch({ most: 1, at: AT, strikes: 0 }, { ...SPOILED, asked: 4 })).toEqual({ most: 2, at: NOW });
  });

  test('has the strikes count again, from then on, where it is answered about', () => {
    const after = (company: Company, asked: number): Company => afterAnswer(company, { asked, sentAt: NOW });
    expect(after(struck, 1)).toEqual({ most: 1, at: NOW, strikes: 5 });
    expect(after({ ...struck, struck: 1 }, 1)).toEqual({ most: 1, at: NOW });
    expect(companyNow(after({ ...struck, most: 50, struck: 1 }, 50), NOW)?.most).toBeGreaterThan(10_000);
    expect(after({ ...struck, struck: 2 }, 4)).toEqual({ most: 4, at: NOW });
  });
});

describe('an answer about a host', () => {
  const after = (company: Company, asked: number): Company => afterAnswer(company, { asked, sentAt: NOW });

  test('in company after a first strike gives it back all company, and the strike is remembered', () => {
    const all = after({ most: 10, at: AT }, 10);
    expect(companyNow(all, NOW)?.most).toBeGreaterThan(10_000);
    expect(afterSpoiledBatch(all, { ...SPOILED, asked: 100 })).toEqual({ most: 10, at: NOW, strikes: 2 });
  });

  test('alone ends its silence, and gives no company back', () => {
    expect(after({ most: 0, at: AT, strikes: 5 }, 1)).toEqual({ most: 1, at: NOW, strikes: 5 });
    for (const strikes of [1, 2, 5])
      expect(after({ most: 1, at: AT, strikes }, 1)).toEqual({ most: 1, at: AT, strikes });
  });

  test('in the company that it has gives nothing back after several strikes', () => {
    expect(after({ most: 10, at: AT, strikes: 2 }, 10)).toEqual({ most: 10, at: AT, strikes: 2 });
  });

  test('in a larger one works a strike off, if it is about as large as the one that failed', () => {
    expect(after({ most: 10, at: AT, strikes: 3 }, 40)).toEqual({ most: 10, at: AT, strikes: 3 });
    expect(after({ most: 10, at: AT, strikes: 3 }, 90)).toEqual({ most: 90, at: NOW, strikes: 2 });
    expect(after({ most: 1, at: AT, strikes: 3 }, 4)).toEqual({ most: 4, at: NOW, strikes: 2 });
    expect(after({ most: 1, at: AT, strikes: 2 }, 4)).toEqual({ most: 4, at: NOW });
  });

  test('settles a doubt, and gives a host of a service that hung its company back', () => {
    expect(after({ most: 10, at: AT, before: 100 }, 1)).toEqual({ most: 10, at: AT });
    expect(after({ most: 100, at: AT, before: 100 }, 1)).toEqual({ most: 100, at: AT });
  });

  test('ends the company of one that was refused, also alone, and leaves no strike', () => {
    const all = after({ most: 1, at: AT, strikes: 0 }, 1);
    expect(companyNow(all, NOW)?.most).toBeGreaterThan(10_000);
    expect(after(all, 100)).toBe(all);
    const refused = { ...SPOILED, asked: 100, isRefused: true };
    expect(afterSpoiledBatch(all, refused)).toEqual({ most: 50, at: NOW, strikes: 0 });
  });
});

test('a host that failed alone is given up for a step, by those who attest the whole fleet', () => {
  const silent = { most: 0, at: NOW, strikes: 5 };
  expect(isGivenUp(silent, NOW + 16 * MINUTE - 1)).toBe(true);
  expect(isGivenUp(silent, NOW + 16 * MINUTE)).toBe(false);
  expect(isGivenUp({ ...silent, most: 1 }, NOW)).toBe(false);
  expect(isGivenUp({ ...silent, at: NOW + HOUR }, NOW)).toBe(false);
  expect(isGivenUp(undefined, NOW)).toBe(false);
});
