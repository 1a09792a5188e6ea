/** How new what is known of a fleet or a host is: pure functions of data and time. */
import { isLate, isReceivedSince } from './attestation.ts';
import { type Entry, isAttested } from './entry.ts';
import type { Timing } from './time.ts';

/** What an invocation did for hosts that were to be attested, and what it left. */
export interface Freshness {
  /** Hosts with an attestation that was received since the invocation began. */
  readonly renewed: number;
  /** Hosts without an attestation as new as was wanted. */
  readonly due: number;
  /** How long ago the oldest of the attestations was received that decide whoever asks now; absent where none does. */
  readonly oldestMs: number | undefined;
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
  for (const entry of entries) {
    const { attestation } = entry;
    if (attestation === undefined) {
      due++;
      continue;
    }
    const isInUse = isAttested(entry, now, timing);
    const isNew = isReceivedSince(attestation, wanted.startedAt, now);
    const { since } = wanted;
    if (isNew) renewed++;
    else if (since === undefined ? !isInUse : !isReceivedSince(attestation, since, now)) due++;
    if (isInUse) oldestMs = Math.max(oldestMs ?? 0, now - attestation.receivedAt);
  }
  return { renewed, due, oldestMs };
}

/** Whether the last that is known of a host which nothing decides is an answer that was too old when it came. */
export function isLeftLate({ attestation, lastTry }: Entry): boolean {
  return attestation !== undefined && isLate(attestation) && (lastTry?.sentAt ?? -Infinity) <= attestation.sentAt;
}
