/**
 * The times that attestation services write (`vtime`), each producer in its own form. JavaScript's own Date parser is
 * no help: it accepts what is no date, and reads a text without a zone in the zone of the process.
 */

/** OAT 1.x (`2013-05-16T14:14:44.881+08:00`, `…Z`) and OAT 2.x (`2013-12-03T09:15:30.120+0000`, without a colon). */
const ISO = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:(Z)|([+-])(\d\d):?(\d\d))$/;
/**
 * The same without a zone; and C's `%c` (`Tue Dec 3 09:12:30 2013`, the day padded with a space or not), which has none.
 * Their parts are not held against a calendar: Mt. Wilson writes the month where the minutes belong, and what is not read
 * need not be right. Each is below 60, whatever stands where.
 */
const ISO_ZONELESS = /^\d{4}-[0-5]\d-[0-5]\dT[0-5]\d:[0-5]\d:[0-5]\d(?:\.\d{1,9})?$/;
const C_LOCALE =
  /^(?:Sun|Mon|Tue|Wed|Thu|Fri|Sat) (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) {1,2}[0-5]?\d [0-5]\d:[0-5]\d:[0-5]\d \d{4}$/;
/** OAT 2.x with its other mapper: epoch milliseconds, which may arrive as a string. */
const EPOCH_MS = /^\d{1,15}$/;

const LATEST = 8.64e15;
const MINUTE_MS = 60_000;

/** What a time is worth that states no zone: it says that a host was validated, and nothing of when. */
export type Zoneless = 'zoneless';

/** Parses a `vtime` to epoch milliseconds; undefined for everything that is no date in one of the known forms. */
export function parseVtime(vtime: unknown): number | Zoneless | undefined {
  if (typeof vtime === 'number') return Number.isInteger(vtime) && vtime >= 0 && vtime <= LATEST ? vtime : undefined;
  if (typeof vtime !== 'string') return undefined;
  if (EPOCH_MS.test(vtime)) return Number(vtime);
  return ISO_ZONELESS.test(vtime) || C_LOCALE.test(vtime) ? 'zoneless' : parseIso(vtime);
}

function parseIso(text: string): number | undefined {
  const match = ISO.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = '', zulu, sign, zoneHours, zoneMinutes] = match;
  const utc = toEpochMs(Number(year), Number(month), Number(day), Number(hour), Number(minute), Number(second));
  if (utc === undefined) return undefined;
  const time = utc + Number(fraction.slice(0, 3).padEnd(3, '0'));
  if (zulu !== undefined) return time;
  if (Number(zoneHours) > 14 || Number(zoneMinutes) > 59) return undefined;
  const offset = (Number(zoneHours) * 60 + Number(zoneMinutes)) * MINUTE_MS;
  return sign === '-' ? time + offset : time - offset;
}

function toEpochMs(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
): number | undefined {
  if (month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  // A day that the month does not have would roll over into the next.
  if (date.getUTCDate() !== day || date.getUTCMonth() !== month - 1) return undefined;
  return date.getTime() + ((hour * 60 + minute) * 60 + second) * 1000;
}
