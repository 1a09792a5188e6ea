import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Counts } from '../../../lambda/log/counts.ts';
import { cutIntoInvocations, HandOver } from '../../../lambda/polling/hand-over.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';
import { HOUR, SECOND } from '../builders.ts';

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

test('after a call that failed nothing is handed over for five seconds, and no longer where the clock is set back', async () => {
  const world = new VirtualClock();
  let wrongMs = 0;
  // Its name is none that Lambda could have, and so nothing leaves the process.
  const handOver = new HandOver('', { clock: world.skewed(() => wrongMs), counts: new Counts() });
  expect(handOver.isUp()).toBe(true);
  await expect(handOver.send(['compute-1'])).resolves.toEqual(['compute-1']);
  wrongMs = -HOUR;
  await world.advance(5 * SECOND - 1);
  expect(handOver.isUp()).toBe(false);
  await world.advance(1);
  expect(handOver.isUp()).toBe(true);
});
