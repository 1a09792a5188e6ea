import { type Answer, isFromFuture } from '../../trust/attestation.ts';
import type { PollReply } from '../attestation-service.ts';
import { parseVtime } from './vtime.ts';

/** The service's words beside the two levels; each leaves the level unknown and is its own reason. */
const UNDECIDED = ['unknown', 'timeout', 'pending'] as const;

const BAD_REPLY: Answer = { level: 'unknown', reason: 'bad-reply' };

/**
 * Reads a reply of `PollHosts`, `{"hosts":[{"host_name","trust_lvl","vtime"},…]}`, in all of OAT's dialects. A deviation
 * concerns the host it is about and no other.
 *
 * @param body the reply's JSON
 * @param asked the hosts of the poll
 * @param receivedAt when the reply was complete, epoch milliseconds
 * @returns undefined where the reply is no such object, and so an answer about nobody
 */
export function parsePollReply(body: unknown, asked: ReadonlySet<string>, receivedAt: number): PollReply | undefined {
  if (!isObject(body) || !Array.isArray(body['hosts'])) return undefined;
  const answers = new Map<string, Answer>();
  let unasked = 0;
  let otherCase = 0;
  let zonelessVtimes = 0;
  // Made for the first entry that nobody asked for: a reply as it should be has none.
  let inLowerCase: ReadonlySet<string> | undefined;
  for (const entry of body['hosts'] as unknown[]) {
    const host = isObject(entry) ? entry['host_name'] : undefined;
    if (!isObject(entry) || typeof host !== 'string' || !asked.has(host)) {
      unasked++;
      if (typeof host !== 'string') continue;
      inLowerCase ??= new Set(Array.from(asked, (name) => name.toLowerCase()));
      if (inLowerCase.has(host.toLowerCase())) otherCase++;
      continue;
    }
    const vtime = parseVtime(entry['vtime']);
    const answer = parseAnswer(entry['trust_lvl'], vtime);
    const earlier = answers.get(host);
    if (vtime === 'zoneless' && earlier === undefined) zonelessVtimes++;
    answers.set(host, earlier === undefined || agree(earlier, answer) ? answer : BAD_REPLY);
  }
  let futureVtimes = 0;
  let newestVtime: number | undefined;
  for (const answer of answers.values()) {
    if (isFromFuture(answer, receivedAt)) futureVtimes++;
    if (answer.vtime !== undefined) newestVtime = Math.max(answer.vtime, newestVtime ?? answer.vtime);
  }
  const counted = { unasked, otherCase, futureVtimes, zonelessVtimes };
  return { answers, ...counted, ...(newestVtime === undefined ? {} : { newestVtime }) };
}

function parseAnswer(word: unknown, vtime: ReturnType<typeof parseVtime>): Answer {
  const time = typeof vtime === 'number' ? { vtime } : {};
  const undecided = UNDECIDED.find((known) => known === word);
  if (undecided !== undefined) return { level: 'unknown', reason: undecided, ...time };
  if (word !== 'trusted' && word !== 'untrusted') return { ...BAD_REPLY, ...time };
  if (vtime === undefined) return { level: 'unknown', reason: 'bad-vtime' };
  return word === 'trusted'
    ? { level: word, reason: 'trusted', ...time }
    : { level: word, reason: 'untrusted', ...time };
}

function agree(a: Answer, b: Answer): boolean {
  return a.reason === b.reason && a.level === b.level && a.vtime === b.vtime;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
