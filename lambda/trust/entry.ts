/**
 * What is known of one host, and what it means at a given time. Pure functions of data and time: this is the only file
 * that compares the times of attestations, tries, claims and purges. All times are epoch milliseconds.
 */

export type TrustLevel = 'trusted' | 'untrusted' | 'unknown';
export type RequiredTrust = 'trusted' | 'untrusted';

/** The order is part of the table's format: append only. */
export const LEVELS: readonly TrustLevel[] = ['trusted', 'untrusted', 'unknown'];

/** Why a level is what it is. The order is part of the table's format: append only. */
export const REASONS = [
  'trusted',
  'untrusted',
  'unknown',
  'timeout',
  'pending',
  'not-in-reply',
  'bad-reply',
  'bad-vtime',
  'unreachable',
  'refused',
] as const;
export type Reason = (typeof REASONS)[number];

/** The level that a reason stands for: everything that is not clearly one of the two is unknown. */
export function levelOf(reason: Reason): TrustLevel {
  return reason === 'trusted' || reason === 'untrusted' ? reason : 'unknown';
}

/** What the attestation service said of a host. */
export interface Answer {
  readonly level: TrustLevel;
  readonly reason: Reason;
  /** When the service validated the host; absent where it said no usable time. */
  readonly vtime?: number;
}

export interface Attestation extends Answer {
  readonly sentAt: number;
  readonly receivedAt: number;
  readonly validUntil: number;
}

/** A poll that brought no attestation of a host. */
export interface Try {
  readonly level: 'unknown';
  readonly reason: Reason;
  readonly sentAt: number;
  readonly endedAt: number;
  readonly pauseMs: number;
  /** Until when the host waits, whatever its pause, for a probe that finds out whether the service answers at all. */
  readonly heldUntil?: number | undefined;
}

/** How many hosts, itself included, a host may be polled with since a batch that it was part of failed as a whole. */
export interface Company {
  readonly most: number;
  /** When the poll was sent that showed it; an answer about the host to a later one ends it. */
  readonly at: number;
  /**
   * What it was before, while it is in doubt whether the hosts of the batch or the service is to blame: nobody was
   * answered while the batch waited.
   */
  readonly before?: number | undefined;
}

/** The mark of an environment (`owner`) that it is polling the host now. */
export interface Claim {
  readonly owner: string;
  readonly until: number;
}

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

export interface Entry {
  readonly attestation?: Attestation | undefined;
  readonly lastTry?: Try | undefined;
  readonly claim?: Claim | undefined;
  readonly company?: Company | undefined;
  /** When an operator purged the host; results of polls sent before it are dropped. */
  readonly purgedAt?: number | undefined;
  /** In the order in which it came about. */
  readonly unannounced?: readonly Announcement[] | undefined;
  /** Since when the attestations say unknown; absent where the last says otherwise. */
  readonly unknownSince?: number | undefined;
  /** The time of that kind which was announced last. */
  readonly alarmedSince?: number | undefined;
  /** Whether the host was ever attested `trusted` or `untrusted`: such entries are the last to give way. */
  readonly definite: boolean;
  /** The hour (epoch hours) in which the host was last asked about, best effort. */
  readonly asked: number;
}

/** The spans by which an entry is judged, in milliseconds. */
export interface Timing {
  readonly validityMs: number;
  /** Never longer than the validity. */
  readonly recheckMs: number;
}

export const NO_ENTRY: Entry = { definite: false, asked: 0 };

/** How far the clocks of two environments may differ; a time further ahead than this was written by a wrong clock. */
export const CLOCK_DIFFERENCE_MS = 2_000;
/** A claim never holds longer than this, so that a dead claimer stops nobody for long. */
export const LONGEST_CLAIM_MS = 30_000;
const HOUR_MS = 3_600_000;
const ASKED_FOR_HOURS = 24;
/** Less than this is no time to answer in. */
const FAIR_WAIT_MS = 2_000;
/** How long a host that spoils batches is polled apart. */
const APART_MS = HOUR_MS;

/** What the cache has to say of a host: the attestation or the failed try that decides now. */
export type Finding = Attestation | Try;

/** Makes an attestation of an answer: valid from the service's time or ours, whichever is earlier. */
export function toAttestation(answer: Answer, sentAt: number, receivedAt: number, timing: Timing): Attestation {
  const from = answer.vtime === undefined ? receivedAt : Math.min(answer.vtime, receivedAt);
  return { ...answer, sentAt, receivedAt, validUntil: from + timing.validityMs };
}

/** Whether the service's time lies after the receipt of its answer: such a time gains nothing. */
export function isFromFuture({ vtime }: Answer, receivedAt: number): boolean {
  return vtime !== undefined && vtime > receivedAt;
}

/** Whether the attestation had ended by its own time when it was received. */
export function isLate({ validUntil, receivedAt }: Attestation): boolean {
  return validUntil <= receivedAt;
}

/** Has hosts of which the service said the same, in the same poll, share one object. */
export class SharedAttestations {
  readonly #known = new Map<string, Attestation>();

  of(attestation: Attestation): Attestation {
    const { reason, vtime, sentAt, receivedAt } = attestation;
    const key = `${reason} ${vtime} ${sentAt} ${receivedAt}`;
    const known = this.#known.get(key);
    if (known === undefined) this.#known.set(key, attestation);
    return known ?? attestation;
  }
}

/** Whether the attestation is valid by its own time, whoever asks. */
export function isValid(attestation: Attestation, now: number): boolean {
  return now < attestation.validUntil && isFromNow(attestation.receivedAt, now);
}

/**
 * Whether an attestation may decide a request that arrived at `arrivedAt`: it is valid now, or its poll was answered
 * after the request arrived or at most `recheck` before it.
 */
export function isUsable(attestation: Attestation, now: number, arrivedAt: number, timing: Timing): boolean {
  return isValid(attestation, now) || isJustReceived(attestation, now, arrivedAt, timing);
}

function isJustReceived(attestation: Attestation, now: number, arrivedAt: number, timing: Timing): boolean {
  return attestation.receivedAt >= arrivedAt - timing.recheckMs && isFromNow(attestation.receivedAt, now);
}

/** Until when a usable attestation may be passed on: the end of its validity, or of the pause after its receipt. */
export function usableUntil(attestation: Attestation, now: number, timing: Timing): number {
  return isValid(attestation, now) ? attestation.validUntil : attestation.receivedAt + timing.recheckMs;
}

/** Whether a failed try decides a request: it ended after the request arrived, or its pause was not over then. */
export function isPaused(lastTry: Try, now: number, arrivedAt: number): boolean {
  const { endedAt, pauseMs, heldUntil } = lastTry;
  if (heldUntil !== undefined && isHolding(heldUntil, now)) return true;
  return arrivedAt < endedAt + Math.max(pauseMs, 1) && isFromNow(endedAt, now);
}

/** What decides the host for a request that arrived at `arrivedAt`; undefined if only a poll can. */
export function finding(entry: Entry, now: number, arrivedAt: number, timing: Timing): Finding | undefined {
  const { attestation, lastTry } = entry;
  if (attestation !== undefined && isUsable(attestation, now, arrivedAt, timing)) return attestation;
  if (lastTry !== undefined && isPaused(lastTry, now, arrivedAt)) return lastTry;
  return undefined;
}

export function isClaimed(claim: Claim | undefined, now: number): claim is Claim {
  return claim !== undefined && isHolding(claim.until, now);
}

function isHolding(until: number, now: number): boolean {
  // What ends later than any claim may was written by a wrong clock: nobody waits for that.
  return now < until && until <= now + LONGEST_CLAIM_MS + CLOCK_DIFFERENCE_MS;
}

/** A claim for a poll that may take `limitMs`, with room for clocks that differ. */
export function newClaim(owner: string, now: number, limitMs: number): Claim {
  return { owner, until: now + Math.min(limitMs + CLOCK_DIFFERENCE_MS, LONGEST_CLAIM_MS) };
}

/**
 * How long a poll may take when it is sent now: `limitMs`, or what its claim still covers, but half of it at least, since
 * writing the claim took a part; then half of the room for clocks that differ must still be left.
 * @param claimedUntil when the claim ends; undefined where there is none
 * @returns undefined where the claim ends too early for that
 */
export function pollLimit(limitMs: number, claimedUntil: number | undefined, now: number): number | undefined {
  if (claimedUntil === undefined) return limitMs;
  if (claimedUntil - CLOCK_DIFFERENCE_MS / 2 - now < limitMs / 2) return undefined;
  return Math.min(limitMs, Math.max(limitMs / 2, claimedUntil - CLOCK_DIFFERENCE_MS - now));
}

/**
 * Whether a poll that was aborted had waited long enough for that to say something of its hosts.
 * @param lastTookMs how long the last poll took that was answered
 */
export function hadItsTime(sentAt: number, now: number, limitMs: number, lastTookMs: number): boolean {
  return now - sentAt >= Math.min(limitMs / 2, Math.max(FAIR_WAIT_MS, lastTookMs));
}

/** Whether somebody with a right clock can have written this time. */
function isFromNow(time: number, now: number): boolean {
  return time <= now + CLOCK_DIFFERENCE_MS;
}

/** The pause after a failed try: `recheck`, doubling up to the validity where the fault may be the host's or everybody's. */
export function nextPause(previous: Try | undefined, doubles: boolean, timing: Timing): number {
  if (!doubles || previous === undefined) return timing.recheckMs;
  return Math.max(timing.recheckMs, Math.min(previous.pauseMs * 2, timing.validityMs));
}

/** The entry with an attestation added: an older poll's result never replaces a newer one's, nor undoes a purge. */
export function withAttestation(entry: Entry, attestation: Attestation, now: number): Entry {
  if (!isFromNow(attestation.sentAt, now) || isPurged(entry, attestation.sentAt, now)) return entry;
  const current = entry.attestation;
  // What a wrong clock ahead of all others wrote gives way to anything.
  if (current !== undefined && isFromNow(current.sentAt, now) && !isNewer(attestation, current)) return entry;
  return {
    ...entry,
    attestation,
    company: entry.company !== undefined && entry.company.at > attestation.sentAt ? entry.company : undefined,
    lastTry: entry.lastTry !== undefined && entry.lastTry.sentAt > attestation.sentAt ? entry.lastTry : undefined,
    unknownSince: attestation.level === 'unknown' ? sinceWhenUnknown(entry, attestation) : undefined,
    definite: entry.definite || attestation.level !== 'unknown',
  };
}

function sinceWhenUnknown({ attestation: current, unknownSince }: Entry, { receivedAt }: Attestation): number {
  if (current === undefined) return receivedAt;
  return current.level === 'unknown' ? (unknownSince ?? current.receivedAt) : Math.min(current.validUntil, receivedAt);
}

/** The entry with a failed try added, which never replaces an attestation. */
export function withTry(entry: Entry, failed: Try, now: number): Entry {
  if (!isFromNow(failed.sentAt, now) || isPurged(entry, failed.sentAt, now)) return entry;
  const current = entry.lastTry;
  if (current !== undefined && isFromNow(current.sentAt, now) && failed.sentAt <= current.sentAt) return entry;
  const attested = entry.attestation?.sentAt;
  if (attested !== undefined && isFromNow(attested, now) && failed.sentAt <= attested) return entry;
  return { ...entry, lastTry: failed };
}

const MOST_UNANNOUNCED = 10;

function withAnnouncement(entry: Entry, announcement: Announcement): Entry {
  // A bus that takes nothing for long must not fill the table.
  return { ...entry, unannounced: [...(entry.unannounced ?? []), announcement].slice(-MOST_UNANNOUNCED) };
}

/** What a poll made of an entry, and that the level changed, where it did. */
export function withChange(before: Entry, after: Entry): Entry {
  const { attestation } = after;
  if (attestation === undefined || before.attestation === undefined) return after;
  const { level: to, reason, vtime, sentAt: polledAt } = attestation;
  const from = before.attestation.level;
  return from === to ? after : withAnnouncement(after, { from, to, reason, vtime, polledAt });
}

/** The entry, and that its host is unknown for so long that it is to be told, once. */
export function withAlarm(entry: Entry, afterMs: number, now: number): Entry {
  const { attestation, lastTry, unknownSince } = entry;
  // A name that was never more than unknown may be no host at all.
  if (attestation === undefined || !entry.definite) return entry;
  const hasFailed = lastTry !== undefined && lastTry.sentAt > attestation.sentAt;
  const ended = hasFailed && attestation.validUntil <= now ? attestation.validUntil : undefined;
  const since = attestation.level === 'unknown' ? (unknownSince ?? attestation.receivedAt) : ended;
  if (since === undefined || since === entry.alarmedSince || now < since + afterMs) return entry;
  const { reason, sentAt: polledAt } = hasFailed ? lastTry : attestation;
  const alarm = { from: 'unknown', to: 'unknown', reason, polledAt, unknownSince: since } as const;
  return withAnnouncement({ ...entry, alarmedSince: since }, alarm);
}

/** The entry after the event bus was told. */
export function announced(entry: Entry, told: readonly Announcement[]): Entry {
  if (entry.unannounced === undefined) return entry;
  const left = entry.unannounced.filter((each) => !told.some((other) => isSameAnnouncement(each, other)));
  return { ...entry, unannounced: left.length === 0 ? undefined : left };
}

function isSameAnnouncement(a: Announcement, b: Announcement): boolean {
  return a.polledAt === b.polledAt && a.from === b.from && a.to === b.to && a.unknownSince === b.unknownSince;
}

/** Whether an attestation or a failed try is as new as a refresh wants it that began at `arrivedAt`. */
export function isRenewed({ attestation, lastTry }: Entry, since: number, arrivedAt: number, now: number): boolean {
  if (attestation !== undefined && attestation.receivedAt >= since && isFromNow(attestation.receivedAt, now))
    return true;
  return lastTry !== undefined && isPaused(lastTry, now, arrivedAt);
}

/** Whether there is an attestation that decides whoever asks now. */
export function isAttested({ attestation }: Entry, now: number, timing: Timing): boolean {
  return attestation !== undefined && isUsable(attestation, now, now, timing);
}

/** Whether the poll that an invocation made, which began at `arrivedAt`, got no complete answer in time. */
export function isLeftPending({ lastTry }: Entry, arrivedAt: number): boolean {
  return lastTry?.reason === 'pending' && lastTry.endedAt >= arrivedAt;
}

/** When the pause ends that kept a host from being polled for an invocation which began at `arrivedAt`. */
export function pauseEnd({ lastTry }: Entry, arrivedAt: number): number | undefined {
  if (lastTry === undefined || lastTry.endedAt >= arrivedAt) return undefined;
  return Math.max(lastTry.endedAt + lastTry.pauseMs, lastTry.heldUntil ?? 0);
}

/** Whether somebody asked about the host within the last day. */
export function isAskedAbout({ asked }: Entry, now: number): boolean {
  return hourOf(now) - asked <= ASKED_FOR_HOURS;
}

/** The company that holds now: not of a wrong clock, and not over. */
export function companyNow({ company }: Entry, now: number): Company | undefined {
  if (company === undefined || !isFromNow(company.at, now) || now >= company.at + APART_MS) return undefined;
  return company;
}

/** Whether it is known that the service did not answer at all when the host was polled last, so that no host is to blame. */
export function isHung(company: Company): boolean {
  return company.before === company.most;
}

/**
 * The entry with a company added: a later one replaces an earlier one; of the same time, the one without a doubt. An
 * answer about the host to a later poll has ended it.
 */
export function withCompany(entry: Entry, company: Company, now: number): Entry {
  const { company: current, attestation } = entry;
  if (!isFromNow(company.at, now) || (attestation !== undefined && attestation.sentAt >= company.at)) return entry;
  if (current !== undefined && isFromNow(current.at, now)) {
    if (company.at < current.at) return entry;
    if (company.at === current.at && (company.before !== undefined || current.before === undefined)) return entry;
  }
  return { ...entry, company };
}

/** The entry of a host that waits for a probe, where it is known that the service hung: nobody else need wait for that. */
export function held(entry: Entry, until: number): Entry {
  const { lastTry, company } = entry;
  if (lastTry === undefined || company === undefined || !isHung(company)) return entry;
  return { ...entry, lastTry: { ...lastTry, heldUntil: until } };
}

/** Whether the host waits for a probe of another environment: until another time than ours. */
export function isHeldByOther({ lastTry }: Entry, ours: number, now: number): boolean {
  const heldUntil = lastTry?.heldUntil;
  return heldUntil !== undefined && heldUntil !== ours && isHolding(heldUntil, now);
}

/** The entry of a host that need not wait for a probe any more. */
export function released(entry: Entry): Entry {
  const { lastTry } = entry;
  if (lastTry?.heldUntil === undefined) return entry;
  const { level, reason, sentAt, endedAt, pauseMs } = lastTry;
  return { ...entry, lastTry: { level, reason, sentAt, endedAt, pauseMs } };
}

/** The entry of a host whose service answers others: its pause is over, and its batch failed because of its hosts. */
export function cleared(entry: Entry): Entry {
  const { lastTry, company, ...rest } = released(entry);
  return {
    ...rest,
    ...(lastTry === undefined ? {} : { lastTry: { ...lastTry, pauseMs: 0 } }),
    ...(company === undefined ? {} : { company: { most: company.most, at: company.at } }),
  };
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

function isPurged({ purgedAt }: Entry, sentAt: number, now: number): boolean {
  return purgedAt !== undefined && sentAt <= purgedAt && isFromNow(purgedAt, now);
}

/** Of two attestations, whether the first is from a poll sent later; for the same moment the one that passes less. */
function isNewer(a: Attestation, b: Attestation): boolean {
  if (a.sentAt !== b.sentAt) return a.sentAt > b.sentAt;
  if (a.level !== b.level) return a.level === 'unknown' || (a.level === 'untrusted' && b.level === 'trusted');
  return a.validUntil < b.validUntil;
}

export function hourOf(now: number): number {
  return Math.floor(now / HOUR_MS);
}

/**
 * Whether the entry is kept at a write: while it says anything, also of the company that the host may be polled in, and
 * after that, for a host that was ever trusted or untrusted, for a day after somebody asked.
 */
export function isKept(entry: Entry, now: number, timing: Timing): boolean {
  if (isClaimed(entry.claim, now)) return true;
  if (finding(entry, now, now, timing) !== undefined || companyNow(entry, now) !== undefined) return true;
  // A purge mark outlives every poll that was sent before it, and every memory that has not looked since.
  if (entry.purgedAt !== undefined && now < entry.purgedAt + timing.validityMs + LONGEST_CLAIM_MS * 2) return true;
  return entry.unannounced !== undefined || (entry.definite && isAskedAbout(entry, now));
}

/** When nothing in a shard can matter any more, so that DynamoDB may delete it: epoch seconds. */
export function expiresAt(now: number, timing: Timing): number {
  return Math.ceil((now + timing.validityMs + (ASKED_FOR_HOURS + 1) * HOUR_MS) / 1000);
}
