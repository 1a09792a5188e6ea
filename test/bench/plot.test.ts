import { describe, expect, test } from '@jest/globals';
import { percentile } from './percentile.ts';
import { type Plot, renderPlot } from './plot.ts';

const PLOT: Plot = {
  title: 'Time < 4 s & more',
  subtitle: 'of two',
  x: { label: 'cached', from: 0, to: 100, ticks: [0, 100] },
  y: { label: 'seconds', from: 0, to: 4, ticks: [0, 2, 4] },
  limit: { at: 3, label: 'deadline' },
  groups: ['100 hosts'],
  kinds: ['p50', 'p99'],
  panels: [
    {
      title: 'quick',
      lines: [
        {
          group: 0,
          kind: 1,
          points: [
            { x: 0, y: 4 },
            { x: 100, y: 0 },
          ],
        },
      ],
    },
    { title: 'slow', lines: [] },
  ],
};

describe('a plot', () => {
  const svg = renderPlot(PLOT);

  test('says in text what it shows, and stands on white', () => {
    for (const words of ['of two', 'cached', 'seconds', 'deadline', '100 hosts', 'p50', 'p99', 'quick', 'slow']) {
      expect(svg).toContain(`>${words}</text>`);
    }
    expect(svg).toMatch(/<rect width="\d+" height="\d+" fill="#ffffff"\/>/);
  });

  test('escapes what XML would read as its own', () => {
    expect(svg).toContain('<title>Time &lt; 4 s &amp; more</title>');
    expect(svg).not.toContain('4 s & more');
  });

  test('has the largest value at the top and the last at the right', () => {
    const [, points = ''] = /<polyline points="([^"]+)"/.exec(svg) ?? [];
    const [[x1, y1], [x2, y2]] = points.split(' ').map((point) => point.split(',').map(Number)) as [number[], number[]];
    expect(y1).toBe(0);
    expect(y2).toBeGreaterThan(y1!);
    expect(x2).toBeGreaterThan(x1!);
  });

  test('is the same for the same values', () => {
    expect(renderPlot(PLOT)).toBe(svg);
  });
});

describe('a percentile', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);

  test.each([
    ['the middle', hundred, 50, 50],
    ['all but one of a hundred', hundred, 99, 99],
    ['the largest of fewer than a hundred', hundred.slice(1), 99, 99],
    ['the only value', [7], 50, 7],
  ])('is %s', (_, values, percent, expected) => {
    expect(percentile(values, percent)).toBe(expected);
  });
});
