import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { cutIntoInvocations } from '../../../lambda/polling/hand-over.ts';

const bytesOf = (hosts: readonly string[]): number => Buffer.byteLength(JSON.stringify({ hosts }));

describe('hosts that are handed over', () => {
  test.each([
    [0, []],
    [1, [1]],
    [1_000, [1_000]],
    [2_500, [1_000, 1_000, 500]],
  ])('%d of them are cut into invocations of %j', (count, sizes) => {
    const hosts = Array.from({ length: count }, (_, i) => `compute-${i}`);
    const parts = cutIntoInvocations(hosts);
    expect(parts.map((part) => part.length)).toEqual(sizes);
    expect(parts.flat()).toEqual(hosts);
  });

  test('whose names are long are cut by their bytes, as JSON writes them', () => {
    const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 255 });
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 40 }), (names) => {
        const hosts = Array.from({ length: 60 }, () => names).flat();
        const parts = cutIntoInvocations(hosts);
        for (const part of parts) expect(bytesOf(part)).toBeLessThanOrEqual(200 * 1024);
        expect(parts.flat()).toEqual(hosts);
      }),
      { numRuns: 50 },
    );
  });
});
