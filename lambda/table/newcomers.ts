/**
 * Newcomers: hosts that were never attested trusted or untrusted, and may be none at all. A shard has room for so many of
 * them, and with that a request, a hand-over, the queue and an environment's memory have, too: names that nobody knows cost little.
 */
import { isClaimed } from '../trust/claim.ts';
import { type Entry, isKept } from '../trust/entry.ts';
import type { Timing } from '../trust/time.ts';
import { HOSTS_PER_SHARD } from './shard.ts';

/** Names up to this length take the same room, longer ones as much more; in UTF-16 units. */
const USUAL_LENGTH = 64;
/** Twice as many as the hosts that a shard is made for: a fleet that is all new fits, also where it is larger than was expected. */
export const ROOM_FOR_NEWCOMERS = 2 * HOSTS_PER_SHARD * USUAL_LENGTH;

/** How much of that room a newcomer takes. */
export function roomOf(host: string): number {
  return Math.max(USUAL_LENGTH, host.length);
}

/** Whether a host needs no room any more: it was ever trusted or untrusted, or has its place. */
export function isIn(entry: Entry, now: number, timing: Timing): boolean {
  return entry.definite || isKept(entry, now, timing);
}

/** How much of that room is taken. */
export interface RoomTaken {
  readonly all: number;
  /** By those that nobody is polling, which stay for as long as anything is to be kept of them. */
  readonly settled: number;
}

/** How much of that room the entries of a shard take. */
export function roomTakenByAll(entries: Iterable<readonly [string, Entry]>, now: number, timing: Timing): RoomTaken {
  let [all, settled] = [0, 0];
  for (const [host, entry] of entries) {
    const taken = roomTakenBy(host, entry, now, timing);
    all += taken;
    if (!isClaimed(entry.claim, now)) settled += taken;
  }
  return { all, settled };
}

/** How much of that room an entry takes: none of a host that was ever trusted or untrusted, or of which nothing is to be kept. */
export function roomTakenBy(host: string, entry: Entry, now: number, timing: Timing): number {
  return !entry.definite && isKept(entry, now, timing) ? roomOf(host) : 0;
}
