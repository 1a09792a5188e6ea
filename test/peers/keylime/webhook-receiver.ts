import { EventEmitter, once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:https';
import { json } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';
import { CertificateAuthority, LOOPBACK_NAMES } from '../../../infra/local/certificates.ts';
import { close, listen } from '../../../infra/local/listen.ts';
import type { Webhook } from './settings.ts';

/** What a verifier posts about an agent, read out of the text that `msg` is. */
export interface Notice {
  readonly type: string;
  readonly agent_id: string;
  readonly event_id: string;
  readonly meta_data: string;
  /** The common name of the certificate that the verifier showed. */
  readonly from: string | undefined;
}

/** Takes what verifiers post when an agent fails, and keeps it. */
export class WebhookReceiver {
  readonly #server: Server;
  readonly #authority: string;
  readonly #notices: Notice[] = [];
  readonly #arrivals = new EventEmitter();
  #port = 0;

  private constructor(authority: string, { cert, key }: { cert: string; key: string }) {
    this.#authority = authority;
    // Any certificate will do: who it is of is told to the test.
    this.#server = createServer({ cert, key, requestCert: true, rejectUnauthorized: false }, (request, response) => {
      this.#take(request).then(
        () => response.end(),
        () => response.writeHead(400).end(),
      );
    });
  }

  static async start(): Promise<WebhookReceiver> {
    const authority = await CertificateAuthority.create('webhook');
    const server = await authority.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
    const receiver = new WebhookReceiver(authority.cert, server);
    receiver.#port = await listen(receiver.#server);
    return receiver;
  }

  /** What a verifier has to be told. */
  get webhook(): Webhook {
    return { url: `https://localhost:${this.#port}/`, authority: this.#authority };
  }

  /** The first notice of an agent and a type, which may have come already. */
  async notice(agent: string, type: string): Promise<Notice> {
    for (;;) {
      const found = this.#notices.find((notice) => notice.agent_id === agent && notice.type === type);
      if (found !== undefined) return found;
      await once(this.#arrivals, 'notice');
    }
  }

  stop(): Promise<void> {
    return close(this.#server);
  }

  async #take(request: IncomingMessage): Promise<void> {
    const { msg } = (await json(request)) as { msg: string };
    const { CN } = (request.socket as unknown as Pick<TLSSocket, 'getPeerCertificate'>).getPeerCertificate().subject;
    this.#notices.push({ ...(JSON.parse(msg) as Notice), from: [CN].flat()[0] });
    this.#arrivals.emit('notice');
  }
}
