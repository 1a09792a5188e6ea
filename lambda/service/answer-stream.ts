/** The answers that undici brings, as streams: what is read of them, and how those are left that nobody reads. */
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';

type Body = Dispatcher.ResponseData['body'];

/** How long the rest of an answer that is a fault is read, and how much of it is kept. */
const REST_MS = 1_000;
const FAULT_BYTES = 4 * 1024;

type Header = string | string[] | undefined;

/**
 * What time it is by the clock of a server that sent a `Date` header (RFC 9110, 5.6.7), epoch milliseconds; undefined for what is none.
 * @param age the `Age` header, where a cache on the way gave an answer of so many seconds ago (RFC 9111, 5.1)
 */
export function dateOf(header: Header, age: Header): number | undefined {
  const time = typeof header === 'string' && header.endsWith(' GMT') ? Date.parse(header) : NaN;
  const ageMs = typeof age === 'string' && /^\d{1,10}$/.test(age) ? Number(age) * 1000 : 0;
  return Number.isNaN(time) ? undefined : time + ageMs;
}

/** The beginning of an answer that is a fault, as far as it comes at once; its connection is closed where there is more. */
export async function beginningOf(answer: Body): Promise<Uint8Array> {
  const timer = setTimeout(() => leave(answer), REST_MS);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > FAULT_BYTES) break;
    }
  } catch {
    // What came is all that there is.
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks).subarray(0, FAULT_BYTES);
}

/** What a fault says beside its status decides nothing. */
export async function leaveRest(answer: Body, limit: number): Promise<Uint8Array> {
  await answer.dump({ limit, signal: AbortSignal.timeout(REST_MS) }).catch(() => {});
  return Buffer.alloc(0);
}

/** Closes the connection of an answer that nobody reads; to its stream that is an error, which has to go somewhere. */
export function leave(answer: Readable): void {
  answer.on('error', () => {}).destroy();
}
