import { describe, expect, test } from '@jest/globals';
import { PollError } from '../../../../lambda/errors.ts';
import { Counts } from '../../../../lambda/log/counts.ts';
import type { PollResult } from '../../../../lambda/service/attestation-service.ts';
import { KeylimeService } from '../../../../lambda/service/keylime/keylime-service.ts';
import { answer, type Instead, Verifier } from '../../../fakes/verifier.ts';
import { VirtualClock } from '../../../fakes/virtual-clock.ts';

const NAMESPACE = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
const NOT_FOUND = { code: 404, status: 'agent id not found', results: {} };

function hostsOf(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `host-${i}`);
}

function setUp({ agentIds = 'name', fleetSize = 1_000, policyRequired = true, random = (): number => 0 } = {}) {
  const clock = new VirtualClock();
  const verifier = new Verifier(clock);
  const counts = new Counts();
  const service = new KeylimeService({
    connection: verifier,
    apiUrl: '/v2.1',
    fleetSize,
    pollTimeoutMs: 20_000,
    validityMs: 60_000,
    policyRequired,
    agentIds,
    namespace: NAMESPACE,
    random,
    clock,
    counts,
  });
  const poll = (hosts: readonly string[], signal = new AbortController().signal): Promise<PollResult> =>
    service.doAttestation(hosts, signal);
  return { clock, verifier, counts, poll };
}

function reasonsOf({ answers, failures }: PollResult): Record<string, string> {
  const told = [...answers, ...(failures ?? [])].map(([host, { reason }]) => [host, reason]);
  return Object.fromEntries(told) as Record<string, string>;
}

describe('a poll of a Keylime verifier', () => {
  test('asks about each host by its agent’s id, in the version that all verifiers speak', async () => {
    const { clock, verifier, poll } = setUp({ agentIds: 'uuid5' });
    const result = await clock.run(poll(['compute-1.example.com']));
    expect(verifier.gets.map(({ path, maxBytes }) => ({ path, maxBytes }))).toEqual([
      { path: '/v2.1/agents/1882f555-6930-50a3-b8f2-45d2a1c8a70d', maxBytes: 66 * 1024 },
    ]);
    expect(reasonsOf(result)).toEqual({ 'compute-1.example.com': 'trusted' });
    expect(result.receivedAt - result.sentAt).toBe(5);
  });

  test('asks about at most ten hosts at once, over all polls of the environment', async () => {
    const { clock, verifier, poll } = setUp();
    const hosts = hostsOf(60);
    const polls = [hosts.slice(0, 30), hosts.slice(30)].map((part) => poll(part));
    await clock.run(Promise.all(polls));
    expect(verifier.mostAtOnce).toBe(10);
    expect(verifier.gets).toHaveLength(60);
  });

  test('gives each host its own outcome', async () => {
    const { clock, verifier, poll, counts } = setUp();
    const instead: Record<string, Instead> = {
      'bad-body': answer(200, '<html>'),
      'other-code': answer(200, { code: 500, results: {} }),
      'no-object': answer(200, { code: 200, results: [] }),
      'not-utf-8': { status: 200, body: Buffer.from([0xff, 0xfe]) },
      'too-large': new PollError('bad-reply', 'the answer is larger than 67584 bytes'),
      'refused-id': answer(400, { code: 400, status: 'agent_id not not valid', results: {} }),
      'breaks-verifier': answer(500, ''),
      'no-gateway': answer(502, ''),
      hangs: 'hangs',
      unknown: answer(404, NOT_FOUND),
    };
    verifier.instead = (id) => instead[id ?? ''];
    verifier.record = (id) =>
      id === 'restarted' ? { operational_state: 1 } : id === 'failed' ? { operational_state: 9 } : {};
    const hosts = ['good', 'failed', 'restarted', ...Object.keys(instead), 'a b', '..', 'also-good'];
    const result = await clock.run(poll(hosts));
    expect(reasonsOf(result)).toEqual({
      good: 'trusted',
      'also-good': 'trusted',
      failed: 'untrusted',
      'bad-body': 'bad-reply',
      'other-code': 'bad-reply',
      'no-object': 'bad-reply',
      'not-utf-8': 'bad-reply',
      'too-large': 'bad-reply',
      'refused-id': 'refused',
      'breaks-verifier': 'refused',
      'no-gateway': 'unreachable',
      hangs: 'pending',
      unknown: 'unknown',
      'a b': 'unknown',
      '..': 'unknown',
    });
    expect([...(result.failures ?? []).keys()].toSorted()).toEqual([
      'breaks-verifier',
      'hangs',
      'no-gateway',
      'refused-id',
    ]);
    const { values, faults } = counts.take();
    expect(values).toEqual(new Map([['HostFaults', 5]]));
    expect(faults.map(({ cause }) => cause.replace('PollError: ', ''))).toEqual([
      "the verifier's answer of 6 bytes is not JSON",
      'the verifier\'s answer is not an object with a "code" of 200 and an object "results"',
      "the verifier's answer of 2 bytes is not JSON",
      'the answer is larger than 67584 bytes',
    ]);
    // The host that hangs is given up once the others were answered for long, and not at the end of the poll's time.
    expect(result.receivedAt - result.sentAt).toBeLessThan(5_000);
  });

  test.each<[string, Instead, string]>([
    ['no connection', new PollError('unreachable', 'the attestation service could not be reached'), 'unreachable'],
    ['a status 403', answer(403, { errors: [] }), 'unreachable'],
    ['a status 500', answer(500, ''), 'unreachable'],
    ['a status 503', answer(503, ''), 'unreachable'],
    ['a 404 of a wrong path', answer(404, ''), 'unreachable'],
    ['another version', answer(400, { code: 400, status: 'API Version not supported', results: {} }), 'unreachable'],
    ['a redirect', answer(302, ''), 'unreachable'],
  ])('fails as a whole on %s, having asked about few', async (_what, instead, reason) => {
    const { clock, verifier, poll } = setUp();
    verifier.instead = () => instead;
    await expect(clock.run(poll(hostsOf(100)))).rejects.toMatchObject({ name: 'PollError', reason });
    expect(verifier.gets.length).toBeLessThan(21);
  });

  test('goes on after a fault that comes first, of one host alone', async () => {
    const { clock, verifier, poll } = setUp();
    verifier.instead = (id) => (id === 'host-0' ? answer(500, '') : undefined);
    const result = await clock.run(poll(hostsOf(30)));
    expect(reasonsOf(result)).toMatchObject({ 'host-0': 'refused', 'host-29': 'trusted' });
  });

  test('goes on after any number of hosts that break the verifier, once others were answered', async () => {
    const { clock, verifier, poll } = setUp();
    verifier.instead = (id) => (id?.startsWith('sick') ? answer(500, '') : undefined);
    const sick = Array.from({ length: 40 }, (_, i) => `sick-${i}`);
    const result = await clock.run(poll(['host-0', ...sick, 'host-1']));
    expect(reasonsOf(result)).toMatchObject({ 'sick-0': 'refused', 'sick-39': 'refused', 'host-1': 'trusted' });
  });

  test('asks in another order each time, so that ten that hang stand before others once at most', async () => {
    let drawn = 0;
    const { clock, verifier, poll } = setUp({ random: () => (drawn++ * 0.618) % 1 });
    verifier.instead = (id) => (id?.startsWith('hangs') ? 'hangs' : undefined);
    const hanging = Array.from({ length: 10 }, (_, i) => `hangs-${i}`);
    const abort = new AbortController();
    void clock.wait(20_000).then(() => abort.abort());
    const result = await clock.run(poll([...hanging, ...hostsOf(10)], abort.signal));
    expect(result.answers.size).toBe(10);
    expect(result.receivedAt - result.sentAt).toBeLessThan(10_000);
  });

  test('has what came before the verifier died, and asks in vain about few after', async () => {
    const { clock, verifier, poll } = setUp();
    let answered = 0;
    verifier.instead = () => (++answered > 40 ? new PollError('unreachable', 'refused') : undefined);
    const result = await clock.run(poll(hostsOf(100)));
    expect(result.answers.size).toBe(40);
    expect(result.failures?.size).toBe(60);
    expect(new Set(Array.from(result.failures?.values() ?? [], ({ reason }) => reason))).toEqual(
      new Set(['unreachable']),
    );
    expect(verifier.gets.length).toBeLessThan(61);
  });

  test('has what came until it is aborted, and then no GET goes on', async () => {
    const { clock, verifier, poll } = setUp();
    verifier.latencyMs = 1_000;
    const abort = new AbortController();
    const polling = poll(hostsOf(40), abort.signal);
    void clock.wait(2_500).then(() => abort.abort());
    const result = await clock.run(polling);
    expect([result.answers.size, result.failures?.size]).toEqual([20, 20]);
    expect(reasonsOf(result)['host-39']).toBe('pending');
    await clock.advance(10);
    expect(verifier.gets.every(({ endedAt }) => endedAt !== undefined)).toBe(true);
    expect(verifier.gets).toHaveLength(30);
  });

  test('of a verifier that hangs ends with its time, and blames the time', async () => {
    const { clock, verifier, poll } = setUp();
    verifier.instead = () => 'hangs';
    const abort = new AbortController();
    void clock.wait(20_000).then(() => abort.abort());
    await expect(clock.run(poll(hostsOf(40), abort.signal))).rejects.toMatchObject({ reason: 'pending' });
  });

  test('waits for a verifier that is slow with all of them', async () => {
    const { clock, verifier, poll } = setUp();
    verifier.latencyMs = 8_000;
    expect((await clock.run(poll(hostsOf(20)))).answers.size).toBe(20);
  });

  test('gives no host up before its GET can have gone out over another connection, too', async () => {
    const { clock, verifier, poll } = setUp();
    verifier.instead = (id) => {
      verifier.latencyMs = id === 'host-0' ? 2_100 : 5;
      return undefined;
    };
    expect((await clock.run(poll(hostsOf(20)))).answers.size).toBe(20);
  });

  test('of names that can have no agent asks nobody', async () => {
    const { clock, verifier, poll } = setUp();
    expect(reasonsOf(await clock.run(poll(['a b', 'ü'])))).toEqual({ 'a b': 'unknown', ü: 'unknown' });
    expect(verifier.gets).toEqual([]);
  });

  test('fails as a whole where the verifier is silent, also beside names that can have no agent', async () => {
    const { clock, verifier, poll } = setUp();
    verifier.instead = () => new PollError('unreachable', 'refused');
    await expect(clock.run(poll(['a b', 'host-1', 'host-2']))).rejects.toMatchObject({ reason: 'unreachable' });
  });

  test('counts agents whose period is too long for the validity, and says which will do', async () => {
    const { clock, verifier, poll, counts } = setUp();
    verifier.record = () => ({ attestation_period: '45s' });
    await clock.run(poll(['host-1']));
    expect(counts.take().faults).toEqual([
      { fault: 'ShortValidity', cause: "authTimeout must be at least 90: twice an agent's period" },
    ]);
  });

  test('counts quotes that lie further ahead of the verifier’s clock than clocks may differ', async () => {
    const { clock, verifier, poll } = setUp();
    const ahead = (seconds: number) => {
      const at = Math.floor(clock.now() / 1000) + seconds;
      return { last_received_quote: at, last_successful_attestation: at };
    };
    verifier.record = (id) => (id === 'host-0' ? ahead(3) : id === 'host-1' ? ahead(2) : {});
    const result = await clock.run(poll(hostsOf(3)));
    expect(result.futureVtimes).toBe(1);
    expect(reasonsOf(result)).toEqual({ 'host-0': 'trusted', 'host-1': 'trusted', 'host-2': 'trusted' });
  });

  test('is as old as the record says when it ends, not when the record came', async () => {
    const { clock, verifier, poll } = setUp();
    const at = Math.floor(clock.now() / 1000) - 55;
    verifier.record = (id) => (id === 'host-0' ? { last_received_quote: at, last_successful_attestation: at } : {});
    verifier.latencyMs = 4_000;
    const result = await clock.run(poll(hostsOf(20)));
    expect(result.receivedAt - result.sentAt).toBe(8_000);
    expect(reasonsOf(result)).toMatchObject({ 'host-0': 'timeout', 'host-1': 'trusted' });
  });

  test.each([1, 100])('is no younger for what the verifier takes to answer about %d', async (count) => {
    const { clock, verifier, poll } = setUp({ fleetSize: 100 });
    const at = Math.floor(clock.now() / 1000) - 55;
    verifier.agents = hostsOf(count);
    verifier.record = () => ({ last_received_quote: at, last_successful_attestation: at });
    verifier.latencyMs = verifier.bulkMs = 8_000;
    expect(reasonsOf(await clock.run(poll(hostsOf(count))))).toMatchObject({ 'host-0': 'timeout' });
  });
});

describe('where many hosts are asked about', () => {
  test('all agents are read at once, for all polls that begin together', async () => {
    const { clock, verifier, poll } = setUp({ fleetSize: 600 });
    const hosts = hostsOf(300);
    verifier.agents = hosts.slice(0, 299);
    const results = await clock.run(Promise.all([poll(hosts.slice(0, 150)), poll(hosts.slice(150))]));
    expect(verifier.gets.map(({ path }) => path)).toEqual(['/v2.1/agents/?bulk=true']);
    expect(reasonsOf(results[1])).toMatchObject({ 'host-150': 'trusted', 'host-299': 'unknown' });
    // Of what nobody asked about, nothing is told.
    expect(results.map(({ answers }) => answers.size)).toEqual([150, 150]);
  });

  test('they are asked about one by one where the verifier has far more', async () => {
    const { clock, verifier, poll } = setUp({ fleetSize: 601 });
    await clock.run(poll(hostsOf(100)));
    expect(verifier.bulks).toBe(0);
  });

  test('what the verifier has is known after the first time, and forgotten after ten minutes', async () => {
    const { clock, verifier, poll } = setUp({ fleetSize: 100 });
    verifier.agents = hostsOf(1_000);
    await clock.run(poll(hostsOf(100)));
    await clock.run(poll(hostsOf(100)));
    expect(verifier.bulks).toBe(1);
    await clock.advance(600_000);
    await clock.run(poll(hostsOf(100)));
    expect(verifier.bulks).toBe(2);
  });

  test.each<[string, Instead]>([
    ['hangs', 'hangs'],
    ['fails', answer(500, '')],
    ['is not let through', answer(403, '')],
    ['is too large', new PollError('bad-reply', 'the answer is larger than …')],
    ['is no JSON', answer(200, '{"code":200,"results":{')],
    ['has ids alone', answer(200, { code: 200, results: { uuids: [['host-0']] }, status: 'Success' })],
  ])('where reading all %s, they are read one by one, and for ten minutes at once', async (_what, instead) => {
    const { clock, verifier, poll, counts } = setUp({ fleetSize: 100 });
    verifier.instead = (id) => (id === undefined ? instead : undefined);
    const result = await clock.run(poll(hostsOf(100)));
    expect(new Set(Object.values(reasonsOf(result)))).toEqual(new Set(['trusted']));
    expect(result.receivedAt - result.sentAt).toBeLessThan(11_000);
    expect(counts.take().values.get('BulkFaults')).toBe(1);
    await clock.run(poll(hostsOf(100)));
    expect(verifier.bulks).toBe(1);
    await clock.advance(600_000);
    await clock.run(poll(hostsOf(100)));
    expect(verifier.bulks).toBe(2);
  });

  test('a record that is none concerns its host alone', async () => {
    const { clock, verifier, poll } = setUp({ fleetSize: 20 });
    verifier.agents = hostsOf(20);
    verifier.instead = (id) =>
      id === undefined
        ? answer(200, { code: 200, results: { 'host-0': 'nonsense', 'host-1': { operational_state: 9 } } })
        : undefined;
    const reasons = reasonsOf(await clock.run(poll(hostsOf(20))));
    expect(reasons).toMatchObject({ 'host-0': 'bad-reply', 'host-1': 'untrusted', 'host-2': 'unknown' });
  });

  test('those that an aborted poll left behind count for nothing', async () => {
    const { clock, verifier, poll } = setUp({ fleetSize: 1_000 });
    verifier.latencyMs = 1_000;
    const abort = new AbortController();
    const hosts = hostsOf(180);
    const aborted = poll(hosts.slice(0, 100), abort.signal);
    void clock.wait(500).then(() => abort.abort());
    const later = clock.wait(200).then(() => poll(hosts.slice(100)));
    await clock.run(Promise.allSettled([aborted, later]));
    expect(verifier.bulks).toBe(0);
  });

  test('nobody reads on for polls that were aborted', async () => {
    const { clock, verifier, poll, counts } = setUp({ fleetSize: 100 });
    verifier.bulkMs = 7_000;
    const abort = new AbortController();
    const polls = [poll(hostsOf(60), abort.signal), poll(hostsOf(60), abort.signal)];
    void clock.wait(1_000).then(() => abort.abort());
    await clock.run(Promise.allSettled(polls));
    await clock.advance(1);
    expect(verifier.gets.map(({ endedAt, sentAt }) => (endedAt ?? 0) - sentAt)).toEqual([1_000]);
    expect(counts.take().values.get('BulkFaults')).toBeUndefined();
  });
});
