/** A path between the function and its table that forgets connections, as NAT gateways and interface endpoints do. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { SAFE_IDLE_MS } from '../../lambda/kept-connections.ts';
import { answerWith, Cloud } from '../fakes/cloud.ts';
import { answerOf, filterEvent } from '../fakes/events.ts';
import { type Forgets, ForgetfulPath } from '../fakes/forgetful-path.ts';
import type { LambdaEnvironment } from '../fakes/lambda-environment.ts';

const WAYS: readonly Forgets[] = ['reset', 'swallow', 'close'];
/** Longer than memory serves without a look at the table. */
const STALE_MS = 6_000;

let cloud: Cloud;

beforeAll(async () => {
  cloud = await Cloud.start();
});
afterAll(() => cloud.close());

/** An environment behind such a path, whose table knows the hosts. */
async function environment(hosts: readonly string[]): Promise<{ path: ForgetfulPath; environment: LambdaEnvironment }> {
  const oat = await cloud.oat(answerWith(() => 'trusted'));
  const { port } = new URL(cloud.dynamodbEndpoint);
  const path = await ForgetfulPath.to(Number(port));
  const env = {
    ...cloud.env(oat, await cloud.table()),
    AWS_ENDPOINT_URL_DYNAMODB: `http://127.0.0.1:${path.port}`,
    ATTESTATION_AUTH_TIMEOUT: '600',
    ATTESTATION_FLEET_SIZE: String(hosts.length),
  };
  const started = await cloud.environment(env);
  expect(answerOf(await started.invoke(filterEvent(hosts))).hosts).toHaveLength(hosts.length);
  return { path, environment: started };
}

async function expectAllFromTable(asked: LambdaEnvironment, hosts: readonly string[]): Promise<void> {
  expect(answerOf(await asked.invoke(filterEvent(hosts))).hosts).toHaveLength(hosts.length);
  const line = await asked.lastLine();
  expect(line).toMatchObject({ passed: hosts.length, polls: 0 });
  // Nobody's fault: there is nothing to count.
  expect(line['counts']).toBeUndefined();
}

describe.each([1_000, 10_000])('a path that forgets, with a table that knows %d hosts', (count) => {
  const hosts = Array.from({ length: count }, (_, i) => `compute-${i}.example.com`);

  test.each(WAYS)('and has the next word on a connection %s: all pass, and the table is not at fault', async (way) => {
    const { path, environment: asked } = await environment(hosts);
    const before = path.connections;
    path.forget(way);
    asked.turnClock(STALE_MS);
    await expectAllFromTable(asked, hosts);
    expect(path.connections).toBeGreaterThan(before);
    await path.close();
  });
});

test('an environment that was frozen for longer than connections are safe uses none of them again', async () => {
  const hosts = Array.from({ length: 1_000 }, (_, i) => `compute-${i}.example.com`);
  const behind = await Promise.all(WAYS.map(() => environment(hosts)));
  for (const { environment: each } of behind) each.freeze();
  for (const [i, { path }] of behind.entries()) path.forget(WAYS[i]!);
  await new Promise((resolve) => setTimeout(resolve, SAFE_IDLE_MS + 1_000));
  for (const { environment: each } of behind) each.thaw();
  for (const { environment: each } of behind) await expectAllFromTable(each, hosts);
  for (const { path } of behind) await path.close();
}, 60_000);

describe('a path to the attestation service that swallows what an environment says which was frozen', () => {
  const hosts = Array.from({ length: 100 }, (_, i) => `compute-${i}.example.com`);

  test.each([
    ['for less than connections are safe: the poll goes out over a new one, too, when it gets no byte', 3_000, 1],
    ['for longer than that: the connection is not used again', SAFE_IDLE_MS + 1_000, 0],
  ])(
    '%s',
    async (_, frozenMs, resent) => {
      const oat = await cloud.oat(answerWith(() => 'trusted'));
      const path = await ForgetfulPath.to(oat.port);
      const asked = await cloud.environment({
        ...cloud.env(oat, await cloud.table()),
        ATTESTATION_PORT: String(path.port),
        ATTESTATION_AUTH_TIMEOUT: '2',
        ATTESTATION_RECHECK: '1',
      });
      expect(answerOf(await asked.invoke(filterEvent(hosts))).hosts).toHaveLength(hosts.length);
      await asked.lastLine();
      asked.freeze();
      path.forget('swallow');
      await new Promise((resolve) => setTimeout(resolve, frozenMs));
      asked.thaw();
      expect(answerOf(await asked.invoke(filterEvent(hosts))).hosts).toHaveLength(hosts.length);
      const { counts = {} } = await asked.lastLine();
      const { PollsFailed, ResentPolls = 0 } = counts as Record<string, number | undefined>;
      expect({ PollsFailed, ResentPolls }).toEqual({ PollsFailed: undefined, ResentPolls: resent });
      await path.close();
    },
    60_000,
  );
});
