import { describe, expect, test } from '@jest/globals';
import { dateOf } from '../../../lambda/service/answer-stream.ts';

const DATE = 'Fri, 27 Nov 2026 09:12:30 GMT';
const TIME = Date.UTC(2026, 10, 27, 9, 12, 30);

describe('the time that an answer says', () => {
  test.each<[string, string | string[] | undefined, number | undefined]>([
    ['as servers write it', DATE, TIME],
    ['as RFC 850 has it', 'Friday, 27-Nov-26 09:12:30 GMT', TIME],
    ['without a zone', 'Fri Nov 27 09:12:30 2026', undefined],
    ['as ISO 8601 has it', '2026-11-27T09:12:30Z', undefined],
    ['that is a word', 'now GMT', undefined],
    ['twice', [DATE, DATE], undefined],
    ['nowhere', undefined, undefined],
  ])('%s', (_, date, time) => {
    expect(dateOf(date, undefined)).toBe(time);
  });

  test.each<[string, string | string[] | undefined, number]>([
    ['is as much later as the answer lay in a cache', '3600', TIME + 3_600_000],
    ['is as it stands where the answer came at once', '0', TIME],
    ['is as it stands where the age is none', '-5', TIME],
    ['is as it stands where the age has a unit', '5s', TIME],
    ['is as it stands where there are two ages', ['5', '6'], TIME],
  ])('%s', (_, age, time) => {
    expect(dateOf(DATE, age)).toBe(time);
  });
});
