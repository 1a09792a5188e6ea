// Loaded with undici when the first poll is due, and not before.
import { isIP, isIPv6, type Socket } from 'node:net';
import { checkServerIdentity, type ConnectionOptions, DEFAULT_CIPHERS } from 'node:tls';
import { buildConnector, Client, type Dispatcher } from 'undici';
import type { AnswerLimits, HttpAnswer } from './connection.ts';
import { abortable } from './abortable.ts';
import { beginningOf, dateOf, leave, leaveRest } from './answer-stream.ts';
import { PollError } from '../errors.ts';
import { LONG_AGO } from '../trust/time.ts';
import { asksForLogin } from './refusal.ts';
import type { CertificateVersion } from './secret-watch.ts';
import { explainTlsFault, ServerTlsFault } from './server-tls-fault.ts';

const CONNECT_TIMEOUT_MS = 5_000;
/** What errors of a connection that the other side closed have for a code. */
const CLOSED = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);
/** A TLS alert of the other side, as Node names it: `ERR_SSL_TLSV1_ALERT_UNKNOWN_CA`, `ERR_SSL_SSL/TLS_ALERT_…`. */
const ALERT = /^ERR_SSL_.*ALERT/;
/**
 * Without finite-field DHE of TLS 1.2: servers on Java 7 and 8 prefer it, with a group of 768 or 1024 bits, which OpenSSL
 * then refuses; where it is not offered they agree on something else. TLS 1.3 has no short groups.
 */
const CIPHERS = `${DEFAULT_CIPHERS}:!kDHE`;

/**
 * What a request that failed says of its connection: `stale` where it had carried an answer before and brought no byte of
 * this one, `refused` where the service may have refused the client certificate, else `broken`.
 */
export type Fault = 'stale' | 'refused' | 'broken';

export interface TlsConnectionOptions {
  readonly server: string;
  readonly port: number;
  /** The name that the server's certificate must be for, where it is not the address. */
  readonly serverName?: string | undefined;
  readonly certificate: CertificateVersion;
  readonly keepAliveMs: number;
}

/** One connection, made with one client certificate when it is first needed; it carries one request at a time. */
export class TlsConnection {
  readonly certificate: CertificateVersion;
  /** Epoch milliseconds; kept by who keeps the connection. */
  idleSince = LONG_AGO;
  /** The status of the answer that came last, complete or not. */
  status: number | undefined;
  /** Whether that answer asks for a login. */
  wantsLogin = false;
  readonly #client: Client;
  readonly #closing = new AbortController();
  #socket: Socket | undefined;
  #alert: Error | undefined;
  /** Whether the service took part in the handshake, or has done so. */
  #isInHandshake = false;
  #hasCarriedAnswer = false;
  #bytesBefore = 0;

  constructor({ server, port, serverName, certificate: version, keepAliveMs }: TlsConnectionOptions) {
    this.certificate = version;
    const { cert, key, ca, passphrase } = version.certificate;
    const connect = buildConnector({
      cert,
      key,
      ca,
      ...(passphrase === undefined ? {} : { passphrase }),
      minVersion: 'TLSv1.2',
      ciphers: CIPHERS,
      allowH2: false,
      // Said here, so that no variable of the environment can turn it off.
      rejectUnauthorized: true,
      ...(serverName === undefined ? {} : nameOf(serverName)),
      timeout: CONNECT_TIMEOUT_MS,
      // undici lets go of a connection that is being made only when it has been made.
      signal: this.#closing.signal,
    });
    this.#client = new Client(`https://${isIPv6(server) ? `[${server}]` : server}:${port}`, {
      pipelining: 1,
      allowH2: false,
      // The poll's own limit covers both, whatever it is.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: keepAliveMs,
      connect: (options, callback) => {
        this.#isInHandshake = false;
        // It returns the socket that is being connected, which its type does not say.
        const open = connect as unknown as (...those: Parameters<typeof connect>) => Socket;
        const connecting = open(options, (...[error, socket]) => {
          if (error !== null) return callback(error, null);
          this.#connected(socket);
          callback(null, socket);
        });
        // Keys are agreed on once the service has answered; what they are is of no interest.
        connecting.once('keylog', () => {
          this.#isInHandshake = true;
        });
      },
    });
  }

  /** Whether it can carry another request, as far as is known. */
  get isOpen(): boolean {
    return this.#socket !== undefined && !this.#socket.destroyed;
  }

  /** Whether any byte has come since the last request was sent. */
  get isAnswering(): boolean {
    return (this.#socket?.bytesRead ?? 0) > this.#bytesBefore;
  }

  close(): void {
    this.#closing.abort();
    this.#client.destroy().catch(() => {});
  }

  /**
   * Sends a JSON body and reads the whole answer. After a rejection the connection is of no more use.
   * @throws {PollError} where the answer is none that may be read
   */
  post(path: string, body: string, limits: AnswerLimits): Promise<HttpAnswer> {
    return this.#send(path, body, limits);
  }

  /** The same without a body, and without the content type and the login for which a Keylime verifier refuses a GET. */
  get(path: string, limits: AnswerLimits): Promise<HttpAnswer> {
    return this.#send(path, undefined, limits);
  }

  async #send(path: string, body: string | undefined, { signal, maxBytes }: AnswerLimits): Promise<HttpAnswer> {
    this.status = undefined;
    this.wantsLogin = false;
    this.#bytesBefore = this.#socket?.bytesRead ?? 0;
    const accepted = { accept: 'application/json', 'accept-encoding': 'identity' };
    const options: Dispatcher.RequestOptions =
      body === undefined
        ? { method: 'GET', path, signal, headers: accepted }
        : { method: 'POST', path, signal, body, headers: { ...this.#postHeaders(), ...accepted } };
    const request = this.#client.request(options);
    // undici heeds the signal only once it has a connection.
    const { statusCode: status, headers, body: answer } = await abortable(request, signal, (late) => leave(late.body));
    this.status = status;
    this.wantsLogin = asksForLogin(status, headers['www-authenticate']);
    const told = body === undefined ? { date: dateOf(headers['date'], headers['age']) } : {};
    if (status < 200 || status > 299) {
      // A short rest is read so that the connection can be used again.
      const rest = body === undefined ? await beginningOf(answer) : await leaveRest(answer, maxBytes);
      this.#hasCarriedAnswer = true;
      return { status, body: rest, ...told };
    }
    const encoding = headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') {
      leave(answer);
      throw new PollError('bad-reply', 'the answer is encoded although only "identity" was asked for');
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      // Leaving the loop closes the connection, so that no byte of the rest is waited for.
      if (bytes > maxBytes) throw new PollError('bad-reply', `the answer is larger than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    this.#hasCarriedAnswer = true;
    return { status, body: Buffer.concat(chunks), ...told };
  }

  #postHeaders(): Record<string, string> {
    const { authBlob, authorization } = this.certificate.certificate;
    return {
      'content-type': 'application/json',
      ...(authBlob === undefined ? {} : { 'x-auth-blob': authBlob }),
      ...(authorization === undefined ? {} : { authorization }),
    };
  }

  /** What the error with which the last request was rejected says of the connection. */
  faultOf(error: unknown): Fault {
    if (this.isAnswering) return 'broken';
    if (this.#hasCarriedAnswer) return 'stale';
    const code = Error.isError(error) && 'code' in error ? String(error.code) : '';
    // No other certificate helps against what is wrong with the server's own TLS.
    if (this.causeOf(error) instanceof ServerTlsFault) return 'broken';
    if (this.#alert !== undefined || ALERT.test(code)) return 'refused';
    // A service that is down closes connections too, but it takes no part in a handshake.
    return CLOSED.has(code) && this.#isInHandshake ? 'refused' : 'broken';
  }

  /**
   * The error, or the alert that came before it: of TLS 1.3's alerts, undici says only that the connection was closed. What
   * is wrong with the server's TLS is said in words.
   */
  causeOf(error: unknown): unknown {
    return explainTlsFault(this.#alert ?? error, this.#isInHandshake);
  }

  #connected(socket: Socket): void {
    this.#socket = socket;
    this.#alert = undefined;
    this.#hasCarriedAnswer = false;
    this.#bytesBefore = 0;
    socket.on('error', (error) => {
      if ('code' in error && ALERT.test(String(error.code))) this.#alert ??= error;
    });
  }
}

/** What to tell TLS so that another name than the address is asked for and verified; an address can't be asked for by SNI. */
function nameOf(serverName: string): Pick<ConnectionOptions, 'servername' | 'checkServerIdentity'> {
  return {
    ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
    checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
  };
}
