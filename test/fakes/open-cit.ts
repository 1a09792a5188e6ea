import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { text } from 'node:stream/consumers';
import type { KeyPair } from '../../infra/local/certificates.ts';
import { close, listen } from '../../infra/local/listen.ts';

const PATH = '/mtwilson/v2/integrations/openstack/PollHosts';
/** What Jackson knows of a query; of anything else it makes a 400. */
const MEMBERS = new Set(['count', 'pcrmask', 'hosts']);
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

export interface OpenCitOptions extends KeyPair {
  /** `username:password` of those that may ask. */
  login: string;
  /** The hosts that are registered, and the level of each. */
  readonly levels: ReadonlyMap<string, 'trusted' | 'untrusted'>;
}

/**
 * Open CIT's poll for OpenStack, by its sources: `services/mtwilson-attestation-ws-v2` (the path, what it takes),
 * `HostTrustBO.getPollHosts` (a host that it can't attest is `unknown`, all have the time of the request), and
 * `HttpBasicAuthenticationFilter` (whoever has no login gets 401 with a challenge and no body). It asks nobody for a client
 * certificate.
 */
export class OpenCit {
  readonly port: number;
  readonly options: OpenCitOptions;
  /** Every request so far, also one that was refused. */
  readonly requests: IncomingMessage[] = [];
  readonly #server: Server;

  private constructor(server: Server, port: number, options: OpenCitOptions) {
    this.#server = server;
    this.port = port;
    this.options = options;
  }

  static async start(options: OpenCitOptions): Promise<OpenCit> {
    const { cert, key } = options;
    const server = createServer({ cert, key });
    const openCit = new OpenCit(server, await listen(server), options);
    server.on('request', (request, response) => {
      openCit.#receive(request, response).catch(() => response.destroy());
    });
    return openCit;
  }

  close(): Promise<void> {
    return close(this.#server);
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push(request);
    const body = await text(request);
    const expected = `Basic ${Buffer.from(this.options.login).toString('base64')}`;
    if (request.headers.authorization !== expected) {
      return void response.writeHead(401, { 'www-authenticate': 'Basic realm="application"' }).end();
    }
    if (request.url !== PATH) return void response.writeHead(404).end();
    if (request.method !== 'POST') return void response.writeHead(405).end();
    if (request.headers['content-type'] !== 'application/json') return void response.writeHead(415).end();
    const query = JSON.parse(body) as { hosts: string[] };
    if (Object.keys(query).some((member) => !MEMBERS.has(member))) return void response.writeHead(400).end();
    const vtime = brokenTime(new Date());
    const hosts = query.hosts.map((host) => ({
      host_name: host,
      trust_lvl: this.options.levels.get(host) ?? 'unknown',
      vtime,
    }));
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ hosts }));
  }
}

/** C's `%c` in the server's zone, with the month where the minutes belong. */
function brokenTime(at: Date): string {
  const two = (number: number): string => String(number).padStart(2, '0');
  const clock = [at.getHours(), at.getMonth() + 1, at.getSeconds()].map(two).join(':');
  return `${DAYS[at.getDay()]} ${MONTHS[at.getMonth()]} ${at.getDate()} ${clock} ${at.getFullYear()}`;
}
