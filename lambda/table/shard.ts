/** Shards: hosts whose names hash to the same number share one DynamoDB item. */
import { LARGEST_UNSEEN_MS } from '../trust/clock-difference.ts';
import { believed, type Entry } from '../trust/entry.ts';

export type Entries = ReadonlyMap<string, Entry>;

const FORMAT = 1;
export const HOSTS_PER_SHARD = 100;

export function shardCount(fleetSize: number): number {
  return Math.ceil(fleetSize / HOSTS_PER_SHARD);
}

/** The format and the number of shards. */
export function layoutName(count: number): string {
  return `v${FORMAT}/${count}`;
}

/** The item's key. It names the format and the number of shards, so that another of either mixes nothing. */
export function shardKey(index: number, count: number): string {
  return `${layoutName(count)}/${index}`;
}

/** The number of the shard of a host: FNV-1a over its UTF-16 units, then mixed so that every bit counts. */
export function shardOf(host: string, count: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < host.length; i++) hash = Math.imul(hash ^ host.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % count;
}

/**
 * The version of a shard's next state. It never repeats: `unique` sees to that, also where the item was deleted and
 * made anew. The number in front only tells people which is newer.
 */
export function nextVersion(previous: string | undefined, now: number, unique: string): string {
  const number = Math.max(Number.parseInt(previous ?? '0', 10) + 1, now);
  return `${number}-${unique}`;
}

/** A shard's entries without what has times that lie ahead; the same object where there is none. */
export function believedEntries(entries: Entries, now: number): Entries {
  const mended = Array.from(entries, ([host, entry]) => [host, believed(entry, now)] as const);
  return mended.every(([host, entry]) => entries.get(host) === entry) ? entries : new Map(mended);
}

/** Whether there are times that lie further ahead than they seem to where the reader's own clock is behind, and nothing shows it. */
export function hasWrongTimes(entries: Entries, now: number): boolean {
  return believedEntries(entries, now + LARGEST_UNSEEN_MS) !== entries;
}
