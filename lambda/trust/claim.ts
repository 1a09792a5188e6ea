/** The mark of who is polling a host now: pure functions of data and time. */
import { CLOCK_DIFFERENCE_MS } from './time.ts';

/** The mark of an environment (`owner`) that it is polling the host now. */
export interface Claim {
  readonly owner: string;
  readonly since: number;
  readonly until: number;
}

/** A claim never holds longer than this, so that a dead claimer stops nobody for long. */
export const LONGEST_CLAIM_MS = 30_000;
/** The longest that a poll under a claim may take. */
export const LONGEST_POLL_MS = LONGEST_CLAIM_MS - CLOCK_DIFFERENCE_MS;

export function isClaimed(claim: Claim | undefined, now: number): claim is Claim {
  // What ends later than any claim may was written by a wrong clock: nobody waits for that.
  return claim !== undefined && now < claim.until && claim.until <= now + LONGEST_CLAIM_MS + CLOCK_DIFFERENCE_MS;
}

export function isClaimedByOther(claim: Claim | undefined, owner: string, now: number): boolean {
  return isClaimed(claim, now) && claim.owner !== owner;
}

/** Whether the claim was made before a request arrived, so that what it finds out is not that request's to wait for. */
export function wasClaimedBefore(claim: Claim | undefined, arrivedAt: number, now: number): boolean {
  return isClaimed(claim, now) && claim.since < arrivedAt;
}

/** A claim for a poll that may take `limitMs`, with room for clocks that differ. */
export function newClaim(owner: string, now: number, limitMs: number): Claim {
  return { owner, since: now, until: now + Math.min(limitMs + CLOCK_DIFFERENCE_MS, LONGEST_CLAIM_MS) };
}

/**
 * How long a poll may take when it is sent now: `limitMs`, or what its claim still covers, but half of the longest at least, where it may
 * take so long, since writing the claim took a part; then half of the room for clocks that differ must still be left.
 * @param claimedUntil when the claim ends; undefined where there is none
 * @param longestMs the longest that any poll may take; this one, unless it is said
 * @returns undefined where the claim ends too early for that
 */
export function pollLimit(
  limitMs: number,
  claimedUntil: number | undefined,
  now: number,
  longestMs = limitMs,
): number | undefined {
  if (claimedUntil === undefined) return limitMs;
  const leastMs = Math.min(limitMs, longestMs / 2);
  if (claimedUntil - CLOCK_DIFFERENCE_MS / 2 - now < leastMs) return undefined;
  return Math.min(limitMs, Math.max(leastMs, claimedUntil - CLOCK_DIFFERENCE_MS - now));
}
