import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { text } from 'node:stream/consumers';
import type { KeyPair } from './certificates.ts';
import { close, listen } from './listen.ts';

/** One request as the server got it. */
export interface Poll {
  readonly hosts: readonly string[];
  readonly body: string;
  readonly request: IncomingMessage;
}

export interface OatServerOptions extends KeyPair {
  /** The authority of the client certificates that it demands. */
  readonly ca: string;
  readonly port?: number;
  /** Answers a poll; what it does not end stays open. */
  readonly answer: (poll: Poll, response: ServerResponse) => void | Promise<void>;
}

/** A TLS server that speaks OAT's `PollHosts` and demands a client certificate. */
export class OatServer {
  readonly port: number;
  /** Every poll so far. */
  readonly polls: Poll[] = [];
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async start(options: OatServerOptions): Promise<OatServer> {
    const { cert, key, ca, port, answer } = options;
    const server = createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.2' });
    const oat = new OatServer(server, await listen(server, port));
    server.on('request', (request, response) => {
      void oat.#receive(request, response, answer).catch(() => response.destroy());
    });
    // Clients that are refused are the point of some tests; they are no fault of the server.
    server.on('tlsClientError', () => {});
    return oat;
  }

  close(): Promise<void> {
    return close(this.#server);
  }

  async #receive(
    request: IncomingMessage,
    response: ServerResponse,
    answer: OatServerOptions['answer'],
  ): Promise<void> {
    const body = await text(request);
    if (request.method !== 'POST' || request.url?.endsWith('/PollHosts') !== true) {
      return void response.writeHead(404).end();
    }
    const { hosts } = JSON.parse(body) as { hosts: string[] };
    const poll = { hosts, body, request };
    this.polls.push(poll);
    await answer(poll, response);
  }
}

/** One host's entry in a reply. */
export interface ReplyEntry {
  readonly host_name: string;
  readonly trust_lvl: string;
  readonly vtime?: string | number;
}

export function reply(response: ServerResponse, entries: readonly unknown[]): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ hosts: entries }));
}
