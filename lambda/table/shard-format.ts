/**
 * How the entries of a shard are packed into one item: as columns, deflated. Names are kept code point for code point, as
 * a JSON array.
 */
import { deflateSync, inflateSync } from 'node:zlib';
import type { Announcement } from '../trust/announcement.ts';
import { type Attestation, SharedAttestations, toAttestation } from '../trust/attestation.ts';
import type { Claim } from '../trust/claim.ts';
import type { Company } from '../trust/company.ts';
import type { Entry } from '../trust/entry.ts';
import { LEVELS, levelOf, type Reason, REASONS } from '../trust/reason.ts';
import type { Timing } from '../trust/time.ts';
import type { Try } from '../trust/try.ts';
import type { Entries } from './shard.ts';

/** DynamoDB takes 400 KB an item, names of attributes and the key included. */
const LARGEST_PACKED_BYTES = 390_000;
/** What a shard may unpack to; a larger one was not written by this code. */
const LARGEST_UNPACKED_BYTES = 64 * 1024 * 1024;

/**
 * The columns of a shard. Row i of `hosts`, `asked`, `definite` and the attestation's columns is host i; what few hosts
 * have is a list of rows that begin with i. Times are differences to `base`.
 */
interface Columns {
  base: number;
  hosts: string[];
  definite: number[];
  asked: number[];
  /** Index into REASONS; -1 without an attestation. */
  reason: number[];
  sentAt: number[];
  receivedAt: number[];
  /** Null where the service said no usable time. */
  vtime: (number | null)[];
  tries: [host: number, reason: number, sentAt: number, endedAt: number, pauseMs: number][];
  owners: string[];
  /** For how long each owner claims, in milliseconds; absent in a shard of before that was kept. */
  spans?: number[];
  claims: [host: number, owner: number, until: number][];
  purges: [host: number, at: number][];
  /** Absent in a shard of before there were companies. */
  companies?: CompanyRow[];
  /**
   * Of companies with more than one strike; absent in a shard of before those were counted. What a refused one had before stands
   * behind its none, where an older release does not look.
   */
  strikes?: [host: number, strikes: number, struck?: number][];
  /** Absent, as the next, where no host has any. */
  unknowns?: [host: number, since: number | null, alarmed: number | null][];
  announcements?: AnnouncementRow[];
}

/** Levels and reasons as indices. */
type AnnouncementRow = [
  host: number,
  from: number,
  to: number,
  reason: number,
  vtime: number | null,
  polledAt: number,
  unknownSince: number | null,
];

type CompanyRow = [host: number, most: number, at: number, before?: number];

/**
 * Packs a shard's entries. Where they do not fit one item, entries give way: first those never seen trusted or
 * untrusted, then those not asked about for the longest. Claims never do, nor what is still to be announced.
 */
export function packShard(entries: Entries): Uint8Array {
  const packed = pack([...entries]);
  if (packed.length <= LARGEST_PACKED_BYTES) return packed;
  const ranked = [...entries].sort(([, a], [, b]) => rank(b) - rank(a));
  const least = ranked.filter(([, entry]) => rank(entry) === Infinity).length;
  let smaller = packed;
  for (let kept = ranked.length; kept > least && smaller.length > LARGEST_PACKED_BYTES;) {
    const fitting = Math.floor((kept * LARGEST_PACKED_BYTES * 0.95) / smaller.length);
    kept = Math.max(least, Math.min(kept - 1, fitting));
    smaller = pack(ranked.slice(0, kept));
  }
  // Claims alone may be too much for one item; then DynamoDB refuses it, and nothing was claimed.
  return smaller;
}

function rank(entry: Entry): number {
  const { claim, purgedAt, unannounced } = entry;
  if (claim !== undefined || purgedAt !== undefined || unannounced !== undefined) return Infinity;
  return entry.definite ? entry.asked : -1;
}

function pack(rows: readonly (readonly [string, Entry])[]): Uint8Array {
  const base = rows.reduce((latest, [, { attestation }]) => Math.max(latest, attestation?.sentAt ?? 0), 0);
  const columns: Columns = {
    base,
    hosts: [],
    definite: [],
    asked: [],
    reason: [],
    sentAt: [],
    receivedAt: [],
    vtime: [],
    tries: [],
    owners: [],
    spans: [],
    claims: [],
    purges: [],
    companies: [],
    strikes: [],
    unknowns: [],
    announcements: [],
  };
  for (const [i, [host, entry]] of rows.entries()) {
    const { attestation, lastTry, claim, purgedAt, company } = entry;
    columns.hosts.push(host);
    columns.definite.push(entry.definite ? 1 : 0);
    columns.asked.push(entry.asked);
    columns.reason.push(attestation === undefined ? -1 : REASONS.indexOf(attestation.reason));
    columns.sentAt.push(attestation === undefined ? 0 : base - attestation.sentAt);
    columns.receivedAt.push(attestation === undefined ? 0 : attestation.receivedAt - attestation.sentAt);
    columns.vtime.push(attestation?.vtime === undefined ? null : base - attestation.vtime);
    if (lastTry !== undefined) {
      const { reason, sentAt, endedAt, pauseMs } = lastTry;
      columns.tries.push([i, REASONS.indexOf(reason), sentAt - base, endedAt - sentAt, pauseMs]);
    }
    if (claim !== undefined) {
      const span = claim.until - claim.since;
      let owner = columns.owners.findIndex((name, row) => name === claim.owner && columns.spans?.[row] === span);
      if (owner === -1) {
        owner = columns.owners.push(claim.owner) - 1;
        columns.spans?.push(span);
      }
      columns.claims.push([i, owner, claim.until - base]);
    }
    if (purgedAt !== undefined) columns.purges.push([i, purgedAt - base]);
    packAnnouncements(columns, i, entry);
    if (company !== undefined) {
      const row: CompanyRow = [i, company.most, company.at - base];
      if (company.before !== undefined) row.push(company.before);
      columns.companies?.push(row);
      const { strikes, struck } = company;
      if (strikes !== undefined) columns.strikes?.push(struck === undefined ? [i, strikes] : [i, strikes, struck]);
    }
  }
  return deflateSync(JSON.stringify(columns), { level: 9 });
}

function packAnnouncements(columns: Columns, i: number, entry: Entry): void {
  const { unknownSince, alarmedSince, unannounced = [] } = entry;
  const relative = (time: number | undefined): number | null => (time === undefined ? null : time - columns.base);
  if (unknownSince !== undefined || alarmedSince !== undefined) {
    columns.unknowns?.push([i, relative(unknownSince), relative(alarmedSince)]);
  }
  for (const { from, to, reason, vtime, polledAt, unknownSince: since } of unannounced) {
    const levels = [LEVELS.indexOf(from), LEVELS.indexOf(to)] as const;
    const times = [relative(vtime), polledAt - columns.base, relative(since)] as const;
    columns.announcements?.push([i, ...levels, REASONS.indexOf(reason), ...times]);
  }
}

function unpackAnnouncements({ base, announcements = [] }: Columns): Map<number, Announcement[]> {
  const unannounced = new Map<number, Announcement[]>();
  for (const [i, from, to, reason, vtime, polledAt, since] of announcements) {
    const announcement = {
      from: LEVELS[from] ?? 'unknown',
      to: LEVELS[to] ?? 'unknown',
      reason: reasonAt(reason),
      polledAt: base + polledAt,
      ...(vtime === null ? {} : { vtime: base + vtime }),
      ...(since === null ? {} : { unknownSince: base + since }),
    };
    unannounced.set(i, [...(unannounced.get(i) ?? []), announcement]);
  }
  return unannounced;
}

/**
 * Unpacks a shard; the end of each validity is worked out anew, so that a shorter configured one holds at once.
 * @throws {Error} where the bytes are no shard of this format
 */
export function unpackShard(packed: Uint8Array, timing: Timing): Map<string, Entry> {
  const text = inflateSync(packed, { maxOutputLength: LARGEST_UNPACKED_BYTES }).toString();
  const columns = JSON.parse(text) as Columns;
  const { base } = columns;
  const tries = new Map<number, Try>();
  for (const [i, reason, sentAt, endedAt, pauseMs] of columns.tries) {
    const from = base + sentAt;
    tries.set(i, { level: 'unknown', reason: reasonAt(reason), sentAt: from, endedAt: from + endedAt, pauseMs });
  }
  const claims = new Map<number, Claim>();
  for (const [i, owner, end] of columns.claims) {
    const until = base + end;
    claims.set(i, { owner: columns.owners[owner] ?? '', since: until - (columns.spans?.[owner] ?? 0), until });
  }
  const purges = new Map(columns.purges.map(([i, at]) => [i, base + at]));
  const strikes = new Map(columns.strikes?.map(([i, its, struck]) => [i, { strikes: its, struck }]));
  const companies = new Map<number, Company>();
  for (const [i, most, since, before] of columns.companies ?? []) {
    const its = { most, at: base + since, ...(before === undefined ? {} : { before }) };
    companies.set(i, { ...its, ...strikes.get(i) });
  }
  const unknowns = new Map((columns.unknowns ?? []).map(([i, ...times]) => [i, times]));
  const unannounced = unpackAnnouncements(columns);
  const shared = new SharedAttestations();
  const entries = new Map<string, Entry>();
  for (const [i, host] of columns.hosts.entries()) {
    const attestation = attestationAt(columns, i, timing);
    entries.set(host, {
      attestation: attestation && shared.of(attestation),
      lastTry: tries.get(i),
      claim: claims.get(i),
      company: companies.get(i),
      unannounced: unannounced.get(i),
      unknownSince: absolute(unknowns.get(i)?.[0], base),
      alarmedSince: absolute(unknowns.get(i)?.[1], base),
      purgedAt: purges.get(i),
      definite: columns.definite[i] === 1,
      asked: columns.asked[i] ?? 0,
    });
  }
  return entries;
}

function attestationAt(columns: Columns, i: number, timing: Timing): Attestation | undefined {
  const index = columns.reason[i] ?? -1;
  if (index === -1) return undefined;
  const reason = reasonAt(index);
  const sentAt = columns.base - at(columns.sentAt, i);
  const vtime = columns.vtime[i] ?? null;
  const answer = { level: levelOf(reason), reason, ...(vtime === null ? {} : { vtime: columns.base - vtime }) };
  return toAttestation(answer, sentAt, sentAt + at(columns.receivedAt, i), timing);
}

function absolute(time: number | null | undefined, base: number): number | undefined {
  return time === undefined || time === null ? undefined : base + time;
}

function at(column: readonly number[], i: number): number {
  const value = column[i];
  if (typeof value !== 'number') throw new Error('a shard has columns of different lengths');
  return value;
}

/** A reason, also of a later release that has more of them: none of those says that a host is trusted or untrusted. */
function reasonAt(index: number): Reason {
  if (!Number.isInteger(index) || index < 0) throw new Error('a shard has a reason that is no number');
  return REASONS[index] ?? 'unknown';
}
