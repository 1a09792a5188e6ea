import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { CertificateAuthority, type KeyPair } from '../../../infra/local/certificates.ts';
import { type Authorities, makeFolder } from './folder.ts';
import { VERIFIER } from './installed.ts';
import { freePort } from './ports.ts';
import { ProcessGroup } from './process-group.ts';
import { verifierSettings, type Webhook } from './settings.ts';

const ASK_EVERY_MS = 50;
const ANSWER_LIMIT_MS = 20_000;
const REQUEST_LIMIT_MS = 30_000;

export interface KeylimeOptions {
  readonly webhook?: Webhook;
  /** Variables in place of those of settings.ts, such as `KEYLIME_VERIFIER_QUOTE_INTERVAL` (seconds). */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface Question {
  readonly method?: string;
  /** Sent as JSON; without it there is no content type either. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Another client certificate than the operator's; null is none. */
  readonly as?: KeyPair | null;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Of what the verifier says of an agent, what tests look at. Times are epoch seconds by its clock. */
export interface AgentStatus {
  readonly operational_state: number | null;
  readonly attestation_status: string;
  readonly attestation_count: number;
  readonly last_received_quote: number | null;
  readonly last_successful_attestation: number | null;
  readonly severity_level: number | null;
  readonly last_event_id: string | null;
  readonly has_runtime_policy: number;
  readonly tpm_policy: string;
}

/** A Keylime verifier 7.14.3 on loopback, with its database, its certificates and its log in a temporary folder. */
export class Keylime {
  /** KEYLIME_DIR; `cv_data.sqlite` is there. */
  readonly folder: string;
  readonly port: number;
  /** Who issued the verifier's server certificate, which is for localhost, 127.0.0.1 and ::1. */
  readonly servers: CertificateAuthority;
  /** Whose clients the verifier admits. Its own certificate, for agents and the webhook, is of it, too. */
  readonly clients: CertificateAuthority;
  /** The client certificate with which `ask` asks. */
  readonly operator: KeyPair;
  readonly #env: NodeJS.ProcessEnv;
  #group: ProcessGroup;

  private constructor(folder: string, port: number, parts: Parts, env: NodeJS.ProcessEnv) {
    [this.folder, this.port] = [folder, port];
    ({ servers: this.servers, clients: this.clients, operator: this.operator } = parts);
    this.#env = env;
    this.#group = this.#spawn();
  }

  /** Resolves when the verifier answers. Throws with the end of its log when it does not. */
  static async start({ webhook, settings = {} }: KeylimeOptions = {}): Promise<Keylime> {
    const servers = await CertificateAuthority.create('servers');
    const clients = await CertificateAuthority.create('clients');
    const operator = await clients.client({ commonName: 'operator' });
    const [folder, port] = [await makeFolder({ servers, clients }, webhook), await freePort()];
    const { PATH, LANG, TMPDIR } = process.env;
    const inherited = { PATH, LANG, TMPDIR, PYTHONUNBUFFERED: '1' };
    const env = { ...inherited, ...verifierSettings(folder, port, webhook?.url), ...settings };
    const keylime = new Keylime(folder, port, { servers, clients, operator }, env);
    try {
      await keylime.#untilReady();
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
    return keylime;
  }

  /** What the verifier printed since its last start. */
  get log(): string {
    return this.#group.log;
  }

  /** One request on a connection of its own. Rejects with the error of the connection, such as a TLS alert. */
  async ask(path: string, { method = 'GET', body, headers = {}, as = this.operator }: Question = {}): Promise<Answer> {
    const sent = request({
      host: '127.0.0.1',
      port: this.port,
      path,
      method,
      agent: false,
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
      ca: this.servers.cert,
      ...(as ?? {}),
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) };
  }

  /** What the verifier says of an agent. Throws where it does not know it. */
  async status(id: string): Promise<AgentStatus> {
    return statusOf(await this.ask(`/v2.1/agents/${id}`));
  }

  /** Asks until the answer is as wanted. Throws, with the last one, after 20 s or the given time. */
  async untilAnswer(path: string, isIt: (answer: Answer) => boolean, limitMs = ANSWER_LIMIT_MS): Promise<Answer> {
    const endsAt = performance.now() + limitMs;
    for (;;) {
      const answer = await this.ask(path);
      if (isIt(answer)) return answer;
      if (performance.now() > endsAt) throw new Error(`the verifier still answers ${answer.status}: ${answer.body}`);
      await sleep(ASK_EVERY_MS);
    }
  }

  /** Asks until it says that of the agent. Throws, with what it said last, after 20 s or the given time. */
  async untilStatus(id: string, isIt: (status: AgentStatus) => boolean, limitMs?: number): Promise<AgentStatus> {
    const isStatus = (answer: Answer): boolean => isIt(statusOf(answer));
    return statusOf(await this.untilAnswer(`/v2.1/agents/${id}`, isStatus, limitMs));
  }

  /** Stops it and starts it again, with the same port, database and certificates. */
  async restart(): Promise<void> {
    await this.#group.stop();
    await this.startAgain();
  }

  /** Starts it after `kill`. */
  async startAgain(): Promise<void> {
    this.#group = this.#spawn();
    await this.#untilReady();
  }

  /** Ends it without asking: connections are refused from then on. */
  kill(): Promise<void> {
    return this.#group.kill();
  }

  /** Ends its workers alone. It starts others, which poll no agent that was enrolled since it started itself. */
  async killWorkers(): Promise<void> {
    const before = this.#workers();
    for (const pid of before) process.kill(pid, 'SIGKILL');
    await this.#group.untilReady(() => {
      const now = this.#workers();
      return Promise.resolve(now.length === before.length && now.every((pid) => !before.includes(pid)));
    });
    await this.#untilReady();
  }

  /** Stops it and removes its folder. */
  async stop(): Promise<void> {
    await this.#group.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #spawn(): ProcessGroup {
    return new ProcessGroup(VERIFIER, this.folder, this.#env);
  }

  #untilReady(): Promise<void> {
    return this.#group.untilReady(() =>
      this.ask('/versions').then(
        ({ status }) => status === 200 || status === 410,
        () => false,
      ),
    );
  }

  #workers(): number[] {
    const { pid } = this.#group;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    // Before them came the group's watcher and what keeps the memory that they share.
    return children.slice(2).map(Number);
  }
}

function statusOf({ status, body }: Answer): AgentStatus {
  if (status !== 200) throw new Error(`the verifier answers ${status}: ${body}`);
  return (JSON.parse(body) as { results: AgentStatus }).results;
}

interface Parts extends Authorities {
  readonly operator: KeyPair;
}
