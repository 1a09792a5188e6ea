import { abortable } from './abortable.ts';
import type { AnswerLimits, Connection, HttpAnswer } from './connection.ts';
import { type ClientCertificateSource, Refused } from './client-certificate-source.ts';
import type { Clock } from '../clock.ts';
import type { Counts } from '../log/counts.ts';
import { PollError } from '../errors.ts';
import { SAFE_IDLE_MS } from '../kept-connections.ts';
import { isYounger } from '../trust/time.ts';
import { lateAfter, slowestOf } from '../trust/try.ts';
import { isRefusal, loginError } from './refusal.ts';
import type { CertificateVersion } from './secret-watch.ts';
import type { Fault, TlsConnection } from './tls-connection.ts';

export interface HttpsClientAuthConnectionOptions {
  readonly server: string;
  readonly port: number;
  /** The name that the server's certificate must be for, where it is not the address. */
  readonly serverName?: string | undefined;
  readonly certificates: ClientCertificateSource;
  readonly clock: Clock;
  readonly counts: Counts;
}

/** A path forgets no connection that carried something so short a time ago. */
const FRESH_MS = 1_000;

/** One request, over however many connections it takes. */
interface Request {
  readonly path: string;
  /** Absent where it is a GET. */
  readonly body: string | undefined;
  readonly limits: AnswerLimits;
  readonly refused: Refused;
}

/** What came of sending it once; of an answer that may be a refusal there is an error too. */
interface Outcome {
  readonly answer?: HttpAnswer;
  /** `login` where the service asks for a login: that says nothing of the certificate. */
  readonly fault?: Fault | 'login';
  readonly error?: unknown;
}

/**
 * HTTPS with a client certificate. The server's certificate and name are always verified against the secret's CA, and
 * nothing else; connections are kept and reused; a redirect is an answer like any other and never followed. A request is
 * sent again only over a new connection: where a kept one had ended, or brings no byte for long after it was idle, and with
 * another version of the secret where the certificate or the login of one was refused.
 */
export class HttpsClientAuthConnection implements Connection {
  readonly #options: HttpsClientAuthConnectionOptions;
  /** Connections without a request; as many as there were requests at once, and the caller limits those. */
  #idle: TlsConnection[] = [];
  /** How long the slowest of the last answers took. */
  #slowestMs = 0;

  constructor(options: HttpsClientAuthConnectionOptions) {
    this.#options = options;
  }

  post(path: string, body: string, limits: AnswerLimits): Promise<HttpAnswer> {
    return this.#ask(path, body, limits);
  }

  get(path: string, limits: AnswerLimits): Promise<HttpAnswer> {
    return this.#ask(path, undefined, limits);
  }

  async #ask(path: string, body: string | undefined, limits: AnswerLimits): Promise<HttpAnswer> {
    try {
      return await this.#request({ path, body, limits, refused: new Refused() });
    } catch (cause) {
      if (cause instanceof PollError) throw cause;
      if (limits.signal.aborted)
        throw new PollError('pending', 'the poll got no complete answer in its time', { cause });
      throw new PollError('unreachable', 'the attestation service could not be reached', { cause });
    }
  }

  async #request(request: Request): Promise<HttpAnswer> {
    const { certificates, counts, server, serverName, port } = this.#options;
    const { refused } = request;
    const { isLong = false, signal } = request.limits;
    // What a poll needs and a cached answer does not: undici, and the certificate.
    const needs = Promise.all([import('./tls-connection.ts'), certificates.get()]);
    const [{ TlsConnection }, first] = await abortable(needs, signal);
    const open = (certificate: CertificateVersion): TlsConnection => {
      certificates.measure(certificate);
      return new TlsConnection({ server, port, serverName, certificate, keepAliveMs: SAFE_IDLE_MS });
    };
    const kept = isLong ? undefined : this.#take(first);
    let connection = kept ?? open(first);
    for (;;) {
      const { certificate } = connection;
      const isKept = connection === kept;
      const sent = isKept
        ? this.#sendOverKept(kept, request, () => open(certificate))
        : this.#send(connection, request);
      const { answer, fault, error } = await sent;
      if (fault === undefined && answer !== undefined) return answer;
      if (fault === 'broken') throw error;
      if (fault === 'stale') {
        counts.add('ResentPolls');
        connection = open(certificate);
        continue;
      }
      counts.add(fault === 'login' ? 'LoginRefusals' : 'CertificateRefusals');
      // A GET carries no login that another version of the secret could have in its place.
      if (fault === 'login' && request.body === undefined) throw error;
      refused.versions.add(certificate.version);
      const other = await abortable(certificates.getAnother(refused, signal), signal).catch(() => undefined);
      // Against a refused login no other certificate helps, but another login does.
      const isOfUse = fault !== 'login' || other?.certificate.authorization !== certificate.certificate.authorization;
      if (other !== undefined && isOfUse) connection = open(other);
      else if (fault === 'login') throw error;
      else if (answer !== undefined && !signal.aborted) return answer;
      else throw error;
    }
  }

  /**
   * Sends it over a kept connection, and over a new one as well where the first byte is late after idleness: the path may have
   * forgotten the connection, and swallow what it carries. The first answer counts.
   */
  async #sendOverKept(kept: TlsConnection, request: Request, open: () => TlsConnection): Promise<Outcome> {
    const { clock, counts } = this.#options;
    const isFresh = isYounger(kept.idleSince, FRESH_MS, clock.moment());
    const first = this.#send(kept, request);
    if (isFresh || !(await this.#isLate(kept, first))) return first;
    counts.add('ResentPolls');
    // Those that are kept were idle on the same path.
    for (const connection of this.#idle.splice(0)) connection.close();
    const other = open();
    const second = this.#send(other, request);
    const ways = [first.then((outcome) => ({ outcome, loser: other }))];
    ways.push(second.then((outcome) => ({ outcome, loser: kept })));
    const answered = ways.map(async (way) => {
      const end = await way;
      if (end.outcome.fault !== undefined) throw end.outcome.error;
      return end;
    });
    const won = await Promise.any(answered).catch(() => undefined);
    if (won === undefined) return second;
    won.loser.close();
    return won.outcome;
  }

  /** Waits for the answer, or until it is late. */
  async #isLate(connection: TlsConnection, sent: Promise<Outcome>): Promise<boolean> {
    const timer = new AbortController();
    const ended = sent.then(
      () => true,
      () => true,
    );
    const late = this.#options.clock.wait(lateAfter(this.#slowestMs), timer.signal).then(() => false);
    const isEnded = await Promise.race([ended, late]);
    timer.abort();
    return !isEnded && !connection.isAnswering;
  }

  /** Rejects where nothing can come of sending it again. */
  async #send(connection: TlsConnection, { path, body, limits, refused }: Request): Promise<Outcome> {
    const { certificates, clock } = this.#options;
    const isAnother = refused.versions.size > 0;
    const sentAt = clock.monotonic();
    try {
      const answer = await (body === undefined ? connection.get(path, limits) : connection.post(path, body, limits));
      if (limits.isLong !== true) this.#slowestMs = slowestOf(this.#slowestMs, clock.monotonic() - sentAt);
      if (!isRefusal(answer.status)) {
        this.#keep(connection);
        return { answer };
      }
      connection.close();
      if (connection.wantsLogin)
        return { fault: 'login', error: loginError(connection.certificate.certificate, body !== undefined) };
      return { answer, fault: 'refused', error: new Error(`the service answered with HTTP status ${answer.status}`) };
    } catch (error) {
      connection.close();
      if (limits.signal.aborted || error instanceof PollError) throw error;
      return { fault: connection.faultOf(error), error: connection.causeOf(error) };
    } finally {
      const { certificate, status } = connection;
      if (status !== undefined && !isRefusal(status)) certificates.accepted(certificate, isAnother);
    }
  }

  /** A connection that may be used again, if there is one; those that may not are closed. */
  #take({ version, certificate }: CertificateVersion): TlsConnection | undefined {
    const now = this.#options.clock.moment();
    const usable: TlsConnection[] = [];
    for (const connection of this.#idle) {
      // Its own timer does not run while the environment is frozen.
      const isFresh = isYounger(connection.idleSince, SAFE_IDLE_MS, now);
      const made = connection.certificate;
      const isSame = made.version === version && made.certificate.ca === certificate.ca;
      if (connection.isOpen && isFresh && isSame) usable.push(connection);
      else connection.close();
    }
    const taken = usable.pop();
    this.#idle = usable;
    return taken;
  }

  #keep(connection: TlsConnection): void {
    connection.idleSince = this.#options.clock.moment();
    this.#idle.push(connection);
  }
}
