import { describe, expect, test } from '@jest/globals';
import { parseDistinguishedName, type DistinguishedName } from '../../../lambda/http/distinguished-name.ts';
import { Webhook } from '../../../lambda/http/webhook.ts';
import type { RequestLog, RequestRecord } from '../../../lambda/log/request-log.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';

/** As verifier 7.14.3 sends it, shortened. */
function notification(members: object): string {
  const msg = {
    type: 'revocation',
    ip: '127.0.0.1',
    port: 19001,
    event_id: 'pcr_validation.invalid_pcr_23',
    ...members,
  };
  return JSON.stringify({ msg: JSON.stringify(msg), signature: '' });
}

function setUp({ verifiers, takes = true }: { verifiers?: readonly DistinguishedName[]; takes?: boolean } = {}) {
  const clock = new VirtualClock();
  const hints: string[] = [];
  const records: RequestRecord[] = [];
  const log = { note: (_event: object, record: RequestRecord) => records.push(record) } as unknown as RequestLog;
  const hint = (agent: string): Promise<boolean> => Promise.resolve(hints.push(agent) > 0 && takes);
  const webhook = new Webhook({ verifiers, recheckMs: 5_000, handOver: { hint }, clock, log });
  return { clock, hints, records, webhook };
}

describe('a verifier’s notification', () => {
  test.each(['1882f555-6930-50a3-b8f2-45d2a1c8a70d', 'compute-1.example.com', 'a'.repeat(80)])(
    'about the agent %s is passed on as a hint, and nothing of it is logged',
    async (agent) => {
      const { hints, records, webhook } = setUp();
      const answer = await webhook.handle({ body: notification({ agent_id: agent, meta_data: 'hunter2' }) });
      expect(answer.statusCode).toBe(200);
      expect(hints).toEqual([agent]);
      expect(records).toEqual([{ hint: 'taken' }]);
    },
  );

  test('may come encoded, as API Gateway passes on what it does not take for text', async () => {
    const { hints, webhook } = setUp();
    const body = Buffer.from(notification({ agent_id: 'a1' })).toString('base64');
    await webhook.handle({ body, isBase64Encoded: true });
    expect(hints).toEqual(['a1']);
  });

  test.each([
    undefined,
    '',
    'null',
    '[]',
    '{',
    '{"msg":7}',
    '{"msg":"{"}',
    '{"msg":"null"}',
    '{"msg":{"agent_id":"a1"}}',
    notification({}),
    notification({ agent_id: 7 }),
    notification({ agent_id: 'a/b' }),
    notification({ agent_id: 'x'.repeat(81) }),
    notification({ agent_id: '' }),
  ])('that is %j is answered with 200 all the same, and does nothing', async (body) => {
    const { hints, records, webhook } = setUp();
    expect((await webhook.handle(body === undefined ? {} : { body })).statusCode).toBe(200);
    expect(hints).toEqual([]);
    expect(records).toEqual([{ hint: 'none' }]);
  });

  test('that is repeated is passed on once within the recheck, however often it comes', async () => {
    const { clock, hints, webhook } = setUp();
    const body = notification({ agent_id: 'a1' });
    for (let i = 0; i < 100; i++) await webhook.handle({ body });
    expect(hints).toEqual(['a1']);
    await clock.advance(4_999);
    await webhook.handle({ body });
    expect(hints).toHaveLength(1);
    await clock.advance(1);
    await webhook.handle({ body });
    expect(hints).toHaveLength(2);
  });

  test('is asked for again where it can’t be passed on, and then passed on', async () => {
    const { hints, webhook } = setUp({ takes: false });
    const body = notification({ agent_id: 'a1' });
    await expect(webhook.handle({ body })).rejects.toMatchObject({ status: 503, code: 'hint-not-taken' });
    await expect(webhook.handle({ body })).rejects.toMatchObject({ status: 503 });
    expect(hints).toEqual(['a1', 'a1']);
  });

  test('is taken of nobody but the verifiers, where they show certificates', async () => {
    const verifiers = [parseDistinguishedName('CN=verifier,O=example') as DistinguishedName];
    const shown = (subjectDN: string) => ({
      body: notification({ agent_id: 'a1' }),
      requestContext: { authentication: { clientCert: { subjectDN } } } as never,
    });
    const { hints, records, webhook } = setUp({ verifiers });
    await expect(webhook.handle(shown('CN=kube-scheduler,O=example'))).rejects.toMatchObject({ status: 403 });
    await expect(webhook.handle({ body: notification({ agent_id: 'a1' }) })).rejects.toMatchObject({ status: 403 });
    expect(hints).toEqual([]);
    expect((await webhook.handle(shown('CN=verifier,O=example'))).statusCode).toBe(200);
    expect(records).toEqual([{ client: 'CN=verifier,O=example', hint: 'taken' }]);
    await expect(setUp({ verifiers: [] }).webhook.handle(shown('CN=verifier,O=example'))).rejects.toMatchObject({
      status: 403,
    });
  });

  test('about ever other agents takes no more than so much memory', async () => {
    const { hints, webhook } = setUp();
    for (let i = 0; i < 10_002; i++) await webhook.handle({ body: notification({ agent_id: `a${i}` }) });
    await webhook.handle({ body: notification({ agent_id: 'a0' }) });
    await webhook.handle({ body: notification({ agent_id: 'a10001' }) });
    expect(hints.slice(10_002)).toEqual(['a0']);
  });
});
