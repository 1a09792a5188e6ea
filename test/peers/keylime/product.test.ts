/**
 * The product against the real thing: both bundles, through the nginx of infra/attesters/keylime/, ask a Keylime verifier about
 * agents whose quotes a TPM signs; the verifier posts to the product's webhook; schedulers ask over mutual TLS.
 */
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { MESSAGES } from '../../../lambda/protocols/messages.ts';
import { uuid5 } from '../../../lambda/service/keylime/agent-ids.ts';
import { answerOf, filterEvent, reasonsOf } from '../../fakes/events.ts';
import { NGINX } from '../../infra/attesters/keylime-proxy.ts';
import { Agent } from './agent.ts';
import { keylimeIsThere, whatKeylimeLacks } from './installed.ts';
import { Product } from './product.ts';
import { putRows } from './rows.ts';

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
/** Registers, and what must be in them. */
const POLICIES: Readonly<Record<string, Readonly<Record<number, readonly string[]>>>> = {
  [GOOD]: { 7: [ZEROS] },
  [CHANGED]: { 23: [ZEROS] },
  [DYING]: { 7: [ZEROS] },
  [HANGING]: { 7: [ZEROS] },
  [UNCHECKED]: {},
};
const VALIDITY_S = 10;
/** How long an environment answers from its memory before it looks at the table again. */
const MEMORY_MS = 5_000;
const MARGIN_MS = 1_000;
/** Keylime tells times in whole seconds: what was at 8.9 s is said to have been at 8. */
const ROUNDED_MS = 1_000;
/** From the verifier's answer to its receipt. */
const RECEIPT_MS = 500;
const ASK_EVERY_MS = 100;

const PYTHON = ['python3', '/usr/bin/python3'].find(
  (python) => spawnSync(python, ['-c', 'import nova.scheduler.filters']).status === 0,
);

const missing = whatKeylimeLacks() ?? (NGINX === undefined ? 'nginx is not installed' : undefined);
if (missing !== undefined) {
  console.warn(`left out: ${missing}`);
  test(`left out: ${missing}`, () => {});
}
if (PYTHON === undefined) console.warn('left out: python3-nova is not installed');

(keylimeIsThere() && NGINX !== undefined ? describe : describe.skip)('with a real verifier behind the proxy', () => {
  let product: Product;
  let parts: Product['parts'];
  const agents = new Map<string, Agent>();

  beforeAll(async () => {
    product = await Product.start({ validitySeconds: VALIDITY_S });
    ({ parts } = product);
    for (const [host, pcrs] of Object.entries(POLICIES)) {
      const agent = await product.use(Agent.start(parts.keylime, parts.tpm, uuid5(host, DNS)), (each) => each.stop());
      agents.set(host, agent);
      await agent.enrol({ pcrs });
    }
    for (const { id } of agents.values()) {
      await parts.keylime.untilStatus(id, ({ attestation_count: count }) => count > 0);
    }
  }, 60_000);

  afterAll(() => product.close());

  function agentOf(host: string): Agent {
    const agent = agents.get(host);
    if (agent === undefined) throw new Error(`${host} has no agent`);
    return agent;
  }

  /** Epoch milliseconds, in whole seconds. */
  async function lastGoodQuote(host: string): Promise<number> {
    return ((await parts.keylime.status(agentOf(host).id)).last_successful_attestation ?? NaN) * 1000;
  }

  test('hosts that quote well pass; no policy, or no agent, is not enough', async () => {
    const { said } = await product.ask(GOOD, CHANGED, DYING, HANGING, UNCHECKED, STRANGER);
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
    await product.ask(CHANGED);
    const before = parts.bus.events.length;
    const changedAt = Date.now();
    await parts.tpm.extendPcr(23, Buffer.alloc(32, 1));
    // Nobody asks meanwhile, and the attestation has not ended.
    const event = await product.change(CHANGED, 'untrusted', before);
    expect(Date.now() - changedAt).toBeLessThan(5_000);
    expect(event).toMatchObject({ detailType: 'HostTrustChanged', detail: { from: 'trusted', reason: 'untrusted' } });
    expect(await product.untilOther(CHANGED, 'trusted', MEMORY_MS + MARGIN_MS)).toBe('untrusted');
    const hints = parts.refresh.invocations.filter(({ event: each }) => 'agents' in (each as object));
    expect(hints).toMatchObject([{ event: { agents: [agentOf(CHANGED).id] } }]);
    expect(parts.filter.lines.filter(({ hint }) => hint === 'taken')).toMatchObject([{ client: 'CN=verifier' }]);
  });

  test('Kubernetes is told the same', async () => {
    expect(
      await product.post('/kubernetes/filter', {
        Pod: { metadata: { name: 'ledger', annotations: { 'trust/trusted-host': 'trusted' } } },
        Nodes: null,
        NodeNames: [GOOD, CHANGED],
      }),
    ).toMatchObject({
      NodeNames: [GOOD],
      FailedAndUnresolvableNodes: { [CHANGED]: MESSAGES.untrusted },
      Error: '',
    });
  });

  (PYTHON === undefined ? test.skip : test)(
    "Nova's own filter handler is told the same",
    async () => {
      const file = (name: string): string => join(product.folder, name);
      const tls = { ca_file: file('ca.pem'), cert_file: file('client.pem'), key_file: file('client.key') };
      const options = { endpoint: parts.api.url, ...tls, nodes: [CHANGED, GOOD, UNCHECKED] };
      const script = fileURLToPath(new URL('nova_passing.py', import.meta.url));
      const { PATH = '' } = process.env;
      const own = { PYTHONDONTWRITEBYTECODE: '1', OS_NOVA_DISABLE_EVENTLET_PATCHING: '1' };
      const { stdout } = await promisify(execFile)(PYTHON ?? '', [script, JSON.stringify(options)], {
        env: { PATH, ...own },
      });
      expect(JSON.parse(stdout)).toEqual([GOOD]);
    },
    60_000,
  );

  test('it passes again once its register is as it was and the verifier polls it', async () => {
    const before = parts.bus.events.length;
    await parts.tpm.resetPcr(23);
    await agentOf(CHANGED).reactivate();
    expect(await product.untilOther(CHANGED, 'untrusted')).toBe('trusted');
    await product.change(CHANGED, 'trusted', before);
    // A record that has kept what was wrong before.
    expect(await parts.keylime.status(agentOf(CHANGED).id)).toMatchObject({
      last_event_id: 'pcr_validation.invalid_pcr_23',
    });
  });

  test('a host that is silent is trusted until its last good quote is too old, though the verifier says PASS', async () => {
    const { id } = agentOf(HANGING);
    agentOf(HANGING).hang();
    await product.ask(HANGING);
    // Polled all along, so that what is known of it is as new as can be.
    const rounds = product.keep(() => product.round());
    const { end, word } = await product.untilEnd(HANGING).finally(() => rounds.abort());
    const isOverAt = (await lastGoodQuote(HANGING)) + VALIDITY_S * 1000;
    expect(word).toBe('timeout');
    expect(end).toBeLessThan(isOverAt + ROUNDED_MS + RECEIPT_MS);
    expect(end).toBeGreaterThan(isOverAt - ROUNDED_MS);
    expect(await parts.keylime.status(id)).toMatchObject({ operational_state: 3, attestation_status: 'PASS' });
    expect((await product.ask(GOOD)).said).toEqual({ [GOOD]: 'trusted' });
    await agentOf(HANGING).answerAgain();
  });

  test('a host whose agent dies is unknown as soon as the verifier gives it up, and no later than its quote is worth', async () => {
    expect((await product.ask(DYING)).said).toEqual({ [DYING]: 'trusted' });
    const before = parts.bus.events.length;
    await agentOf(DYING).die();
    const quotedAt = await lastGoodQuote(DYING);
    const event = await product.change(DYING, 'unknown', before);
    expect(event.detail).toMatchObject({ from: 'trusted', reason: 'timeout' });
    expect(Date.now()).toBeLessThan(quotedAt + VALIDITY_S * 1000);
    expect(await product.untilOther(DYING, 'trusted', MEMORY_MS + MARGIN_MS)).toBe('timeout');
    expect(await parts.keylime.status(agentOf(DYING).id)).toMatchObject({ operational_state: 7 });
  });

  test('more hosts than a sixth of the agents are read by one GET, and rows of a verifier that stands still are timeout', async () => {
    const names = (kind: string): string[] => Array.from({ length: 15 }, (_, i) => `${kind}-${i}.example.com`);
    const ids = (kind: string): string[] => names(kind).map((name) => uuid5(name, DNS));
    putRows(parts.keylime, ids('fresh'));
    putRows(parts.keylime, ids('frozen'), { attestedAt: Math.floor(Date.now() / 1000) - VALIDITY_S - 1 });
    const { said } = await product.ask(...names('fresh'), ...names('frozen'));
    for (const name of names('fresh')) expect([name, said[name]]).toEqual([name, 'trusted']);
    for (const name of names('frozen')) expect([name, said[name]]).toEqual([name, 'timeout']);
    const path = `/agents/${ids('fresh')[0]}`;
    expect(parts.proxy.log.filter((line) => line.includes(path))).toEqual([]);
    expect(parts.proxy.log.filter((line) => line.includes('?bulk=true'))).toHaveLength(1);
  });

  test('while the verifier starts anew nobody loses an attestation', async () => {
    // Of a validity that is longer than a start of the verifier takes on a busy machine.
    const longer = { ATTESTATION_AUTH_TIMEOUT: '60', ATTESTATION_CLIENTS: '' };
    const env = { ...product.env, ...longer, ATTESTATION_TABLE: await parts.cloud.table() };
    const [filter, refresh] = [await parts.cloud.environment(env), await product.refreshOf(env)];
    const words = new Set<string | undefined>();
    const asking = product.keep(async () => {
      const result = await filter.invoke(filterEvent([GOOD]));
      words.add(answerOf(result).hosts.length === 1 ? 'trusted' : reasonsOf(result)[GOOD]);
      await sleep(ASK_EVERY_MS);
    });
    const { id } = agentOf(GOOD);
    // A round knows the hosts that were attested before it began.
    while (!words.has('trusted')) await sleep(ASK_EVERY_MS);
    const rounds = product.keep(() => product.round(refresh));
    await product.round(refresh);
    // So that it has no new quote for a while, and the record says START.
    agentOf(GOOD).hang();
    await parts.keylime.restart();
    const [polls, before] = [parts.proxy.log.length, refresh.invocations.length];
    await product.round(refresh);
    expect(await parts.keylime.status(id)).toMatchObject({ operational_state: 1, attestation_status: 'PENDING' });
    expect(parts.proxy.log.slice(polls).join('\n')).toMatch(new RegExp(`${id} .* status=200`));
    const results = refresh.invocations.slice(before).map(({ result }) => result);
    expect(results).toContainEqual(expect.objectContaining({ hosts: 1, attested: 1, renewed: 0 }));
    await agentOf(GOOD).answerAgain();
    await parts.keylime.untilStatus(id, ({ operational_state: state }) => state === 3);
    await product.round(refresh);
    asking.abort();
    rounds.abort();
    expect(words).toEqual(new Set(['trusted']));
  }, 60_000);

  test('a client certificate that the proxy does not know makes hosts unreachable', async () => {
    product.keepSecret(parts.guest);
    const table = { ATTESTATION_TABLE: await parts.cloud.table() };
    const other = await parts.cloud.environment({ ...product.env, ATTESTATION_CLIENTS: '', ...table });
    const result = await other.invoke(filterEvent([GOOD]));
    expect([answerOf(result).hosts, reasonsOf(result)]).toEqual([[], { [GOOD]: 'unreachable' }]);
    expect(JSON.stringify((await other.lastLine())['faults'])).toMatch(/403/);
    product.keepSecret(parts.reader);
  });

  test('when the verifier dies, what was good is good to its end, and unreachable after that', async () => {
    const knownAtLeast = await lastGoodQuote(GOOD);
    await product.round();
    const last = await lastGoodQuote(GOOD);
    await parts.keylime.kill();
    const rounds = product.keep(() => product.round());
    const { end, word } = await product.untilEnd(GOOD).finally(() => rounds.abort());
    expect(word).toBe('unreachable');
    expect(end).toBeGreaterThanOrEqual(knownAtLeast + VALIDITY_S * 1000);
    expect(end).toBeLessThan(last + VALIDITY_S * 1000 + ROUNDED_MS + RECEIPT_MS);
    expect(Date.now()).toBeGreaterThanOrEqual(end);
    expect(await product.untilOther(CHANGED, 'trusted')).toBe('unreachable');
    expect((await product.ask(STRANGER)).said).toEqual({ [STRANGER]: 'unreachable' });
  });
});
