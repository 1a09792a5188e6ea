import { describe, expect, test } from '@jest/globals';
import { afterPart, cutRefused, newRefusal, type Refusal } from '../../../lambda/polling/refusal.ts';

const ANSWERED = { isAnswered: true, refusedWith: undefined, refused: undefined, oddities: [] };
const refused = (part: string, refusedWith = 500) => ({ isAnswered: false, refusedWith, refused: part, oddities: [] });

describe('a batch that was refused', () => {
  test('is cut, and both parts are waited for before either is cut in turn', () => {
    const whole = newRefusal('abcd');
    expect(whole).toMatchObject({ cut: ['abcd'], stand: [], refusal: { open: 2, pollsLeft: 14 } });
    const one = afterPart(whole.refusal, refused('ab'));
    expect(one).toMatchObject({ cut: [], stand: [], refusal: { open: 1, held: ['ab'] } });
    expect(afterPart(one.refusal, ANSWERED)).toMatchObject({ cut: ['ab'], stand: [], refusal: { open: 2 } });
  });

  test('has each refused part cut at once, when any was accepted', () => {
    const accepted = afterPart(newRefusal('abcd').refusal, ANSWERED);
    expect(afterPart(accepted.refusal, refused('cd'))).toMatchObject({ cut: ['cd'], stand: [] });
  });

  test('is not cut any more where both parts are refused alike, and is where they are not', () => {
    const one = afterPart(newRefusal('abcd').refusal, refused('ab'));
    expect(afterPart(one.refusal, refused('cd'))).toMatchObject({ cut: [], stand: ['ab', 'cd'], refusal: { open: 0 } });
    expect(afterPart(one.refusal, refused('cd', 400))).toMatchObject({ cut: ['ab', 'cd'], stand: [] });
  });

  test('is cut where the other part ended in another way: that it was given up says nothing', () => {
    const one = afterPart(newRefusal('abcd').refusal, refused('ab'));
    const givenUp = { isAnswered: false, refusedWith: undefined, refused: undefined, oddities: [] };
    expect(afterPart(one.refusal, givenUp)).toMatchObject({ cut: ['ab'], stand: [] });
  });

  test('costs at most sixteen further polls; what is left then stands as it is', () => {
    let { refusal }: { refusal: Refusal<number> } = newRefusal(0);
    refusal = afterPart(refusal, ANSWERED).refusal;
    let polls = 2;
    const stand: number[] = [];
    for (let part = 1; part <= 20; part++) {
      const decided = afterPart(refusal, { isAnswered: false, refusedWith: 500, refused: part, oddities: [] });
      polls += 2 * decided.cut.length;
      stand.push(...decided.stand);
      ({ refusal } = decided);
    }
    expect(polls).toBe(16);
    expect(stand).toEqual([8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
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
