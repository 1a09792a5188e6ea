import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { text } from 'node:stream/consumers';
import { TLSSocket } from 'node:tls';
import { type Clock, systemClock } from '../../lambda/clock.ts';
import type { KeyPair } from './certificates.ts';
import type { AgentRecord } from './keylime-agents.ts';
import { type Cost, Workers } from './keylime-workers.ts';
import { close, listen } from './listen.ts';

/** One request as the verifier understood it. */
export interface Asked {
  /** One agent, all with their records, all ids, which versions there are, or what has no route. */
  readonly kind: 'agent' | 'bulk' | 'ids' | 'versions' | 'nothing';
  /** The agent's id, as it stands in the path. */
  readonly id?: string;
  readonly request: IncomingMessage;
}

export interface KeylimeServerOptions extends KeyPair {
  /** The authority of the client certificates that it takes. */
  readonly ca: string;
  readonly port?: number;
  /** What the verifier has of an agent at a time, epoch seconds; nothing of an id that was not enrolled. */
  readonly agent: (id: string, now: number) => AgentRecord | undefined;
  /** The ids of those that are enrolled. */
  readonly ids: () => Iterable<string>;
  /** Its `Date`, and the time that records are of. */
  readonly clock?: Clock;
  /** How long its answers take; no time unless given. */
  readonly cost?: Cost;
}

interface Answer {
  readonly status: number;
  readonly reason?: string;
  readonly type: string;
  readonly body: string;
}

const TORNADO = 'TornadoServer/6.6.1';
const JSON_OF_AGENTS = 'application/json';
const JSON_OF_FAULTS = 'application/json; charset=UTF-8';
const HTML = 'text/html; charset=UTF-8';
const VERSIONS = ['1.0', '2.0', '2.1', '2.2', '2.3', '2.4', '2.5', '2.6', '3.0'];
/** Without a `v`, and whole versions mean their `.0`. `v1.0` is listed and has no route. */
const AGENTS = /^\/v(2(?:\.[0-6])?|3\.0)\/agents(?:\/([^/]*)\/?)?$/;
const AGENT_ID = /^[\w.-]+$/;

/**
 * A TLS server that answers a consumer's GETs as Keylime's verifier 7.14.3 does in pull mode; it was compared with one, answer by
 * answer. What it does not do: other methods (405), `?verifier=` of several verifiers but for an unknown one, and TLS alerts for
 * a client certificate of another authority, in whose place the connection is closed.
 */
export class KeylimeServer {
  readonly port: number;
  /** How many requests of each kind there were so far. */
  readonly counts: Record<Asked['kind'], number> = { agent: 0, bulk: 0, ids: 0, versions: 0, nothing: 0 };
  /** The most requests that were under way at once. */
  mostAtOnce = 0;
  /**
   * Goes before each answer, which waits for it. Where it returns true, there is none: what it did with the response is all, and
   * a response that it leaves alone stays open.
   */
  instead: (asked: Asked, response: ServerResponse) => boolean | Promise<boolean> = () => false;
  readonly #server: Server;
  readonly #options: KeylimeServerOptions;
  readonly #clock: Clock;
  readonly #workers: Workers;
  #underWay = 0;

  private constructor(server: Server, port: number, options: KeylimeServerOptions) {
    this.#server = server;
    this.port = port;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#workers = new Workers(options.cost, this.#clock);
  }

  static async start(options: KeylimeServerOptions): Promise<KeylimeServer> {
    const { cert, key, ca, port } = options;
    // Without a certificate there is a connection, and 403 over it.
    const tls = { cert, key, ca, requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2' as const };
    const server = createServer(tls);
    const keylime = new KeylimeServer(server, await listen(server, port), options);
    // Before HTTP gets the connection, which may have brought the request already.
    server.prependListener('secureConnection', (socket: TLSSocket) => {
      if (!socket.authorized && isShown(socket)) socket.destroy();
    });
    server.on('request', (request, response) => {
      void keylime.#receive(request, response).catch(() => response.destroy());
    });
    server.on('tlsClientError', () => {});
    return keylime;
  }

  close(): Promise<void> {
    return close(this.#server);
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#underWay);
    response.on('error', () => {}).on('close', () => this.#underWay--);
    const body = await text(request);
    const asked = understand(request);
    this.counts[asked.kind]++;
    if (await this.instead(asked, response)) return;
    const { ids } = this.#options;
    await this.#workers.work(request.socket, asked.kind === 'bulk' ? [...ids()].length : 0);
    send(request, response, this.#answer(asked, body), this.#clock.now());
  }

  #answer(asked: Asked, body: string): Answer {
    const { request, kind, id = '' } = asked;
    if (kind === 'versions') {
      return success({ current_version: '2.6', supported_versions: VERSIONS });
    }
    if (kind === 'nothing') return { status: 404, type: HTML, body: '' };
    return refuse(asked, body) ?? (kind === 'agent' ? this.#answerAgent(id) : this.#answerAgents(kind, request));
  }

  #answerAgent(id: string): Answer {
    if (!AGENT_ID.test(id)) return agentFault(400, 'agent_id not not valid');
    const record = this.#options.agent(id, this.#seconds());
    return record === undefined ? agentFault(404, 'agent id not found') : success(record);
  }

  #answerAgents(kind: 'bulk' | 'ids', request: IncomingMessage): Answer {
    const { agent, ids } = this.#options;
    const now = this.#seconds();
    const verifier = queryOf(request).get('verifier') ?? '';
    const all = [...ids()].flatMap((id) => {
      const record = agent(id, now);
      return record === undefined || (verifier !== '' && record.verifier_id !== verifier)
        ? []
        : [[id, record] as const];
    });
    return success(kind === 'bulk' ? Object.fromEntries(all) : { uuids: all.map(([id]) => [id]).sort() });
  }

  #seconds(): number {
    return Math.floor(this.#clock.now() / 1000);
  }
}

/** Whether the client's certificate is a good one and has a common name: each that has may do everything. */
function isAdministrator({ socket }: IncomingMessage): boolean {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return false;
  const { subject } = socket.getPeerCertificate() as { readonly subject?: { readonly CN?: string } };
  return Boolean(subject?.CN);
}

/** Whether the client has shown a certificate, whoever made it. */
function isShown(socket: TLSSocket): boolean {
  return Object.keys(socket.getPeerCertificate()).length > 0;
}

function queryOf({ url = '' }: IncomingMessage): URLSearchParams {
  const query = url.indexOf('?');
  return new URLSearchParams(query === -1 ? '' : url.slice(query));
}

function understand(request: IncomingMessage): Asked {
  const path = request.url?.split('?')[0] ?? '';
  if (/^\/versions?\/?$/.test(path)) return { kind: 'versions', request };
  const match = AGENTS.exec(path);
  if (match === null) return { kind: 'nothing', request };
  const id = match[2] ?? '';
  if (id !== '') return { kind: 'agent', id, request };
  // Any text means yes, `false` too.
  const isBulk = queryOf(request)
    .getAll('bulk')
    .some((value) => value !== '');
  return { kind: isBulk ? 'bulk' : 'ids', request };
}

/** Why a request with a route is not answered, if so: in the order in which the verifier looks. */
function refuse({ kind, request }: Asked, body: string): Answer | undefined {
  if (request.url?.startsWith('/v3.0/') === true) return { status: 500, type: HTML, body: '' };
  if (request.method !== 'GET') return { status: 405, type: HTML, body: '' };
  // Who shows a token is an agent, whatever the certificate says.
  const token = request.headers.authorization ?? '';
  if (token !== '') {
    const isToken = token.startsWith('Bearer ');
    return fault(401, 'Unauthorized', isToken ? 'Invalid authentication token' : 'Invalid Authorization header format');
  }
  if (!isAdministrator(request)) {
    const isList = kind !== 'agent';
    const what = isList
      ? 'list_agents requires admin authentication (mTLS certificate)'
      : 'read_agent requires authentication';
    return fault(403, 'Forbidden', `Action ${what}`);
  }
  if (/^application\/(vnd\.api\+)?json/.test(request.headers['content-type'] ?? '') && body === '') {
    return { status: 400, reason: 'Malformed Request Parameter', type: HTML, body: '' };
  }
  return undefined;
}

function success(results: unknown): Answer {
  return { status: 200, type: JSON_OF_AGENTS, body: toJson({ code: 200, status: 'Success', results }) };
}

function agentFault(code: number, status: string): Answer {
  return { status: code, type: JSON_OF_AGENTS, body: toJson({ code, status, results: {} }) };
}

function fault(status: number, title: string, detail: string): Answer {
  return { status, type: JSON_OF_FAULTS, body: toJson({ errors: [{ status: String(status), title, detail }] }) };
}

/** Headers as Tornado writes them: without `Connection` or `Keep-Alive`, from which a client would learn how long it may keep it. */
function send(request: IncomingMessage, response: ServerResponse, answer: Answer, now: number): void {
  const { status, reason, type, body } = answer;
  response.sendDate = false;
  response.removeHeader('connection');
  response.setHeader('Server', TORNADO);
  response.setHeader('Date', new Date(now).toUTCString());
  response.setHeader('X-Request-Id', '');
  if (status === 200) {
    const etag = `"${createHash('sha1').update(body).digest('hex')}"`;
    response.setHeader('Etag', etag);
    if (request.headers['if-none-match'] === etag) return void response.writeHead(304).end();
  }
  response.setHeader('Content-Type', type);
  response.setHeader('Content-Length', body.length);
  if (reason === undefined) response.writeHead(status).end(body);
  else response.writeHead(status, reason).end(body);
}

/** JSON as Python writes it: a space behind each separator, and nothing but ASCII. */
export function toJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toJson).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value)
      .map(([name, member]) => `${toJson(name)}: ${toJson(member)}`)
      .join(', ')}}`;
  }
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
