/**
 * All that is known of one host, what it means at a given time, and how two views of it merge: pure functions of data and
 * time. All times are epoch milliseconds.
 */
import {
  alarmOf,
  type Announcement,
  type Announcements,
  changeOf,
  sinceWhenUnknown,
  withAnnouncement,
  withoutTold,
} from './announcement.ts';
import { type Attestation, isNewer, isUsable } from './attestation.ts';
import { type Claim, isClaimed, LONGEST_CLAIM_MS, wasClaimedBefore } from './claim.ts';
import { type Company, companyNow, isHung, isLater } from './company.ts';
import { HOUR_MS, hourOf, isFromNow, isSince, type Timing } from './time.ts';
import { isPaused, type Try } from './try.ts';

export interface Entry {
  readonly attestation?: Attestation | undefined;
  readonly lastTry?: Try | undefined;
  readonly claim?: Claim | undefined;
  readonly company?: Company | undefined;
  /** When an operator purged the host; results of polls sent before it are dropped. */
  readonly purgedAt?: number | undefined;
  readonly unannounced?: Announcements;
  /** Since when the attestations say unknown; absent where the last says otherwise. */
  readonly unknownSince?: number | undefined;
  /** The time of that kind which was announced last. */
  readonly alarmedSince?: number | undefined;
  /** Whether the host was ever attested `trusted` or `untrusted`: such entries are the last to give way. */
  readonly definite: boolean;
  /** The hour (epoch hours) in which the host was last asked about, best effort. */
  readonly asked: number;
}

export const NO_ENTRY: Entry = { definite: false, asked: 0 };

const ASKED_FOR_HOURS = 24;

/** What the cache has to say of a host: the attestation or the failed try that decides now. */
export type Finding = Attestation | Try;

/** What decides the host for a request that arrived at `arrivedAt`; undefined if only a poll can. */
export function finding(entry: Entry, now: number, arrivedAt: number, timing: Timing): Finding | undefined {
  const { attestation, claim, company, lastTry } = entry;
  if (attestation !== undefined && isUsable(attestation, now, arrivedAt, timing)) return attestation;
  if (lastTry === undefined) return undefined;
  if (isPaused(lastTry, now, arrivedAt)) return lastTry;
  // The service hangs, as far as is known, and somebody is finding out whether it still does: nobody else waits for that.
  const known = companyNow(company, now);
  return known !== undefined && isHung(known) && wasClaimedBefore(claim, arrivedAt, now) ? lastTry : undefined;
}

/** Whether there is an attestation that decides whoever asks now. */
export function isAttested({ attestation }: Entry, now: number, timing: Timing): boolean {
  return attestation !== undefined && isUsable(attestation, now, now, timing);
}

/** Whether a host that was ever trusted or untrusted was not stamped in this hour as asked about. */
export function isUnstamped({ asked, definite }: Entry, now: number): boolean {
  return definite && asked < hourOf(now);
}

/** Whether somebody asked about the host within the last day. */
export function isAskedAbout({ asked }: Entry, now: number): boolean {
  return hourOf(now) - asked <= ASKED_FOR_HOURS;
}

/**
 * The entry without an answer or a try whose times lie ahead: a wrong clock wrote them. Nobody can tell how old they are, and
 * least of all later, when the time has come that they say; so they go at the first sight. The other members can't make anybody pass.
 */
export function believed(entry: Entry, now: number): Entry {
  const { attestation, lastTry } = entry;
  const isTold = attestation === undefined || isFromNow(Math.max(attestation.sentAt, attestation.receivedAt), now);
  const isTried = lastTry === undefined || isFromNow(Math.max(lastTry.sentAt, lastTry.endedAt), now);
  if (isTold && isTried) return entry;
  return { ...entry, attestation: isTold ? attestation : undefined, lastTry: isTried ? lastTry : undefined };
}

/** The entry with an attestation added: an older poll's result never replaces a newer one's, nor undoes a purge. */
export function withAttestation(entry: Entry, attestation: Attestation, now: number): Entry {
  const { attestation: current, lastTry, unknownSince } = entry;
  const { sentAt, receivedAt } = attestation;
  if (!isFromNow(Math.max(sentAt, receivedAt), now) || isPurged(entry, sentAt, now)) return entry;
  // What a wrong clock ahead of all others wrote gives way to anything.
  if (
    current !== undefined &&
    isFromNow(Math.max(current.sentAt, current.receivedAt), now) &&
    !isNewer(attestation, current)
  )
    return entry;
  return {
    ...entry,
    attestation,
    lastTry: lastTry !== undefined && lastTry.sentAt > attestation.sentAt ? lastTry : undefined,
    unknownSince: sinceWhenUnknown(current, unknownSince, attestation),
    definite: entry.definite || attestation.level !== 'unknown',
  };
}

/** The entry with a failed try added, which never replaces an attestation. */
export function withTry(entry: Entry, failed: Try, now: number): Entry {
  if (!isFromNow(Math.max(failed.sentAt, failed.endedAt), now) || isPurged(entry, failed.sentAt, now)) return entry;
  const current = entry.lastTry;
  if (current !== undefined && isFromNow(current.sentAt, now) && failed.sentAt <= current.sentAt) return entry;
  const attested = entry.attestation?.sentAt;
  if (attested !== undefined && isFromNow(attested, now) && failed.sentAt <= attested) return entry;
  return { ...entry, lastTry: failed };
}

/** The entry with a company added, unless it has a later one. */
export function withCompany(entry: Entry, company: Company, now: number): Entry {
  const { company: current } = entry;
  if (!isFromNow(company.at, now)) return entry;
  if (current !== undefined && isFromNow(current.at, now) && !isLater(company, current)) return entry;
  return { ...entry, company };
}

/** The entry without the claim, where it is the owner's: what others have claimed stays theirs. */
export function withoutClaim(entry: Entry, owner: string): Entry {
  return entry.claim?.owner === owner ? { ...entry, claim: undefined } : entry;
}

/** What a poll made of an entry, and that the level changed, where it did. */
export function withChange(before: Entry, after: Entry): Entry {
  const change = changeOf(before.attestation, after.attestation);
  return change === undefined ? after : { ...after, unannounced: withAnnouncement(after.unannounced, change) };
}

/** The entry, and that its host is unknown for so long that it is to be told, once. */
export function withAlarm(entry: Entry, afterMs: number, now: number): Entry {
  // A name that was never more than unknown may be no host at all.
  const alarm = entry.definite ? alarmOf(entry, afterMs, now) : undefined;
  if (alarm === undefined) return entry;
  return { ...entry, alarmedSince: alarm.unknownSince, unannounced: withAnnouncement(entry.unannounced, alarm) };
}

/** The entry after the event bus was told. */
export function announced(entry: Entry, told: readonly Announcement[]): Entry {
  if (entry.unannounced === undefined) return entry;
  return { ...entry, unannounced: withoutTold(entry.unannounced, told) };
}

/** The entry after an operator's purge: nothing that was polled before it remains; a claim stays. */
export function purged(entry: Entry, at: number, now: number): Entry {
  const { attestation, lastTry, purgedAt: earlier = at } = entry;
  // A mark that a wrong clock made must not keep a right one from counting.
  const purgedAt = isFromNow(earlier, now) ? Math.max(earlier, at) : at;
  return {
    ...entry,
    purgedAt,
    attestation: attestation !== undefined && attestation.sentAt > purgedAt ? attestation : undefined,
    lastTry: lastTry !== undefined && lastTry.sentAt > purgedAt ? lastTry : undefined,
  };
}

function isPurged({ purgedAt }: Entry, sentAt: number, now: number): boolean {
  return purgedAt !== undefined && isSince(purgedAt, sentAt) && isFromNow(purgedAt, now);
}

/** What two views of a host say together. The claim is the second's, which must be the one read last. */
export function merge(known: Entry, read: Entry, now: number): Entry {
  let entry: Entry = read;
  if (known.purgedAt !== undefined && isFromNow(known.purgedAt, now)) entry = purged(entry, known.purgedAt, now);
  if (known.attestation !== undefined) entry = withAttestation(entry, known.attestation, now);
  if (known.lastTry !== undefined) entry = withTry(entry, known.lastTry, now);
  if (known.company !== undefined) entry = withCompany(entry, known.company, now);
  const definite = entry.definite || known.definite;
  const asked = Math.max(entry.asked, known.asked);
  return definite === entry.definite && asked === entry.asked ? entry : { ...entry, definite, asked };
}

/**
 * Whether the entry is kept at a write: while it says anything, also of the company that the host may be polled in, and
 * after that, for a host that was ever trusted or untrusted, for a day after somebody asked.
 */
export function isKept(entry: Entry, now: number, timing: Timing): boolean {
  if (isClaimed(entry.claim, now)) return true;
  if (finding(entry, now, now, timing) !== undefined || companyNow(entry.company, now) !== undefined) return true;
  // A purge mark outlives every poll that was sent before it, and every memory that has not looked since.
  if (entry.purgedAt !== undefined && now < entry.purgedAt + timing.validityMs + LONGEST_CLAIM_MS * 2) return true;
  return entry.unannounced !== undefined || (entry.definite && isAskedAbout(entry, now));
}

/** When nothing in a shard can matter any more, so that DynamoDB may delete it: epoch seconds. */
export function expiresAt(now: number, timing: Timing): number {
  return Math.ceil((now + timing.validityMs + (ASKED_FOR_HOURS + 1) * HOUR_MS) / 1000);
}
