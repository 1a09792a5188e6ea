/**
 * The layout of the table: into how many shards hosts are spread, and since when. One item says which holds; everybody reads
 * it with the shards, and works in that one. docs/adr/0010-layouts.md says why. Pure functions of data and time.
 */
import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import { isFromNow, isOver } from '../trust/time.ts';
import { layoutName } from './shard.ts';

type Item = Readonly<Record<string, AttributeValue>>;

/** A time in which one layout held. No two begin in the same millisecond, and shards of no other count are written in it. */
export interface Tenure {
  /** The number of shards. */
  readonly count: number;
  /** Epoch milliseconds; 0 for shards of before there was such an item. */
  readonly since: number;
}

export interface Layout extends Tenure {
  /** Those before it, the latest first: what they have of hosts is read over. */
  readonly before: readonly Tenure[];
}

/** What the item says; a layout of another format is known by its time alone. */
export interface FoundLayout {
  readonly since: number;
  readonly layout: Layout | undefined;
}

export const LAYOUT_KEY = 'layout';
/** Shards of layouts further back are not read over. */
const MOST_BEFORE = 3;

/** What the item says. One that nobody can have written counts as another format's, from long ago. */
export function readLayout(item: Item): FoundLayout {
  const since = Number(item['since']?.N ?? 0);
  const count = Number(item['count']?.N ?? NaN);
  if (!(count >= 1) || item['layout']?.S !== layoutName(count)) return { since, layout: undefined };
  return { since, layout: { count, since, before: readBefore(item['before']?.S ?? '') } };
}

/** The item's members, but its version. */
export function writeLayout({ before, count, since }: Layout): Item {
  return {
    shard: { S: LAYOUT_KEY },
    layout: { S: layoutName(count) },
    count: { N: String(count) },
    since: { N: String(since) },
    before: { S: before.map((tenure) => `${tenure.count}@${tenure.since}`).join(' ') },
  };
}

function readBefore(text: string): Tenure[] {
  const tenures = Array.from(
    text.matchAll(/(\d+)@(\d+)/g),
    ([, count, since]) => [Number(count), Number(since)] as const,
  );
  return tenures.map(([count, since]) => ({ count, since }));
}

/**
 * The layout that an environment which looks for the first time puts in the place of the one it finds; undefined where it
 * goes along with that. What an environment is set up with is of the newest deployment, unless the layout found is so new
 * that the environment may be one of the deployment before, begun while the functions were being replaced.
 * @param count the number of shards that the environment is set up with
 * @param deploymentMs how long replacing the functions may take
 */
export function newLayout(
  count: number,
  found: FoundLayout | undefined,
  deploymentMs: number,
  now: number,
): Layout | undefined {
  if (found === undefined) return { count, since: now, before: [{ count, since: 0 }] };
  const { layout, since } = found;
  if (layout?.count === count) return undefined;
  if (isFromNow(since, now) && !isOver(since + deploymentMs, now)) return undefined;
  const before = layout === undefined ? [] : [{ count: layout.count, since }, ...layout.before].slice(0, MOST_BEFORE);
  return { count, since: Math.max(now, since + 1), before };
}

/** The shards, of so many, that have hosts in common with a shard of another count: what a host's hash leaves tells. */
export function sharing(index: number, count: number, others: number): number[] {
  const step = greatestDivisor(count, others);
  return Array.from({ length: others / step }, (_, i) => (index % step) + i * step);
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}
