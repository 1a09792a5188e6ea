/** A path between the function and its table that forgets connections, as NAT gateways and interface endpoints do. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { SAFE_IDLE_MS } from '../../lambda/kept-connections.ts';
import { answerWith, Cloud } from '../fakes/cloud.ts';
import { answerOf, filterEvent } from '../fakes/events.ts';
import { type Forgets, ForgetfulPath } from '../fakes/forgetful-path.ts';
import { answering, FaultyServer } from '../fakes/faulty-server.ts';
import type { LambdaEnvironment } from '../fakes/lambda-environment.ts';
import { recordAt, recorded, send, withResults } from '../fakes/recorded-answers.ts';

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

describe('a path to a Keylime verifier that swallows what an environment says which was frozen', () => {
  const closers: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of closers.splice(0)) await end();
  });

  test.each([
    ['on all connections: the GETs go out over new ones, too', 10, 3_000, 10],
    ['on some: those GETs do, and their hosts are not given up while others are answered about', 3, 3_000, 3],
    ['for longer than connections are safe: none is used again', 10, SAFE_IDLE_MS + 1_000, 0],
  ])(
    '%s',
    async (_, kept, frozenMs, resent) => {
      const tls = { ...cloud.server, ca: cloud.authority.cert, requestCert: true, rejectUnauthorized: true };
      const verifier = await FaultyServer.start(
        answering(tls, ({ response }) => {
          const now = Math.floor(Date.now() / 1000);
          response.setHeader('connection', 'keep-alive');
          send(response, withResults(recorded('agent-7.14.3'), recordAt(now - 1)), new Date(now * 1000).toUTCString());
        }),
      );
      const path = await ForgetfulPath.to(verifier.port);
      closers.push(
        () => path.close(),
        () => verifier.shut(),
      );
      const asked = await cloud.environment({
        ...cloud.env(path, await cloud.table()),
        ATTESTATION_SERVICE: 'keylime',
      });
      const named = (kind: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${kind}-${i}`);
      const before = named('before', kept);
      expect(answerOf(await asked.invoke(filterEvent(before))).hosts).toEqual(before);
      await asked.lastLine();
      asked.freeze();
      path.forget('swallow');
      await new Promise((resolve) => setTimeout(resolve, frozenMs));
      asked.thaw();
      const after = named('after', 30);
      expect(answerOf(await asked.invoke(filterEvent(after)))).toMatchObject({ hosts: after, rejected: [] });
      const { counts = {} } = await asked.lastLine();
      const { HostFaults, PollsFailed, ResentPolls = 0 } = counts as Record<string, number | undefined>;
      expect({ HostFaults, PollsFailed, ResentPolls }).toEqual({ ResentPolls: resent });
    },
    60_000,
  );
});
