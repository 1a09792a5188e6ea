/**
 * The product against the real thing: both bundles, through the nginx of infra/attesters/keylime/, ask a Keylime verifier about
 * agents whose quotes a TPM signs; the verifier posts to the product's webhook; schedulers ask over mutual TLS.
 */
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { EventBusServer } from '../../../infra/local/aws/event-bus.ts';
import { HttpApi } from '../../../infra/local/aws/http-api.ts';
import { LambdaService } from '../../../infra/local/aws/lambda-service.ts';
import { MutualTlsFront } from '../../../infra/local/aws/mutual-tls-front.ts';
import { CertificateAuthority, type KeyPair, LOOPBACK_NAMES } from '../../../infra/local/certificates.ts';
import { ROUTE_KEYS, WEBHOOK_ROUTE } from '../../../lambda/http/routes.ts';
import { uuid5 } from '../../../lambda/service/keylime/agent-ids.ts';
import { MESSAGES } from '../../../lambda/protocols/messages.ts';
import { Cloud, SECRET_ID } from '../../fakes/cloud.ts';
import { answerOf, type FilterAnswer, filterEvent, reasonsOf } from '../../fakes/events.ts';
import type { LambdaEnvironment } from '../../fakes/lambda-environment.ts';
import { KeylimeProxy, NGINX } from '../../infra/attesters/keylime-proxy.ts';
import { recordSecrets } from '../../reporters/record.ts';
import { Agent } from './agent.ts';
import { keylimeIsThere, whatKeylimeLacks } from './installed.ts';
import { Keylime } from './keylime.ts';
import { freePort } from './ports.ts';
import { putRows } from './rows.ts';
import { SoftwareTpm } from './swtpm.ts';

const DNS = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
const GOOD = 'compute-1.example.com';
/** The one whose register is changed. */
const CHANGED = 'compute-2.example.com';
const DYING = 'compute-3.example.com';
const HANGING = 'compute-4.example.com';
const UNCHECKED = 'compute-5.example.com';
/** Not known to the verifier. */
const STRANGER = 'compute-6.example.com';

const ZEROS = '0'.repeat(64);
const VALIDITY_S = 10;
/** How long an environment answers from its memory before it looks at the table again. */
const MEMORY_MS = 5_000;
/** Keylime tells times in whole seconds: what was at 8.9 s is said to have been at 8. */
const ROUNDED_MS = 1_000;
const ASK_EVERY_MS = 100;
const SCHEDULED = { source: 'aws.events', 'detail-type': 'Scheduled Event', detail: {} };

const PYTHON = ['python3', '/usr/bin/python3'].find(
  (python) => spawnSync(python, ['-c', 'import nova.scheduler.filters']).status === 0,
);

const missing = whatKeylimeLacks() ?? (NGINX === undefined ? 'nginx is not installed' : undefined);
if (missing !== undefined) {
  console.warn(`left out: ${missing}`);
  test(`left out: ${missing}`, () => {});
}

(keylimeIsThere() && NGINX !== undefined ? describe : describe.skip)('with a real verifier behind the proxy', () => {
  let folder: string;
  let cloud: Cloud;
  let bus: EventBusServer;
  let refresh: LambdaService;
  let tpm: SoftwareTpm;
  let keylime: Keylime;
  let proxy: KeylimeProxy;
  let env: Record<string, string>;
  let environment: LambdaEnvironment;
  let api: HttpApi;
  let guest: KeyPair;
  let isOver = false;
  const agents = new Map<string, Agent>();
  const printed: string[] = [];
  const closers: (() => Promise<unknown>)[] = [];

  async function started<T>(starting: Promise<T>, stop: (what: T) => Promise<unknown>): Promise<T> {
    const what = await starting;
    closers.push(() => stop(what));
    return what;
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'product-'));
    const [front, port] = [await MutualTlsFront.make(folder), await freePort()];
    cloud = await started(Cloud.start(), (each) => each.close());
    bus = await started(
      EventBusServer.start(() => {}),
      (each) => each.close(),
    );
    tpm = await started(SoftwareTpm.start(), (each) => each.stop());
    const webhook = { url: `https://localhost:${port}/keylime/webhook`, authority: front.server.ca };
    keylime = await started(Keylime.start({ webhook }), (each) => each.stop());
    const readers = await CertificateAuthority.create('readers');
    const reader = await readers.client({ commonName: 'trusted-filter', organization: 'example' });
    guest = await readers.client({ commonName: 'guest', organization: 'example' });
    const server = await cloud.authority.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
    for (const { key } of [reader, guest, server, keylime.operator]) recordSecrets(key);
    const verifier = { port: keylime.port, client: keylime.operator, authority: keylime.servers.cert };
    const parts = { server, readers: readers.cert, verifier };
    proxy = await started(KeylimeProxy.start(parts), (each) => each.stop());
    cloud.secretsManager.secrets.set(SECRET_ID, JSON.stringify({ ...reader, ca: cloud.authority.cert }));
    env = {
      ...cloud.env(proxy, await cloud.table()),
      ATTESTATION_SERVICE: 'keylime',
      ATTESTATION_AUTH_TIMEOUT: String(VALIDITY_S),
      ATTESTATION_RECHECK: '1',
      ATTESTATION_FLEET_SIZE: '60',
      ATTESTATION_KEYLIME_VERIFIERS: '["CN=verifier"]',
      ATTESTATION_EVENT_BUS: 'trust',
      AWS_ENDPOINT_URL_EVENTBRIDGE: bus.endpoint,
      ...front.env,
    };
    const print = (line: string): void => void printed.push(line);
    refresh = await started(LambdaService.start({ functionName: 'refresh', env, print }), (each) => each.close());
    const handOver = { ATTESTATION_REFRESH_FUNCTION: 'refresh', AWS_ENDPOINT_URL_LAMBDA: refresh.endpoint };
    environment = await cloud.environment({ ...env, ...handOver });
    // As the truststore of the domain: those who vouch for schedulers, and who vouches for the verifier.
    const tls = { ...front.server, ca: `${front.server.ca}\n${keylime.clients.cert}` };
    const routes = [...ROUTE_KEYS, WEBHOOK_ROUTE];
    const handler = (event: unknown) => environment.invoke(event);
    api = await started(HttpApi.start(handler, routes, port, tls), (each) => each.close());
    const policies: [string, Record<number, string[]>][] = [
      [GOOD, { 7: [ZEROS] }],
      [CHANGED, { 23: [ZEROS] }],
      [DYING, { 7: [ZEROS] }],
      [HANGING, { 7: [ZEROS] }],
      [UNCHECKED, {}],
    ];
    for (const [host, pcrs] of policies) {
      const agent = await started(Agent.start(keylime, tpm, uuid5(host, DNS)), (each) => each.stop());
      agents.set(host, agent);
      await agent.enrol({ pcrs });
    }
    for (const { id } of agents.values()) await keylime.untilStatus(id, ({ attestation_count: count }) => count > 0);
  }, 60_000);

  afterAll(async () => {
    isOver = true;
    for (const close of closers.reverse()) await close();
    rmSync(folder, { recursive: true, force: true });
  });

  function agentOf(host: string): Agent {
    const agent = agents.get(host);
    if (agent === undefined) throw new Error(`${host} has no agent`);
    return agent;
  }

  /** Posts as a scheduler does, with its certificate. */
  async function post(path: string, body: unknown): Promise<unknown> {
    const file = (name: string): string => readFileSync(join(folder, name), 'utf8');
    const tls = { ca: file('ca.pem'), cert: file('client.pem'), key: file('client.key') };
    const headers = { 'content-type': 'application/json' };
    const sent = request(`${api.url}${path}`, { method: 'POST', agent: false, headers, ...tls });
    sent.end(JSON.stringify(body));
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(200);
    return json(response);
  }

  /** What is said of hosts in Nova's own terms: `trusted`, or the reason. */
  async function ask(
    ...hosts: string[]
  ): Promise<{ readonly said: Record<string, string>; readonly validUntil: number }> {
    const answer = (await post('/filter', {
      filter_properties: { instance_type: { extra_specs: { 'trust:trusted_host': 'trusted' } } },
      host_states: hosts.map((nodename) => ({ nodename })),
    })) as FilterAnswer;
    const passed = answer.hosts.map((host) => [host, 'trusted']);
    const rejected = answer.rejected.flatMap((group) => group.hosts.map((host) => [host, group.reason]));
    const validUntil = Date.parse(answer.valid_until ?? '');
    return { said: Object.fromEntries([...passed, ...rejected]) as Record<string, string>, validUntil };
  }

  /** Asks about a host until something else is said of it. */
  async function untilOther(host: string, than: string, limitMs = 20_000): Promise<string> {
    const endsAt = performance.now() + limitMs;
    for (;;) {
      const word = (await ask(host)).said[host] ?? '';
      if (word !== than) return word;
      if (performance.now() > endsAt) throw new Error(`${host} is still ${than}`);
      await sleep(ASK_EVERY_MS);
    }
  }

  /** The event that a host's level changed, which may have come already. */
  async function change(host: string, to: string, after = 0) {
    for (let seen = after; ; seen++) {
      await bus.taken(seen + 1);
      const event = bus.events[seen];
      if (event?.detail['host'] === host && event.detail['to'] === to) return event;
    }
  }

  async function lastGoodQuote(host: string): Promise<number> {
    return ((await keylime.status(agentOf(host).id)).last_successful_attestation ?? NaN) * 1000;
  }

  const kubernetes = (nodes: readonly string[]): Promise<unknown> =>
    post('/kubernetes/filter', {
      Pod: { metadata: { name: 'ledger', annotations: { 'trust/trusted-host': 'trusted' } } },
      Nodes: null,
      NodeNames: nodes,
    });

  test('hosts that quote well pass; no policy, or no agent, is not enough', async () => {
    const { said } = await ask(GOOD, CHANGED, DYING, HANGING, UNCHECKED, STRANGER);
    expect(said).toEqual({
      [GOOD]: 'trusted',
      [CHANGED]: 'trusted',
      [DYING]: 'trusted',
      [HANGING]: 'trusted',
      [UNCHECKED]: 'unchecked',
      [STRANGER]: 'unknown',
    });
  });

  test('a host whose register changes is refused, and the bus is told, within 5 s: the verifier says so to the webhook', async () => {
    await ask(CHANGED);
    const before = bus.events.length;
    const changedAt = Date.now();
    await tpm.extendPcr(23, Buffer.alloc(32, 1));
    // Nobody asks meanwhile, and the attestation has not ended.
    const event = await change(CHANGED, 'untrusted', before);
    expect(Date.now() - changedAt).toBeLessThan(5_000);
    expect(event).toMatchObject({ detailType: 'HostTrustChanged', detail: { from: 'trusted', reason: 'untrusted' } });
    expect(await untilOther(CHANGED, 'trusted', MEMORY_MS)).toBe('untrusted');
    const hints = refresh.invocations.filter(({ event: each }) => 'agents' in (each as object));
    expect(hints).toMatchObject([{ event: { agents: [agentOf(CHANGED).id] } }]);
    expect(environment.lines.filter(({ hint }) => hint === 'taken')).toMatchObject([{ client: 'CN=verifier' }]);
  });

  test('Kubernetes is told the same', async () => {
    expect(await kubernetes([GOOD, CHANGED])).toMatchObject({
      NodeNames: [GOOD],
      FailedAndUnresolvableNodes: { [CHANGED]: MESSAGES.untrusted },
      Error: '',
    });
  });

  (PYTHON === undefined ? test.skip : test)("Nova's own filter handler is told the same", async () => {
    const file = (name: string): string => join(folder, name);
    const tls = { ca_file: file('ca.pem'), cert_file: file('client.pem'), key_file: file('client.key') };
    const options = { endpoint: api.url, ...tls, nodes: [CHANGED, GOOD, UNCHECKED] };
    const script = fileURLToPath(new URL('nova_passing.py', import.meta.url));
    const { PATH = '' } = process.env;
    const own = { PYTHONDONTWRITEBYTECODE: '1', OS_NOVA_DISABLE_EVENTLET_PATCHING: '1' };
    const { stdout } = await promisify(execFile)(PYTHON ?? '', [script, JSON.stringify(options)], {
      env: { PATH, ...own },
    });
    expect(JSON.parse(stdout)).toEqual([GOOD]);
  });

  test('it passes again once its register is as it was and the verifier polls it', async () => {
    const before = bus.events.length;
    await tpm.resetPcr(23);
    await agentOf(CHANGED).reactivate();
    expect(await untilOther(CHANGED, 'untrusted')).toBe('trusted');
    await change(CHANGED, 'trusted', before);
    // A record that has kept what was wrong before.
    expect(await keylime.status(agentOf(CHANGED).id)).toMatchObject({ last_event_id: 'pcr_validation.invalid_pcr_23' });
  });

  test('a host that is silent is trusted until its last good quote is too old, though the verifier says PASS', async () => {
    const { id } = agentOf(HANGING);
    agentOf(HANGING).hang();
    await ask(HANGING);
    // Polled all along, so that what is known of it is as new as can be.
    const rounds = keepRefreshing();
    const word = await untilOther(HANGING, 'trusted').finally(() => rounds.abort());
    const refusedAt = Date.now();
    expect(word).toBe('timeout');
    const quotedAt = await lastGoodQuote(HANGING);
    expect(refusedAt).toBeLessThan(quotedAt + VALIDITY_S * 1000 + ROUNDED_MS + 5 * ASK_EVERY_MS);
    expect(refusedAt).toBeGreaterThan(quotedAt + VALIDITY_S * 1000 - ROUNDED_MS);
    expect(await keylime.status(id)).toMatchObject({ operational_state: 3, attestation_status: 'PASS' });
    expect((await ask(GOOD)).said).toEqual({ [GOOD]: 'trusted' });
    await agentOf(HANGING).answerAgain();
  });

  test('a host whose agent dies is unknown as soon as the verifier gives it up, and no later than its quote is worth', async () => {
    expect((await ask(DYING)).said).toEqual({ [DYING]: 'trusted' });
    const before = bus.events.length;
    await agentOf(DYING).die();
    const quotedAt = await lastGoodQuote(DYING);
    const event = await change(DYING, 'unknown', before);
    expect(event.detail).toMatchObject({ from: 'trusted', reason: 'timeout' });
    expect(Date.now()).toBeLessThan(quotedAt + VALIDITY_S * 1000 + 2 * ROUNDED_MS);
    expect(await untilOther(DYING, 'trusted', MEMORY_MS)).toBe('timeout');
    expect(await keylime.status(agentOf(DYING).id)).toMatchObject({ operational_state: 7 });
  });

  test('more hosts than a sixth of the agents are read by one GET, and rows of a verifier that stands still are timeout', async () => {
    const names = (kind: string): string[] => Array.from({ length: 15 }, (_, i) => `${kind}-${i}.example.com`);
    const ids = (kind: string): string[] => names(kind).map((name) => uuid5(name, DNS));
    putRows(keylime, ids('fresh'));
    putRows(keylime, ids('frozen'), { attestedAt: Math.floor(Date.now() / 1000) - VALIDITY_S - 1 });
    const { said } = await ask(...names('fresh'), ...names('frozen'));
    for (const name of names('fresh')) expect([name, said[name]]).toEqual([name, 'trusted']);
    for (const name of names('frozen')) expect([name, said[name]]).toEqual([name, 'timeout']);
    const path = `/agents/${ids('fresh')[0]}`;
    expect(proxy.log.filter((line) => line.includes(path))).toEqual([]);
    expect(proxy.log.filter((line) => line.includes('?bulk=true'))).toHaveLength(1);
  });

  test('while the verifier starts anew nobody loses an attestation', async () => {
    await round();
    expect((await ask(GOOD)).said).toEqual({ [GOOD]: 'trusted' });
    const words: (string | undefined)[] = [];
    const over = new AbortController();
    const asked = (async () => {
      while (!isOver && !over.signal.aborted) {
        words.push((await ask(GOOD)).said[GOOD]);
        await sleep(ASK_EVERY_MS);
      }
    })();
    const rounds = keepRefreshing();
    // So that it has no new quote for a while, and the record says START.
    agentOf(GOOD).hang();
    await keylime.restart();
    const polls = proxy.log.length;
    await round();
    expect(await keylime.status(agentOf(GOOD).id)).toMatchObject({
      operational_state: 1,
      attestation_status: 'PENDING',
    });
    expect(proxy.log.slice(polls).join('\n')).toMatch(new RegExp(`(${agentOf(GOOD).id}|bulk=true) .* status=200`));
    await agentOf(GOOD).answerAgain();
    await keylime.untilStatus(agentOf(GOOD).id, ({ operational_state: state }) => state === 3);
    await round();
    over.abort();
    rounds.abort();
    await asked;
    expect(new Set(words)).toEqual(new Set(['trusted']));
    expect(words.length).toBeGreaterThan(20);
  });

  test('a client certificate that the proxy does not know makes hosts unreachable', async () => {
    const kept = cloud.secretsManager.secrets.get(SECRET_ID) ?? '';
    cloud.secretsManager.secrets.set(SECRET_ID, JSON.stringify({ ...guest, ca: cloud.authority.cert }));
    cloud.secretsManager.secrets.delete(SECRET_ID);
    cloud.secretsManager.secrets.set(SECRET_ID, JSON.stringify({ ...guest, ca: cloud.authority.cert }));
    const others = { ...env, ATTESTATION_CLIENTS: '' };
    const other = await cloud.environment({ ...others, ATTESTATION_TABLE: await cloud.table() });
    const result = await other.invoke(filterEvent([GOOD]));
    expect([answerOf(result).hosts, reasonsOf(result)]).toEqual([[], { [GOOD]: 'unreachable' }]);
    expect(JSON.stringify((await other.lastLine())['faults'])).toMatch(/403/);
    cloud.secretsManager.secrets.set(SECRET_ID, kept);
  });

  test('when the verifier dies, what was good is good to its end, and unreachable after that', async () => {
    expect((await ask(GOOD)).said).toEqual({ [GOOD]: 'trusted' });
    const quotedAt = await lastGoodQuote(GOOD);
    await keylime.kill();
    const rounds = keepRefreshing();
    let word: string | undefined;
    let end = 0;
    for (;;) {
      const askedAt = Date.now();
      const { said, validUntil } = await ask(GOOD);
      word = said[GOOD];
      if (word !== 'trusted') break;
      expect(askedAt).toBeLessThan(validUntil);
      end = validUntil;
      await sleep(ASK_EVERY_MS);
    }
    rounds.abort();
    expect(end).toBeLessThanOrEqual(quotedAt + VALIDITY_S * 1000 + 2 * ROUNDED_MS);
    expect(Date.now()).toBeGreaterThanOrEqual(end);
    expect(word).toBe('unreachable');
    expect((await ask(CHANGED, STRANGER)).said).toEqual({ [CHANGED]: 'unreachable', [STRANGER]: 'unreachable' });
  });

  /** Has `refresh` make a scheduled round. */
  async function round(): Promise<void> {
    const made = refresh.invoke(SCHEDULED);
    while (!isOver && (made.state === 'waiting' || made.state === 'running')) await sleep(ASK_EVERY_MS);
  }

  /** Has it make one after another, until it is told to stop. */
  function keepRefreshing(): AbortController {
    const stopping = new AbortController();
    void (async () => {
      while (!isOver && !stopping.signal.aborted) await round();
    })();
    return stopping;
  }
});
