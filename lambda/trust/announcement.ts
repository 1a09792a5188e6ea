/** What the event bus is to be told of a host: pure functions of data and time. */
import type { Attestation } from './attestation.ts';
import type { Reason, TrustLevel } from './reason.ts';
import type { Try } from './try.ts';

/** What the event bus has not been told yet: that a host's level changed, or that the host is unknown for long. */
export interface Announcement {
  readonly from: TrustLevel;
  readonly to: TrustLevel;
  readonly reason: Reason;
  /** When the service validated the host, where it said so. */
  readonly vtime?: number | undefined;
  /** When the poll was sent that showed it. */
  readonly polledAt: number;
  /** Since when the host is unknown, where that is what there is to tell. */
  readonly unknownSince?: number | undefined;
}

/** In the order in which they came about; absent where there are none. */
export type Announcements = readonly Announcement[] | undefined;

const MOST_UNANNOUNCED = 10;

/** That the level of a host changed, where it did. */
export function changeOf(before: Attestation | undefined, after: Attestation | undefined): Announcement | undefined {
  if (after === undefined || before === undefined || before.level === after.level) return undefined;
  const { level: to, reason, vtime, sentAt: polledAt } = after;
  return { from: before.level, to, reason, vtime, polledAt };
}

/** Since when the attestations of a host say unknown, once `next` took the place of `current`. */
export function sinceWhenUnknown(
  current: Attestation | undefined,
  unknownSince: number | undefined,
  next: Attestation,
): number | undefined {
  if (next.level !== 'unknown') return undefined;
  if (current === undefined) return next.receivedAt;
  if (current.level === 'unknown') return unknownSince ?? current.receivedAt;
  return Math.min(current.validUntil, next.receivedAt);
}

/** What is known of a host that may be unknown for too long. */
export interface Unknown {
  readonly attestation?: Attestation | undefined;
  readonly lastTry?: Try | undefined;
  readonly unknownSince?: number | undefined;
  /** The time of that kind which was announced last. */
  readonly alarmedSince?: number | undefined;
}

/** That a host is unknown for so long, where it is and nobody was told. */
export function alarmOf(unknown: Unknown, afterMs: number, now: number): Announcement | undefined {
  const { attestation, lastTry, unknownSince, alarmedSince } = unknown;
  if (attestation === undefined) return undefined;
  const hasFailed = lastTry !== undefined && lastTry.sentAt > attestation.sentAt;
  const ended = hasFailed && attestation.validUntil <= now ? attestation.validUntil : undefined;
  const since = attestation.level === 'unknown' ? (unknownSince ?? attestation.receivedAt) : ended;
  if (since === undefined || since === alarmedSince || now < since + afterMs) return undefined;
  const { reason, sentAt: polledAt } = hasFailed ? lastTry : attestation;
  return { from: 'unknown', to: 'unknown', reason, polledAt, unknownSince: since };
}

/** One more to announce; a bus that takes nothing for long must not fill the table. */
export function withAnnouncement(unannounced: Announcements, next: Announcement): Announcements {
  return [...(unannounced ?? []), next].slice(-MOST_UNANNOUNCED);
}

/** What is left to announce after the event bus was told. */
export function withoutTold(unannounced: Announcements, told: readonly Announcement[]): Announcements {
  const left = unannounced?.filter((each) => !told.some((other) => isSame(each, other)));
  return left?.length === 0 ? undefined : left;
}

function isSame(a: Announcement, b: Announcement): boolean {
  return a.polledAt === b.polledAt && a.from === b.from && a.to === b.to && a.unknownSince === b.unknownSince;
}
