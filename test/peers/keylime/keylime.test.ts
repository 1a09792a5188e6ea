import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CertificateAuthority } from '../../../infra/local/certificates.ts';
import { Agent } from './agent.ts';
import { keylimeIsThere, whatKeylimeLacks } from './installed.ts';
import { type AgentStatus, Keylime } from './keylime.ts';
import { putRows } from './rows.ts';
import { SoftwareTpm } from './swtpm.ts';
import { WebhookReceiver } from './webhook-receiver.ts';

const ZEROS = '0'.repeat(64);
/** A register that can be reset, and what a fresh TPM has in it. */
const POLICY = { pcrs: { 23: [ZEROS] } };
const START = 1;
const GET_QUOTE = 3;
const FAILED = 7;
const INVALID_QUOTE = 9;

function isAttested(status: AgentStatus, count = 1): boolean {
  return status.operational_state === GET_QUOTE && status.attestation_count >= count;
}

if (!keylimeIsThere()) {
  console.warn(`left out: ${whatKeylimeLacks()}`);
  test(`left out: ${whatKeylimeLacks()}`, () => {});
}

(keylimeIsThere() ? describe : describe.skip)('a real Keylime verifier', () => {
  let receiver: WebhookReceiver;
  let keylime: Keylime;
  let tpm: SoftwareTpm;
  const agents: Agent[] = [];

  beforeAll(async () => {
    receiver = await WebhookReceiver.start();
    [keylime, tpm] = await Promise.all([Keylime.start({ webhook: receiver.webhook }), SoftwareTpm.start()]);
  });

  afterAll(async () => {
    await Promise.all([keylime.stop(), ...agents.map((agent) => agent.stop())]);
    await Promise.all([tpm.stop(), receiver.stop()]);
  });

  async function enrolled(policy = POLICY): Promise<Agent> {
    const agent = await Agent.start(keylime, tpm);
    agents.push(agent);
    await agent.enrol(policy);
    return agent;
  }

  test('attests an agent whose registers are as its policy says', async () => {
    const { id } = await enrolled();
    const status = await keylime.untilStatus(id, (status) => isAttested(status, 2));
    expect(status).toMatchObject({ attestation_status: 'PASS', severity_level: null, last_event_id: null });
    expect(status.tpm_policy).toContain('"23"');
    expect(status.last_successful_attestation).toBeGreaterThan(1_700_000_000);
    expect(status.last_received_quote).toBe(status.last_successful_attestation);
  });

  test('finds a changed register, says so to the webhook, and attests the agent again once it is as it was', async () => {
    const agent = await enrolled();
    const good = await keylime.untilStatus(agent.id, (status) => isAttested(status));
    await tpm.extendPcr(23, Buffer.alloc(32, 1));
    try {
      const bad = await keylime.untilStatus(agent.id, (status) => status.operational_state === INVALID_QUOTE);
      expect(bad).toMatchObject({ attestation_status: 'FAIL', last_event_id: 'pcr_validation.invalid_pcr_23' });
      expect(bad.last_received_quote).toBeGreaterThan(bad.last_successful_attestation ?? Infinity);
      expect(await receiver.notice(agent.id, 'revocation')).toMatchObject({
        from: 'verifier',
        event_id: bad.last_event_id,
      });
    } finally {
      await tpm.resetPcr(23);
    }
    await agent.reactivate();
    const again = await keylime.untilStatus(agent.id, (status) => isAttested(status, good.attestation_count + 1));
    expect(again).toMatchObject({ attestation_status: 'PASS', last_event_id: 'pcr_validation.invalid_pcr_23' });
  });

  test('goes on saying PASS of an agent that has died, with the time of its last quote, until it gives up', async () => {
    const agent = await enrolled();
    await keylime.untilStatus(agent.id, (status) => isAttested(status));
    await agent.die();
    const diedAt = Math.ceil(Date.now() / 1000);
    const seen: AgentStatus[] = [];
    await keylime.untilStatus(agent.id, (status) => seen.push(status) > 0 && status.operational_state === FAILED);
    const last = seen.pop();
    expect(new Set(seen.map((status) => `${status.operational_state} ${status.attestation_status}`))).toEqual(
      new Set([`${GET_QUOTE} PASS`]),
    );
    expect(last).toMatchObject({ attestation_status: 'FAIL', last_event_id: 'internal.verifier.not_reachable' });
    // What was being checked then counts.
    expect(last?.last_successful_attestation).toBeLessThanOrEqual(diedAt);
    expect(last?.last_received_quote).toBe(last?.last_successful_attestation);
    expect(await receiver.notice(agent.id, 'comm_error')).toMatchObject({ from: 'verifier' });
  });

  test('starts from the beginning with each agent after a restart, and keeps how often it was attested', async () => {
    const agent = await enrolled();
    const before = await keylime.untilStatus(agent.id, (status) => isAttested(status, 2));
    agent.hang();
    await keylime.restart();
    const after = await keylime.status(agent.id);
    expect(after).toMatchObject({ operational_state: START, attestation_status: 'PENDING' });
    expect(after.attestation_count).toBeGreaterThanOrEqual(before.attestation_count);
    await agent.answerAgain();
    expect(await keylime.untilStatus(agent.id, (status) => isAttested(status))).toMatchObject({
      attestation_status: 'PASS',
    });
  });

  test('leaves alone, and goes on calling attested, who was enrolled since its start when its worker dies', async () => {
    const old = await enrolled();
    await keylime.restart();
    const recent = await enrolled();
    await keylime.untilStatus(old.id, (status) => isAttested(status));
    await keylime.untilStatus(recent.id, (status) => isAttested(status));
    await keylime.killWorkers();
    const before = await keylime.status(recent.id);
    const { last_received_quote: reference } = await keylime.status(old.id);
    // By then the other would have been polled, too.
    await keylime.untilStatus(old.id, (status) => (status.last_received_quote ?? 0) > (reference ?? 0) + 2);
    expect(await keylime.status(recent.id)).toEqual(before);
    expect(before).toMatchObject({ operational_state: GET_QUOTE, attestation_status: 'PASS' });
  });

  test('does not know an agent that it was not told of, and says so in JSON', async () => {
    const { status, body } = await keylime.ask('/v2.1/agents/nobody');
    expect(status).toBe(404);
    expect(JSON.parse(body)).toEqual({ code: 404, status: 'agent id not found', results: {} });
  });

  test('forgets an agent that is deleted', async () => {
    const agent = await enrolled();
    await keylime.untilStatus(agent.id, (status) => isAttested(status));
    await agent.delete();
    expect((await keylime.ask(`/v2.1/agents/${agent.id}`)).status).toBe(404);
  });

  test('lists the rows that were put into its database', async () => {
    const ids = Array.from({ length: 100 }, (_, i) => `row-${i}`);
    putRows(keylime, ids, { attestedAt: 1_700_000_000 });
    const { body } = await keylime.ask('/v2.1/agents/?bulk=true&verifier=elsewhere');
    const { results } = JSON.parse(body) as { results: Record<string, AgentStatus> };
    expect(Object.keys(results).sort()).toEqual(ids.sort());
    expect(results['row-7']).toMatchObject({
      operational_state: GET_QUOTE,
      last_successful_attestation: 1_700_000_000,
      has_runtime_policy: 0,
    });
  });

  test('admits nobody with the certificate of another authority', async () => {
    const stranger = await (await CertificateAuthority.create('clients')).client({ commonName: 'operator' });
    await expect(keylime.ask('/v2.1/agents/nobody', { as: stranger })).rejects.toThrow(/alert unknown ca/);
  });

  test('forbids those who show no certificate to read', async () => {
    expect(await keylime.ask('/v2.1/agents/nobody', { as: null })).toMatchObject({ status: 403 });
  });

  test('refuses connections once it is killed, and answers when it is started again', async () => {
    await keylime.kill();
    await expect(keylime.ask('/versions')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await keylime.startAgain();
    expect(await keylime.ask('/versions')).toMatchObject({ status: 200 });
  });

  test('that does not start says why, from the end of its log', async () => {
    const settings = { KEYLIME_VERIFIER_MEASURED_BOOT_IMPORTS: 'not a list' };
    await expect(Keylime.start({ settings })).rejects.toThrow(/ended:[^]*measured_boot_imports/);
  });
});
