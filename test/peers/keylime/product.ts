import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BusEvent, EventBusServer } from '../../../infra/local/aws/event-bus.ts';
import { HttpApi } from '../../../infra/local/aws/http-api.ts';
import { LambdaService } from '../../../infra/local/aws/lambda-service.ts';
import { MutualTlsFront } from '../../../infra/local/aws/mutual-tls-front.ts';
import { CertificateAuthority, type KeyPair, LOOPBACK_NAMES } from '../../../infra/local/certificates.ts';
import { ROUTE_KEYS, WEBHOOK_ROUTE } from '../../../lambda/http/routes.ts';
import { Cloud, SECRET_ID } from '../../fakes/cloud.ts';
import type { FilterAnswer } from '../../fakes/events.ts';
import type { LambdaEnvironment } from '../../fakes/lambda-environment.ts';
import { KeylimeProxy } from '../../infra/attesters/keylime-proxy.ts';
import { recordOutput, recordSecrets } from '../../reporters/record.ts';
import { Keylime } from './keylime.ts';
import { freePort } from './ports.ts';
import { SoftwareTpm } from './swtpm.ts';

const ASK_EVERY_MS = 100;
const OTHER_LIMIT_MS = 20_000;
const SCHEDULED = { source: 'aws.events', 'detail-type': 'Scheduled Event', detail: {} };
const RECHECK_S = 1;
/** Small enough for more than ten hosts to be read by one GET. */
const FLEET_SIZE = 60;

/** What was answered to a request in Nova's own terms. */
export interface Said {
  /** Of each host: `trusted`, or the reason why it does not pass. */
  readonly said: Readonly<Record<string, string>>;
  /** Epoch milliseconds; NaN where no host passes. */
  readonly validUntil: number;
}

/** Certificates of the parts, and who issued them. */
interface Certificates {
  readonly readers: CertificateAuthority;
  /** With which the function may ask the proxy. */
  readonly reader: KeyPair;
  /** Of the same authority, and without the right to ask. */
  readonly guest: KeyPair;
}

/**
 * The product beside a real verifier, on loopback: both bundles in processes of their own, behind a front that demands client
 * certificates of schedulers and of the verifier, which posts to the webhook; the proxy of infra/attesters/keylime/ between
 * function and verifier; table, secret and event bus.
 */
export class Product {
  /** `ca.pem`, `client.pem` and `client.key` of a scheduler. */
  readonly folder = mkdtempSync(join(tmpdir(), 'product-'));
  /** The filter's variables, but those of the hand-over. */
  env: Readonly<Record<string, string>> = {};
  readonly #validitySeconds: number;
  readonly #closers: (() => Promise<unknown>)[] = [];
  #parts: Parts | undefined;
  #isOver = false;

  private constructor(validitySeconds: number) {
    this.#validitySeconds = validitySeconds;
  }

  /** @param options.validitySeconds how long a quote counts */
  static async start({ validitySeconds }: { readonly validitySeconds: number }): Promise<Product> {
    const product = new Product(validitySeconds);
    try {
      product.#parts = await product.#start();
    } catch (error) {
      await product.close();
      throw error;
    }
    return product;
  }

  get parts(): Parts {
    if (this.#parts === undefined) throw new Error('the product was not started');
    return this.#parts;
  }

  /** Ends all of it, and whatever `use` was given. */
  async close(): Promise<void> {
    this.#isOver = true;
    for (const close of this.#closers.reverse()) await close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Has something that was started be stopped before what was started earlier. */
  async use<T>(starting: Promise<T>, stop: (what: T) => Promise<unknown>): Promise<T> {
    const what = await starting;
    this.#closers.push(() => stop(what));
    return what;
  }

  /** Posts as a scheduler does, with its certificate. Rejects where the status is not 200. */
  async post(path: string, body: unknown): Promise<unknown> {
    const file = (name: string): string => readFileSync(join(this.folder, name), 'utf8');
    const tls = { ca: file('ca.pem'), cert: file('client.pem'), key: file('client.key') };
    const headers = { 'content-type': 'application/json' };
    const sent = request(`${this.parts.api.url}${path}`, { method: 'POST', agent: false, headers, ...tls });
    sent.end(JSON.stringify(body));
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    if (response.statusCode !== 200) throw new Error(`${path} is answered with ${response.statusCode}`);
    return json(response);
  }

  /** Asks in Nova's own terms for trusted hosts. */
  async ask(...hosts: string[]): Promise<Said> {
    const answer = (await this.post('/filter', {
      filter_properties: { instance_type: { extra_specs: { 'trust:trusted_host': 'trusted' } } },
      host_states: hosts.map((nodename) => ({ nodename })),
    })) as FilterAnswer;
    const passed = answer.hosts.map((host): [string, string] => [host, 'trusted']);
    const rejected = answer.rejected.flatMap((group) =>
      group.hosts.map((host): [string, string] => [host, group.reason]),
    );
    return { said: Object.fromEntries([...passed, ...rejected]), validUntil: Date.parse(answer.valid_until ?? '') };
  }

  /** Asks about a host until something else is said of it. Throws after 20 s or the given time. */
  async untilOther(host: string, than: string, limitMs = OTHER_LIMIT_MS): Promise<string> {
    const endsAt = performance.now() + limitMs;
    for (;;) {
      const word = (await this.ask(host)).said[host] ?? '';
      if (word !== than) return word;
      if (performance.now() > endsAt) throw new Error(`${host} is still ${than}`);
      await sleep(ASK_EVERY_MS);
    }
  }

  /**
   * Asks about a trusted host until it is not. Throws where an answer lets it pass when its own `valid_until` was over.
   * @returns the last `valid_until`, epoch milliseconds, and the reason that came after it
   */
  async untilEnd(host: string): Promise<{ readonly end: number; readonly word: string | undefined }> {
    for (let end = NaN; ;) {
      const askedAt = Date.now();
      const { said, validUntil } = await this.ask(host);
      const word = said[host];
      if (word !== 'trusted') return { end, word };
      if (askedAt >= validUntil) throw new Error(`${host} passes ${askedAt - validUntil} ms after its end`);
      end = validUntil;
      await sleep(ASK_EVERY_MS);
    }
  }

  /** The first event, of those from a number on, that a host's level is now another; it may have come already. */
  async change(host: string, to: string, from: number): Promise<BusEvent> {
    const { bus } = this.parts;
    for (let seen = from; ; seen++) {
      await bus.taken(seen + 1);
      const event = bus.events[seen];
      if (event?.detail['host'] === host && event.detail['to'] === to) return event;
    }
  }

  /** Has `refresh`, its own or another, make a scheduled round. */
  async round(refresh = this.parts.refresh): Promise<void> {
    const made = refresh.invoke(SCHEDULED);
    while (!this.#isOver && (made.state === 'waiting' || made.state === 'running')) await sleep(ASK_EVERY_MS);
  }

  /** Does something over and over, until it is told to stop. */
  keep(what: () => Promise<void>): AbortController {
    const stopping = new AbortController();
    void (async () => {
      while (!this.#isOver && !stopping.signal.aborted) await what();
    })();
    return stopping;
  }

  /** Makes it the secret's only value. */
  keepSecret(pair: KeyPair): void {
    const { cloud } = this.parts;
    cloud.secretsManager.secrets.delete(SECRET_ID);
    cloud.secretsManager.secrets.set(SECRET_ID, JSON.stringify({ ...pair, ca: cloud.authority.cert }));
  }

  /** The refreshing function, with these variables. */
  async refreshOf(env: Readonly<Record<string, string>>): Promise<LambdaService> {
    const print = (line: string): void => recordOutput('what the function printed', line);
    const lambda = LambdaService.start({ functionName: 'refresh', env, print });
    return this.use(lambda, (each) => each.close());
  }

  async #start(): Promise<Parts> {
    const [front, port] = [await MutualTlsFront.make(this.folder), await freePort()];
    const cloud = await this.use(Cloud.start(), (each) => each.close());
    const starting = EventBusServer.start(() => {});
    const bus = await this.use(starting, (each) => each.close());
    const tpm = await this.use(SoftwareTpm.start(), (each) => each.stop());
    const webhook = { url: `https://localhost:${port}/keylime/webhook`, authority: front.server.ca };
    const keylime = await this.use(Keylime.start({ webhook }), (each) => each.stop());
    const certificates = await issue();
    const { readers, reader } = certificates;
    const server = await cloud.authority.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
    for (const { key } of [server, keylime.operator]) recordSecrets(key);
    const verifier = { port: keylime.port, client: keylime.operator, authority: keylime.servers.cert };
    const proxy = await this.use(KeylimeProxy.start({ server, readers: readers.cert, verifier }), (each) =>
      each.stop(),
    );
    cloud.secretsManager.secrets.set(SECRET_ID, JSON.stringify({ ...reader, ca: cloud.authority.cert }));
    this.env = {
      ...cloud.env(proxy, await cloud.table()),
      ATTESTATION_SERVICE: 'keylime',
      ATTESTATION_AUTH_TIMEOUT: String(this.#validitySeconds),
      ATTESTATION_RECHECK: String(RECHECK_S),
      ATTESTATION_FLEET_SIZE: String(FLEET_SIZE),
      ATTESTATION_KEYLIME_VERIFIERS: '["CN=verifier"]',
      ATTESTATION_EVENT_BUS: 'trust',
      AWS_ENDPOINT_URL_EVENTBRIDGE: bus.endpoint,
      ...front.env,
    };
    const refresh = await this.refreshOf(this.env);
    const handOver = { ATTESTATION_REFRESH_FUNCTION: 'refresh', AWS_ENDPOINT_URL_LAMBDA: refresh.endpoint };
    const filter = await cloud.environment({ ...this.env, ...handOver });
    // As the truststore of a domain: who vouches for schedulers, and who vouches for the verifier.
    const tls = { ...front.server, ca: `${front.server.ca}\n${keylime.clients.cert}` };
    const routes = [...ROUTE_KEYS, WEBHOOK_ROUTE];
    const serving = HttpApi.start((event) => filter.invoke(event), routes, port, tls);
    const api = await this.use(serving, (each) => each.close());
    return { ...certificates, api, bus, cloud, filter, keylime, proxy, refresh, tpm };
  }
}

interface Parts extends Certificates {
  readonly api: HttpApi;
  readonly bus: EventBusServer;
  readonly cloud: Cloud;
  readonly filter: LambdaEnvironment;
  readonly keylime: Keylime;
  readonly proxy: KeylimeProxy;
  readonly refresh: LambdaService;
  readonly tpm: SoftwareTpm;
}

async function issue(): Promise<Certificates> {
  const readers = await CertificateAuthority.create('readers');
  const reader = await readers.client({ commonName: 'trusted-filter', organization: 'example' });
  const guest = await readers.client({ commonName: 'guest', organization: 'example' });
  for (const { key } of [reader, guest]) recordSecrets(key);
  return { readers, reader, guest };
}
