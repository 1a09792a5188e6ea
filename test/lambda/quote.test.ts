import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { clean, quote } from '../../lambda/quote.ts';

describe('what a caller sent', () => {
  test.each<[unknown, string]>([
    ['compute-1', '"compute-1"'],
    ['', '""'],
    ['überhost 🚀', '"überhost 🚀"'],
    [null, 'null'],
    [17, '17'],
    [false, 'false'],
    [['secret'], 'an array'],
    [{ secret: 1 }, 'an object'],
  ])('%j is quoted as %s', (value, expected) => {
    expect(quote(value)).toBe(expected);
  });

  test.each([
    ['a line break', 'a\nb', 'a\\u000ab'],
    ['an escape sequence', '\u001b[31mred', '\\u001b[31mred'],
    ['a null', '\0', '\\u0000'],
    ['a C1 control', '\u009b', '\\u009b'],
    ['a separator of lines', '\u2028', '\\u2028'],
    ['a turn of the direction', 'a\u202eb', 'a\\u202eb'],
    ['a character of no width', 'a\u200bb', 'a\\u200bb'],
    ['half a character', 'a\ud83d', 'a\\ud83d'],
  ])('has %s escaped', (_, text, expected) => {
    expect(clean(text)).toBe(expected);
  });

  test('is cut at a hundred characters, and says so', () => {
    expect(clean('a'.repeat(100))).toBe('a'.repeat(100));
    expect(clean('a'.repeat(101))).toBe(`${'a'.repeat(100)}…`);
  });

  test('never leaves a character in the text that changes how a line is read', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const cleaned = clean(text);
        expect(cleaned.isWellFormed()).toBe(true);
        expect(cleaned).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
        // An escape takes the place of one unit with at most seven.
        expect(cleaned.length).toBeLessThanOrEqual(100 * 7 + 1);
      }),
    );
  });
});
