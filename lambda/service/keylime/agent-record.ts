/** What a Keylime verifier's record of an agent says of its host: a pure function of the record and of when it came. */
import type { Answer } from '../../trust/attestation.ts';
import { isFromNow, isOver } from '../../trust/time.ts';

/** When a record came, and by which clocks. All times are epoch milliseconds. */
export interface Receipt {
  /** When it was asked for, by our clock. */
  readonly sentAt: number;
  /** When the answer was complete, by our clock. */
  readonly receivedAt: number;
  /**
   * The answer's `Date`, by the verifier's clock: of some moment between the two, since the verifier says it when it begins to answer
   * (tornado's `RequestHandler.clear`). Without it, our clock stands in its place.
   */
  readonly date: number | undefined;
  /** Until when the record must not be stale, by our clock: when the poll that it is a part of ends. */
  readonly judgedAt: number;
}

export interface Judgement {
  /** How old the last good quote may be. */
  readonly validityMs: number;
  /** Whether an agent must be checked against something to be trusted. */
  readonly policyRequired: boolean;
}

/**
 * An answer; or `left out` where the record says nothing of now, though it did before and will again: the verifier or the agent
 * starts anew, and what is known of the host holds to its end.
 */
export type Meaning = Answer | 'left out';

/** The verifier's own numbers for what it is doing about an agent (keylime/common/states.py). */
const STATE = {
  registered: 0,
  start: 1,
  saved: 2,
  getQuote: 3,
  provideVRetry: 6,
  failed: 7,
  terminated: 8,
  invalidQuote: 9,
  tenantFailed: 10,
} as const;

/** Why an agent failed that is silent (keylime/cloud_verifier_tornado.py). */
const NOT_REACHABLE = /^internal\.verifier\.not_reachable(_v)?$/;

const PENDING: Answer = { level: 'unknown', reason: 'pending' };
const UNKNOWN: Answer = { level: 'unknown', reason: 'unknown' };
const TIMEOUT: Answer = { level: 'unknown', reason: 'timeout' };
const BAD_REPLY: Answer = { level: 'unknown', reason: 'bad-reply' };
const BAD_TIME: Answer = { level: 'unknown', reason: 'bad-vtime' };
/** A verdict of now, whenever the quote came that it is about; and so without a time of its own. */
const UNTRUSTED: Answer = { level: 'untrusted', reason: 'untrusted' };

/**
 * What a record means, of an agent that the verifier polls or of one that reports by itself (push). The first of the rules that
 * fits decides, and whatever fits none is `bad-reply`. A good state is worth no more than its last good quote is young: of a
 * host that is silent, and after the verifier's own workers died, the record says PASS with times that stand still. What
 * `severity_level` and `last_event_id` say is of earlier failures; they are never a verdict.
 * @param record `results` of `GET /agents/{id}`, or one of its values where all agents were asked for
 */
export function meaningOf(record: unknown, receipt: Receipt, judgement: Judgement): Meaning {
  if (typeof record !== 'object' || record === null || Array.isArray(record)) return BAD_REPLY;
  const members = record as Readonly<Record<string, unknown>>;
  const state = members['operational_state'];
  const isPush = state === null || (members['ip'] === null && members['port'] === null);
  return isPush ? ofPush(members, receipt, judgement) : ofPull(members, receipt, judgement);
}

function ofPull(record: Readonly<Record<string, unknown>>, receipt: Receipt, judgement: Judgement): Meaning {
  const state = record['operational_state'];
  const count = record['attestation_count'];
  const succeeded = timeOf(record['last_successful_attestation']);
  const quoted = timeOf(record['last_received_quote']);
  const isLastBad = succeeded !== undefined && quoted !== undefined && quoted > succeeded;
  if (!isCount(state)) return BAD_REPLY;
  switch (state) {
    case STATE.invalidQuote:
      return UNTRUSTED;
    case STATE.failed:
      return ofFailed(record, isLastBad);
    case STATE.tenantFailed:
    case STATE.terminated:
      return UNKNOWN;
    case STATE.registered:
    case STATE.saved:
      return PENDING;
    case STATE.start:
      if (!isCount(count)) return BAD_REPLY;
      return count === 0 ? PENDING : 'left out';
    default:
      if (state < STATE.getQuote || state > STATE.provideVRetry) return BAD_REPLY;
      if (!isCount(count) || succeeded === undefined || quoted === undefined) return BAD_REPLY;
      if (count === 0 || succeeded === 0) return PENDING;
      return isLastBad ? UNTRUSTED : ofGood(record, succeeded, receipt, judgement);
  }
}

function ofFailed({ last_event_id: event }: Readonly<Record<string, unknown>>, isLastBad: boolean): Answer {
  // Only text is looked at: what else stands there need not be able to become any.
  if (typeof event === 'string' && NOT_REACHABLE.test(event)) return TIMEOUT;
  return isLastBad ? UNTRUSTED : UNKNOWN;
}

function ofPush(record: Readonly<Record<string, unknown>>, receipt: Receipt, judgement: Judgement): Answer {
  switch (record['attestation_status']) {
    case 'FAIL':
      return UNTRUSTED;
    case 'TIMEOUT':
      return TIMEOUT;
    case 'PENDING':
      return PENDING;
    case 'PASS': {
      const succeeded = timeOf(record['last_successful_attestation']);
      return succeeded === undefined ? BAD_REPLY : ofGood(record, succeeded, receipt, judgement);
    }
    default:
      return BAD_REPLY;
  }
}

/** Of an agent in a good state, whose last good quote came at a time of the verifier's clock. */
function ofGood(
  record: Readonly<Record<string, unknown>>,
  succeededAt: number,
  { date, judgedAt, receivedAt, sentAt }: Receipt,
  { policyRequired, validityMs }: Judgement,
): Answer {
  const ageMs = (date ?? receivedAt) - succeededAt;
  // A time that lies so far ahead was written by another clock, and would keep a silent host young for as long as that.
  if (ageMs < -validityMs) return BAD_TIME;
  // How long an answer takes must make nothing younger: its `Date` may be as early as the request.
  const vtime = (date === undefined ? receivedAt : sentAt) - Math.max(0, ageMs);
  if (isOver(vtime + validityMs, judgedAt)) return TIMEOUT;
  if (policyRequired && !isChecked(record)) return { level: 'unknown', reason: 'unchecked', vtime };
  return { level: 'trusted', reason: 'trusted', vtime };
}

/** Whether the verifier checks quotes of the agent against anything: without, it knows only that some TPM signed. */
function isChecked(record: Readonly<Record<string, unknown>>): boolean {
  return record['has_runtime_policy'] === 1 || record['has_mb_refstate'] === 1 || namesPcr(record['tpm_policy']);
}

/** Whether a policy, `{"mask":"0x…","<PCR>":["<digest>",…],…}` as text, has values for a PCR: the mask alone compares nothing. */
function namesPcr(policy: unknown): boolean {
  if (typeof policy !== 'string') return false;
  let parsed: unknown;
  try {
    parsed = JSON.parse(policy);
  } catch {
    return false;
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return false;
  return Object.entries(parsed).some(
    ([name, values]: [string, unknown]) => /^(\d|1\d|2[0-3])$/.test(name) && hasDigest(values),
  );
}

function hasDigest(values: unknown): boolean {
  return (
    Array.isArray(values) && values.length > 0 && values.every((value) => typeof value === 'string' && value !== '')
  );
}

/** A time of Keylime's, epoch seconds, as milliseconds: 0 for never, which null says, too; undefined for what is none. */
function timeOf(value: unknown): number | undefined {
  if (value === null) return 0;
  return isCount(value) && value <= 8.64e12 ? value * 1000 : undefined;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/**
 * Whether the last good quote came later than the verifier's clock can say: by another clock, or before it was set back.
 * @param now the time by the verifier's clock, epoch milliseconds
 */
export function liesAhead(record: unknown, now: number): boolean {
  const { last_successful_attestation: at } = (record ?? {}) as { last_successful_attestation?: unknown };
  const succeededAt = timeOf(at ?? null);
  return succeededAt !== undefined && !isFromNow(succeededAt, now);
}

/** `2s`, as the verifier says how often it wants an agent attested. */
const PERIOD = /^(\d{1,9}(?:\.\d{1,9})?)s$/;

/** How often the verifier wants the agent attested, in milliseconds; undefined where the record does not say. */
export function periodOf(record: unknown): number | undefined {
  const period = (record as { attestation_period?: unknown } | null | undefined)?.attestation_period;
  const match = typeof period === 'string' ? PERIOD.exec(period) : null;
  return match === null ? undefined : Number(match[1]) * 1000;
}
