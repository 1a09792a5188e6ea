import { createHash } from 'node:crypto';
import type { Announcement } from '../trust/announcement.ts';

/** Who says so, by the bus's own word: nothing else may come from it. */
export const EVENT_SOURCE = 'trusted-filter';

/** An event as EventBridge's PutEvents takes it, the bus left out. */
export interface TrustEvent {
  readonly Source: string;
  readonly DetailType: 'HostTrustChanged' | 'HostTrustUnknown';
  /** JSON. */
  readonly Detail: string;
}

/**
 * The event of an announcement. Its `id` is made of what it says, so that the same change has the same id whoever sends
 * it, and how often.
 */
export function toTrustEvent(host: string, announcement: Announcement): TrustEvent {
  const { from, to, reason, vtime, polledAt, unknownSince } = announcement;
  const id = createHash('sha256')
    .update(JSON.stringify([host, from, to, polledAt, unknownSince ?? null]))
    .digest('hex')
    .slice(0, 32);
  if (unknownSince !== undefined) {
    const detail = { id, host, reason, unknown_since: iso(unknownSince) };
    return { Source: EVENT_SOURCE, DetailType: 'HostTrustUnknown', Detail: JSON.stringify(detail) };
  }
  const times = { ...(vtime === undefined ? {} : { vtime: iso(vtime) }), polled_at: iso(polledAt) };
  const detail = { id, host, from, to, reason, ...times };
  return { Source: EVENT_SOURCE, DetailType: 'HostTrustChanged', Detail: JSON.stringify(detail) };
}

function iso(time: number): string {
  return new Date(time).toISOString();
}
