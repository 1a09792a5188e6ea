import { generateKeyPairSync, randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { close, listen } from '../../../infra/local/listen.ts';
import { selfSigned } from '../../fakes/self-signed.ts';
import { enrolmentOf, type Policy } from './enrolment.ts';
import type { Answer, Keylime } from './keylime.ts';
import type { SoftwareTpm } from './swtpm.ts';

/** The protocol of agents that is spoken here. */
const VERSION = '2.6';
const BOOT_TIME = 1_700_000_000;

/** An agent as rust-keylime is one to a verifier that pulls: an HTTPS server that has its TPM sign what it is asked. */
export class Agent {
  readonly id: string;
  readonly keylime: Keylime;
  readonly tpm: SoftwareTpm;
  /** Self-signed, PEM text: the verifier is told at the enrolment to trust it. */
  readonly cert: string;
  readonly #server: Server;
  readonly #publicKey: string;
  readonly #waiting: (() => void)[] = [];
  #port = 0;
  #isHanging = false;
  #fault: ((response: ServerResponse) => void) | undefined;

  private constructor(id: string, keylime: Keylime, tpm: SoftwareTpm, { cert, key }: { cert: string; key: string }) {
    [this.id, this.keylime, this.tpm, this.cert] = [id, keylime, tpm, cert];
    this.#publicKey = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    }).publicKey;
    const callers = { ca: keylime.clients.cert, requestCert: true, rejectUnauthorized: true };
    this.#server = createServer({ cert, key, ...callers }, (request, response) => this.#take(request, response));
  }

  /** Starts one that the verifier does not know of yet. Several may share a TPM. */
  static async start(keylime: Keylime, tpm: SoftwareTpm, id: string = randomUUID()): Promise<Agent> {
    const agent = new Agent(id, keylime, tpm, await selfSigned('EC'));
    agent.#port = await listen(agent.#server);
    return agent;
  }

  get port(): number {
    return this.#port;
  }

  /** Has the verifier poll it from now on, and hold it to a policy. Throws where the verifier refuses it. */
  async enrol(policy: Policy = {}): Promise<void> {
    await this.#order('POST', '', enrolmentOf(this, policy));
  }

  /** Has the verifier, which has given it up, poll it again. */
  async reactivate(): Promise<void> {
    await this.#order('PUT', '/reactivate', {});
  }

  /** Has the verifier forget it. Resolves when it has, which it does at its next poll of the agent; throws after 20 s. */
  async delete(): Promise<void> {
    await this.#order('DELETE', '');
    await this.keylime.untilAnswer(`/v2.1/agents/${this.id}`, ({ status }) => status === 404);
  }

  /** Takes requests and does not answer, until `answerAgain`. */
  hang(): void {
    this.#isHanging = true;
  }

  /** Answers all requests in another way than an agent does, until `answerAgain`. */
  fail(answer: (response: ServerResponse) => void): void {
    this.#fault = answer;
  }

  /** Connections are refused, until `answerAgain`. */
  async die(): Promise<void> {
    await close(this.#server);
  }

  /** Is well again; what still waits for an answer since it hung gets it. */
  async answerAgain(): Promise<void> {
    [this.#isHanging, this.#fault] = [false, undefined];
    if (!this.#server.listening) await listen(this.#server, this.#port);
    for (const answer of this.#waiting.splice(0)) answer();
  }

  /** Stops it; the verifier is told nothing. */
  async stop(): Promise<void> {
    if (this.#server.listening) await close(this.#server);
  }

  async #order(method: string, what: string, body?: object): Promise<Answer> {
    const question = { method, ...(body === undefined ? {} : { body }) };
    const answer = await this.keylime.ask(`/v${VERSION}/agents/${this.id}${what}`, question);
    if (answer.status !== 200 && answer.status !== 202) {
      throw new Error(`the verifier answers ${method} with ${answer.status}: ${answer.body}`);
    }
    return answer;
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    const answer = (): void =>
      void this.#answer(request, response).catch((error: unknown) => response.destroy(error as Error));
    if (this.#isHanging) this.#waiting.push(answer);
    else answer();
  }

  async #answer({ url = '' }: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#fault !== undefined) {
      this.#fault(response);
      return;
    }
    const results = await this.#resultsOf(new URL(url, 'https://agent'));
    if (results === undefined) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ code: 200, status: 'Success', results }));
  }

  async #resultsOf({ pathname, searchParams }: URL): Promise<object | undefined> {
    if (pathname === '/version') return { supported_versions: [VERSION] };
    switch (pathname.replace(`/v${VERSION}`, '')) {
      case '/quotes/integrity':
        return this.#quote(searchParams);
      case '/keys/vkey':
      case '/notifications/revocation':
        return {};
      default:
        return undefined;
    }
  }

  async #quote(asked: URLSearchParams): Promise<object> {
    const mask = Number(asked.get('mask') ?? '0x0');
    const pcrs = [...Array(24).keys()].filter((pcr) => (mask & (1 << pcr)) !== 0);
    return {
      quote: await this.tpm.quote(pcrs, asked.get('nonce') ?? '', this.#publicKey),
      hash_alg: 'sha256',
      enc_alg: 'rsa2048',
      sign_alg: 'rsassa',
      boottime: BOOT_TIME,
      // Once the verifier has the key, it asks for the rest alone.
      ...(asked.get('partial') === '0' ? { pubkey: this.#publicKey } : {}),
    };
  }
}
