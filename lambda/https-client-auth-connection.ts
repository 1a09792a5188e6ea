import { isIPv6 } from 'node:net';
import type { Readable } from 'node:stream';
import type { Pool } from 'undici';
import type { Connection, HttpAnswer, PostLimits } from './attestation-service.ts';
import type { ClientCertificate } from './client-certificate.ts';
import { PollError } from './errors.ts';

const CONNECT_TIMEOUT_MS = 5_000;
/** How long the rest of an answer that is a fault is read. */
const REST_MS = 1_000;
/** Longer than the usual pause between two requests of a scheduler, shorter than what servers usually keep. */
const KEEP_ALIVE_MS = 30_000;

export interface HttpsClientAuthConnectionOptions {
  readonly server: string;
  readonly port: number;
  /** Most connections at once; each carries one request at a time. */
  readonly connections: number;
  /** Rejects where there is no usable client certificate. */
  readonly loadCertificate: () => Promise<ClientCertificate>;
}

interface Authenticated {
  readonly pool: Pool;
  readonly authBlob: string | undefined;
}

/**
 * HTTPS with a client certificate. The server's certificate and name are always verified against the secret's CA, and
 * nothing else; connections are kept and reused; a redirect is an answer like any other and never followed.
 */
export class HttpsClientAuthConnection implements Connection {
  readonly #options: HttpsClientAuthConnectionOptions;
  #authenticating: Promise<Authenticated> | undefined;

  constructor(options: HttpsClientAuthConnectionOptions) {
    this.#options = options;
  }

  async post(path: string, body: string, { signal, maxBytes }: PostLimits): Promise<HttpAnswer> {
    try {
      const { pool, authBlob } = await abortable(this.#authenticate(), signal);
      const request = pool.request({
        method: 'POST',
        path,
        body,
        signal,
        headers: {
          'content-type': 'application/json',
          accept: 'application/json',
          'accept-encoding': 'identity',
          ...(authBlob === undefined ? {} : { 'x-auth-blob': authBlob }),
        },
      });
      // undici heeds the signal only once it has a connection.
      const { statusCode, headers, body: answer } = await abortable(request, signal, (late) => leave(late.body));
      if (statusCode < 200 || statusCode > 299) {
        // What it says beside its status decides nothing; a short rest is read so that the connection can be used again.
        await answer.dump({ limit: maxBytes, signal: AbortSignal.timeout(REST_MS) }).catch(() => {});
        return { status: statusCode, body: Buffer.alloc(0) };
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
      return { status: statusCode, body: Buffer.concat(chunks) };
    } catch (cause) {
      if (cause instanceof PollError) throw cause;
      if (signal.aborted) throw new PollError('pending', 'the poll got no complete answer in its time', { cause });
      throw new PollError('unreachable', 'the attestation service could not be reached', { cause });
    }
  }

  /** Loads what a poll needs and a cached answer does not: undici, and the certificate. */
  #authenticate(): Promise<Authenticated> {
    this.#authenticating ??= this.#connect().catch((error: unknown) => {
      this.#authenticating = undefined;
      throw error;
    });
    return this.#authenticating;
  }

  async #connect(): Promise<Authenticated> {
    const { server, port, connections, loadCertificate } = this.#options;
    const [{ Pool }, { cert, key, ca, passphrase, authBlob }] = await Promise.all([
      import('./undici.ts'),
      loadCertificate(),
    ]);
    const pool = new Pool(`https://${isIPv6(server) ? `[${server}]` : server}:${port}`, {
      connections,
      pipelining: 1,
      allowH2: false,
      // The poll's own limit covers both, whatever it is.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connect: {
        cert,
        key,
        ca,
        ...(passphrase === undefined ? {} : { passphrase }),
        minVersion: 'TLSv1.2',
        // Said here, so that no variable of the environment can turn it off.
        rejectUnauthorized: true,
        timeout: CONNECT_TIMEOUT_MS,
      },
    });
    return { pool, authBlob };
  }
}

/** Closes the connection of an answer that nobody reads; to its stream that is an error, which has to go somewhere. */
function leave(answer: Readable): void {
  answer.on('error', () => {}).destroy();
}

/** The promise's outcome, or a rejection as soon as the signal is aborted; what comes after that is `late`. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal, late: (value: T) => void = () => {}): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(new Error('aborted'));
      promise.then(late, () => {});
    };
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
