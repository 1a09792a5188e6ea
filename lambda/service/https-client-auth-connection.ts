import { abortable } from './abortable.ts';
import type { Connection, HttpAnswer, PostLimits } from './attestation-service.ts';
import { type ClientCertificateSource, Refused } from './client-certificate-source.ts';
import type { Clock } from '../clock.ts';
import type { Counts } from '../log/counts.ts';
import { PollError } from '../errors.ts';
import { SAFE_IDLE_MS } from '../kept-connections.ts';
import { isOver, isSince } from '../trust/time.ts';
import type { CertificateVersion } from './secret-watch.ts';
import type { Fault, TlsConnection } from './tls-connection.ts';

export interface HttpsClientAuthConnectionOptions {
  readonly server: string;
  readonly port: number;
  readonly certificates: ClientCertificateSource;
  readonly clock: Clock;
  readonly counts: Counts;
}

/** One request, over however many connections it takes. */
interface Post {
  readonly path: string;
  readonly body: string;
  readonly limits: PostLimits;
  readonly refused: Refused;
}

/** What came of sending it once; of an answer that may be a refusal there is an error too. */
interface Outcome {
  readonly answer?: HttpAnswer;
  readonly fault?: Fault;
  readonly error?: unknown;
}

/**
 * HTTPS with a client certificate. The server's certificate and name are always verified against the secret's CA, and
 * nothing else; connections are kept and reused; a redirect is an answer like any other and never followed. A request is
 * sent again only over a new connection: where a kept one had ended, and with another certificate where one was refused.
 */
export class HttpsClientAuthConnection implements Connection {
  readonly #options: HttpsClientAuthConnectionOptions;
  /** Connections without a request; as many as there were requests at once, and the caller limits those. */
  #idle: TlsConnection[] = [];

  constructor(options: HttpsClientAuthConnectionOptions) {
    this.#options = options;
  }

  async post(path: string, body: string, limits: PostLimits): Promise<HttpAnswer> {
    try {
      return await this.#post({ path, body, limits, refused: new Refused() });
    } catch (cause) {
      if (cause instanceof PollError) throw cause;
      if (limits.signal.aborted)
        throw new PollError('pending', 'the poll got no complete answer in its time', { cause });
      throw new PollError('unreachable', 'the attestation service could not be reached', { cause });
    }
  }

  async #post(post: Post): Promise<HttpAnswer> {
    const { certificates, counts, server, port } = this.#options;
    const { refused } = post;
    const { signal } = post.limits;
    // What a poll needs and a cached answer does not: undici, and the certificate.
    const needs = Promise.all([import('./tls-connection.ts'), certificates.get()]);
    const [{ TlsConnection }, first] = await abortable(needs, signal);
    const open = (certificate: CertificateVersion): TlsConnection => {
      certificates.measure(certificate);
      return new TlsConnection({ server, port, certificate, keepAliveMs: SAFE_IDLE_MS });
    };
    let connection = this.#take(first) ?? open(first);
    for (;;) {
      const { certificate } = connection;
      const { answer, fault, error } = await this.#send(connection, post);
      if (fault === undefined && answer !== undefined) return answer;
      if (fault === 'broken') throw error;
      if (fault === 'stale') {
        counts.add('ResentPolls');
        connection = open(certificate);
        continue;
      }
      counts.add('CertificateRefusals');
      refused.versions.add(certificate.version);
      const other = await abortable(certificates.getAnother(refused, signal), signal).catch(() => undefined);
      if (other !== undefined) connection = open(other);
      else if (answer !== undefined && !signal.aborted) return answer;
      else throw error;
    }
  }

  /** Rejects where nothing can come of sending it again. */
  async #send(connection: TlsConnection, { path, body, limits, refused }: Post): Promise<Outcome> {
    const { certificates } = this.#options;
    const isAnother = refused.versions.size > 0;
    try {
      const answer = await connection.post(path, body, limits);
      if (!isRefusal(answer.status)) {
        this.#keep(connection);
        return { answer };
      }
      connection.close();
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
    const now = this.#options.clock.now();
    const usable: TlsConnection[] = [];
    for (const connection of this.#idle) {
      // Its own timer does not run while the environment is frozen.
      const { idleSince } = connection;
      const isFresh = isSince(now, idleSince) && !isOver(idleSince + SAFE_IDLE_MS, now);
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
    connection.idleSince = this.#options.clock.now();
    this.#idle.push(connection);
  }
}

/** Whether a status may mean that the service does not know the client. */
function isRefusal(status: number): boolean {
  return status === 401 || status === 403;
}
