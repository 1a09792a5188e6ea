/** How new what is known of a fleet or a host is: pure functions of data and time. */
import { endsSoon, isLate, isReceivedSince } from './attestation.ts';
import { isGivenUp } from './company.ts';
import { type Entry, isAttested } from './entry.ts';
import type { TrustLevel } from './reason.ts';
import type { Timing } from './time.ts';
import { isPaused } from './try.ts';

/** What an invocation did for hosts that were to be attested, and what it left. */
export interface Freshness {
  /** Hosts with an attestation that was received since the invocation began. */
  readonly renewed: number;
  /** Hosts without an attestation as new as was wanted. */
  readonly due: number;
  /** How long ago the oldest of the attestations was received that decide whoever asks now; absent where none does. */
  readonly oldestMs: number | undefined;
  /** How many hosts are of each level for whoever asks now; those that nothing decides are unknown. */
  readonly levels: Readonly<Record<TrustLevel, number>>;
}

/**
 * @param wanted when the invocation began, and since when attestations must have been received to be as new as it wanted;
 * without that, any will do that decides whoever asks now
 */
export function freshnessOf(
  entries: Iterable<Entry>,
  wanted: { readonly startedAt: number; readonly since?: number | undefined },
  now: number,
  timing: Timing,
): Freshness {
  let renewed = 0;
  let due = 0;
  let oldestMs: number | undefined;
  const levels = { trusted: 0, untrusted: 0, unknown: 0 };
  for (const entry of entries) {
    const { attestation } = entry;
    if (attestation === undefined) {
      due++;
      levels.unknown++;
      continue;
    }
    const isInUse = isAttested(entry, now, timing);
    levels[isInUse ? attestation.level : 'unknown']++;
    if (isReceivedSince(attestation, wanted.startedAt, now)) renewed++;
    else if (isDue(entry, wanted.since, now, timing)) due++;
    if (isInUse) oldestMs = Math.max(oldestMs ?? 0, now - attestation.receivedAt);
  }
  return { renewed, due, oldestMs, levels };
}

/**
 * Whether there is no attestation of a host that is as new as is wanted.
 * @param since when it must have been received; without that, any will do that decides whoever asks now
 */
export function isDue(entry: Entry, since: number | undefined, now: number, timing: Timing): boolean {
  const { attestation } = entry;
  if (attestation === undefined) return true;
  return since === undefined ? !isAttested(entry, now, timing) : !isReceivedSince(attestation, since, now);
}

/** Whether the last that is known of a host which nothing decides is an answer that was too old when it came. */
export function isLeftLate({ attestation, lastTry }: Entry): boolean {
  return attestation !== undefined && isLate(attestation) && (lastTry?.sentAt ?? -Infinity) <= attestation.sentAt;
}

/** Whether an attestation or a failed try is as new as a refresh wants it that began at `arrivedAt`. */
export function isRenewed(
  { attestation, company, lastTry }: Entry,
  since: number,
  arrivedAt: number,
  now: number,
): boolean {
  if (attestation !== undefined && isReceivedSince(attestation, since, now)) return true;
  return lastTry !== undefined && (isPaused(lastTry, now, arrivedAt) || isGivenUp(company, now));
}

/** Whether the attestation of a host ends soon, and was not renewed, nor tried in vain to be, since a refresh began or just now. */
export function isEnding({ attestation, lastTry }: Entry, arrivedAt: number, now: number, timing: Timing): boolean {
  if (attestation === undefined || attestation.receivedAt >= arrivedAt) return false;
  return endsSoon(attestation, now, timing) && (lastTry === undefined || !isPaused(lastTry, now, arrivedAt));
}

/**
 * When the pause ends that kept a host from being polled for an invocation which began at `arrivedAt`, where it is the first
 * after a failed try, and so is short.
 */
export function firstPauseEnd(
  { company, lastTry }: Entry,
  arrivedAt: number,
  { recheckMs }: Timing,
): number | undefined {
  if (
    lastTry === undefined ||
    isGivenUp(company, lastTry.endedAt) ||
    lastTry.endedAt >= arrivedAt ||
    lastTry.pauseMs > recheckMs
  )
    return undefined;
  return lastTry.endedAt + lastTry.pauseMs;
}

/**
 * Whether what is known of a host can be all that the service has to say since it hinted that the host failed: it was asked
 * since, and what it calls trusted was validated since.
 */
export function isSettledSince({ attestation }: Entry, hintedAt: number): boolean {
  if (attestation === undefined || attestation.sentAt < hintedAt) return false;
  return attestation.level !== 'trusted' || (attestation.vtime ?? attestation.sentAt) >= hintedAt;
}

/** Whether a poll has ended that was about the host, since a time. */
export function hasNewsSince({ attestation, lastTry }: Entry, since: number): boolean {
  return (attestation?.receivedAt ?? -Infinity) >= since || (lastTry?.endedAt ?? -Infinity) >= since;
}

/** Whether the poll that an invocation made, which began at `arrivedAt`, got no complete answer in time. */
export function isLeftPending({ lastTry }: Entry, arrivedAt: number): boolean {
  return lastTry?.reason === 'pending' && lastTry.endedAt >= arrivedAt;
}
