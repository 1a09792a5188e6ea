import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type FoundLayout,
  type Layout,
  newLayout,
  readLayout,
  sharing,
  writeLayout,
} from '../../../lambda/table/layout.ts';
import { shardOf } from '../../../lambda/table/shard.ts';
import { HOUR, NOW, SECOND } from '../builders.ts';

const DEPLOYMENT = 300 * SECOND;
const found = (count: number, since: number, before: Layout['before'] = []): FoundLayout => ({
  since,
  layout: { count, since, before },
});

describe('the layout that an environment finds first', () => {
  test.each<[string, FoundLayout]>([
    ['is the one it is set up with', found(10, NOW - HOUR)],
    ['began while the functions are being replaced', found(20, NOW - DEPLOYMENT + 1)],
    ['began a moment from now, by another clock', found(20, NOW + SECOND)],
    ['is of another release, and began while the functions are being replaced', { since: NOW - 1, layout: undefined }],
  ])('stays where it %s', (_, layout) => {
    expect(newLayout(10, layout, DEPLOYMENT, NOW)).toBeUndefined();
  });

  test.each<[string, FoundLayout | undefined, Layout]>([
    ['there is none', undefined, { count: 10, since: NOW, before: [{ count: 10, since: 0 }] }],
    [
      'it is of an earlier deployment',
      found(20, NOW - DEPLOYMENT, [{ count: 20, since: 0 }]),
      { count: 10, since: NOW, before: [{ count: 20, since: NOW - DEPLOYMENT }, { count: 20, since: 0 }] }, // prettier-ignore
    ],
    [
      'a wrong clock put it there, and begins after that',
      found(20, NOW + HOUR),
      { count: 10, since: NOW + HOUR + 1, before: [{ count: 20, since: NOW + HOUR }] },
    ],
    ['it is of another release, of which nothing can be read over', { since: 1, layout: undefined }, { count: 10, since: NOW, before: [] }], // prettier-ignore
  ])('gives way where %s', (_, layout, next) => {
    expect(newLayout(10, layout, DEPLOYMENT, NOW)).toEqual(next);
  });

  test('is followed by one that knows the three before it, and no more', () => {
    const before = [4, 3, 2].map((count) => ({ count, since: count }));
    expect(newLayout(10, found(5, 5, before), DEPLOYMENT, NOW)?.before).toEqual(
      [5, 4, 3].map((n) => ({ count: n, since: n })),
    );
  });
});

describe('the item that says which layout holds', () => {
  test('gives back what was written', () => {
    const layout = { count: 20, since: NOW, before: [{ count: 10, since: NOW - HOUR }, { count: 10, since: 0 }] }; // prettier-ignore
    expect(readLayout(writeLayout(layout))).toEqual({ since: NOW, layout });
    expect(readLayout(writeLayout({ ...layout, before: [] })).layout?.before).toEqual([]);
  });

  test.each([
    ['another format', { ...writeLayout({ count: 20, since: NOW, before: [] }), layout: { S: 'v2/20' } }, NOW],
    ['no number of shards', { since: { N: '5' }, layout: { S: 'v1/NaN' } }, 5],
    ['nothing in it', {}, 0],
  ])('is another release’s where it has %s', (_, item, since) => {
    expect(readLayout(item)).toEqual({ since, layout: undefined });
  });
});

test('shards of two layouts have hosts in common where the names of hosts can have such hashes', () => {
  const count = fc.integer({ min: 1, max: 60 });
  fc.assert(
    fc.property(fc.string(), count, count, (host, a, b) => {
      expect(sharing(shardOf(host, a), a, b)).toContain(shardOf(host, b));
    }),
  );
  expect(sharing(13, 20, 10)).toEqual([3]);
  expect(sharing(3, 10, 20)).toEqual([3, 13]);
  expect(sharing(1, 2, 3)).toEqual([0, 1, 2]);
});
