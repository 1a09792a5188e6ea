import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Server, type Socket } from 'node:net';
import { duplexPair } from 'node:stream';
import { text } from 'node:stream/consumers';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { close, listen } from '../../infra/local/listen.ts';

/** What a server does with a connection that somebody opens. */
export type Behaviour = (socket: Socket) => void;

/** One request, and what it may be answered with. */
export interface Exchange {
  readonly request: IncomingMessage;
  /** Those that a body asks about; none where there is no body, as in a GET. */
  readonly hosts: readonly string[];
  readonly response: ServerResponse;
  /** The connection below TLS. */
  readonly socket: Socket;
}

/** A port whose behaviour can be changed from one connection to the next. */
export class FaultyServer {
  readonly port: number;
  /** The connections since the behaviour was last changed. */
  readonly connections: Socket[] = [];
  #behaviour: Behaviour;
  #server: Server;

  private constructor(server: Server, port: number, behaviour: Behaviour) {
    this.#server = server;
    this.port = port;
    this.#behaviour = behaviour;
  }

  static async start(behaviour: Behaviour): Promise<FaultyServer> {
    const server = createServer();
    const faulty = new FaultyServer(server, await listen(server), behaviour);
    server.on('connection', (socket) => faulty.#accept(socket));
    return faulty;
  }

  behave(behaviour: Behaviour): void {
    this.connections.length = 0;
    this.#behaviour = behaviour;
  }

  /** Refuses connections until it is opened. */
  async shut(): Promise<void> {
    for (const socket of this.connections) socket.destroy();
    await close(this.#server);
  }

  async open(): Promise<void> {
    this.#server = createServer((socket) => this.#accept(socket));
    await listen(this.#server, this.port);
  }

  #accept(socket: Socket): void {
    // Clients that leave early are the point.
    socket.on('error', () => {});
    this.connections.push(socket);
    this.#behaviour(socket);
  }
}

/** Speaks HTTPS as it should until the request has come. Every answer closes its connection, unless it says otherwise. */
export function answering(tls: TlsOptions, answer: (exchange: Exchange) => void): Behaviour {
  return (socket) => {
    const server = createHttpsServer(tls, (request, response) => {
      response.on('error', () => {}).setHeader('connection', 'close');
      const answered = text(request).then((body) => {
        const { hosts } = body === '' ? { hosts: [] } : (JSON.parse(body) as { hosts: string[] });
        answer({ request, hosts, response, socket });
      });
      answered.catch(() => socket.destroy());
    });
    server.on('tlsClientError', () => {}).emit('connection', socket);
  };
}

/** Shakes hands as these options say, and then has the connection, the one below TLS too. */
export function shakingHands(tls: TlsOptions, then: (socket: Socket) => void = () => {}): Behaviour {
  return (socket) => {
    const server = createTlsServer(tls, (secure) => {
      secure.on('error', () => {});
      then(socket);
    });
    server.on('tlsClientError', () => {}).emit('connection', socket);
  };
}

/**
 * Shakes hands behind a relay that lets the client have everything that TLS says, its last alert too: a server that closes
 * its connection while the client still sends resets it, and what was under way is lost.
 */
export function relayingAlerts(tls: TlsOptions): Behaviour {
  return (socket) => {
    const [outer, inner] = duplexPair();
    for (const end of [outer, inner]) end.on('error', () => {});
    outer.pipe(socket);
    socket.on('data', (bytes) => void outer.write(bytes));
    shakingHands(tls)(inner as unknown as Socket);
  };
}

/** Sends a text byte by byte, until it has ended or nobody listens. */
export function trickle(response: ServerResponse | Socket, bytes: string, everyMs: number): void {
  let sent = 0;
  const timer = setInterval(() => {
    if (sent < bytes.length) response.write(bytes.charAt(sent++));
    else clearInterval(timer);
  }, everyMs);
  response.on('close', () => clearInterval(timer));
}

/** Sends so many bytes, as fast as they are taken, until somebody closes the connection. */
export function flood(response: ServerResponse, bytes: number): void {
  const chunk = Buffer.alloc(64 * 1024, ' ');
  let left = bytes;
  const send = (): void => {
    while (left > 0 && !response.destroyed) {
      left -= chunk.length;
      if (!response.write(chunk)) return void response.once('drain', send);
    }
    response.end();
  };
  send();
}
