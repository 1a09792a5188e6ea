import type { Clock } from '../../clock.ts';
import { PollError } from '../../errors.ts';
import type { AttestationService, PollResult } from '../attestation-service.ts';
import type { Connection } from '../connection.ts';
import { parsePollReply } from './poll-reply.ts';

/** An answer's size: a fixed part, and per host as much as the richest dialect (PCR values, analysis details) needs. */
const FIXED_BYTES = 64 * 1024;
const BYTES_PER_HOST = 16 * 1024;

/** OpenAttestation's `PollHosts`, in the one form that every dialect of it accepts. All hosts of a poll go in one request. */
export class OatService implements AttestationService {
  readonly #connection: Pick<Connection, 'post'>;
  readonly #path: string;
  readonly #clock: Clock;

  /** @param apiUrl the path prefix of `PollHosts` */
  constructor(connection: Pick<Connection, 'post'>, apiUrl: string, clock: Clock) {
    this.#connection = connection;
    this.#path = `${apiUrl}/PollHosts`;
    this.#clock = clock;
  }

  async doAttestation(hosts: readonly string[], signal: AbortSignal): Promise<PollResult> {
    const body = JSON.stringify({ count: hosts.length, hosts });
    const maxBytes = FIXED_BYTES + BYTES_PER_HOST * hosts.length;
    const sent = this.#clock.moment();
    const answer = await this.#connection.post(this.#path, body, { signal, maxBytes });
    const receivedAt = this.#clock.now();
    checkStatus(answer.status, hosts.length);
    const reply = parsePollReply(parseJson(answer.body), new Set(hosts), receivedAt);
    if (reply === undefined) throw new PollError('bad-reply', 'the answer is not a JSON object with an array "hosts"');
    return { ...reply, sentAt: this.#clock.timeOf(sent), receivedAt };
  }
}

function checkStatus(status: number, hosts: number): void {
  if (status >= 200 && status < 300) return;
  const message = `the attestation service answered with HTTP status ${status}`;
  if (status !== 400 && status !== 500) throw new PollError('unreachable', message);
  throw new PollError(hosts === 1 ? 'refused' : 'unreachable', message, { refusedWith: status });
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    // The parser's own error quotes the text, which is nobody's to log.
    throw new PollError('bad-reply', `the answer of ${body.length} bytes is not JSON`);
  }
}
