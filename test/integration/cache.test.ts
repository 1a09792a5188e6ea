import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { DynamoDbServer } from '../../infra/local/aws/dynamodb.ts';
import { reply } from '../../infra/local/oat-server.ts';
import { answerWith, Cloud } from '../fakes/cloud.ts';
import { answerOf, filterEvent, reasonsOf } from '../fakes/events.ts';

const HOSTS = ['compute-1.example.com', 'compute-2.example.com', 'untrusted-1.example.com'];
const levels = (host: string): string => (host.startsWith('untrusted') ? 'untrusted' : 'trusted');
const trustedOnes = HOSTS.slice(0, 2);

let cloud: Cloud;
beforeAll(async () => {
  cloud = await Cloud.start();
});
afterAll(() => cloud.close());

describe('an attestation that is valid', () => {
  test('answers from memory, without a poll', async () => {
    const oat = await cloud.oat(answerWith(levels));
    const environment = await cloud.environment(cloud.env(oat, await cloud.table()));
    const first = await environment.invoke(filterEvent(HOSTS));
    const second = await environment.invoke(filterEvent(HOSTS));
    expect(answerOf(second)).toEqual(answerOf(first));
    expect(answerOf(second).hosts).toEqual(trustedOnes);
    expect(oat.polls).toHaveLength(1);
    expect(await environment.lastLine()).toMatchObject({ from_memory: 3, polls: 0 });
  });

  test('answers from the table in another environment, without a poll', async () => {
    const oat = await cloud.oat(answerWith(levels));
    const env = cloud.env(oat, await cloud.table());
    await (await cloud.environment(env)).invoke(filterEvent(HOSTS));
    const other = await cloud.environment(env);
    expect(answerOf(await other.invoke(filterEvent(HOSTS))).hosts).toEqual(trustedOnes);
    expect(oat.polls).toHaveLength(1);
    expect(await other.lastLine()).toMatchObject({ from_table: 3, polls: 0 });
  });

  test('keeps its verdict while the service is down; hosts without one are unreachable, and within the deadline', async () => {
    const oat = await cloud.oat(answerWith(levels));
    const environment = await cloud.environment(cloud.env(oat, await cloud.table()));
    await environment.invoke(filterEvent(HOSTS));
    await oat.close();
    const result = await environment.invoke(filterEvent([...HOSTS, 'compute-3.example.com']));
    expect(answerOf(result).hosts).toEqual(trustedOnes);
    expect(reasonsOf(result)).toEqual({
      'untrusted-1.example.com': 'untrusted',
      'compute-3.example.com': 'unreachable',
    });
  });

  test('ends with its validity, and the host is polled again', async () => {
    let level = 'trusted';
    const oat = await cloud.oat(answerWith(() => level));
    const environment = await cloud.environment(cloud.env(oat, await cloud.table()));
    await environment.invoke(filterEvent(HOSTS));
    level = 'untrusted';
    environment.turnClock(59_000);
    expect(answerOf(await environment.invoke(filterEvent(HOSTS))).hosts).toEqual(HOSTS);
    environment.turnClock(61_000);
    expect(answerOf(await environment.invoke(filterEvent(HOSTS))).hosts).toEqual([]);
    expect(oat.polls).toHaveLength(2);
  });

  test('is passed on with its end', async () => {
    const oat = await cloud.oat(answerWith(levels));
    const environment = await cloud.environment(cloud.env(oat, await cloud.table()));
    const before = Date.now();
    const { valid_until } = answerOf(await environment.invoke(filterEvent(HOSTS)));
    const end = Date.parse(valid_until ?? '');
    expect(end).toBeGreaterThanOrEqual(before + 60_000);
    expect(end).toBeLessThanOrEqual(Date.now() + 60_000);
  });
});

test('requests at the same time share one poll of the same hosts', async () => {
  const release = Promise.withResolvers<undefined>();
  const oat = await cloud.oat(async (poll, response) => {
    await release.promise;
    await answerWith(levels)(poll, response);
  });
  const environment = await cloud.environment(cloud.env(oat, await cloud.table()));
  const requests = Array.from({ length: 20 }, () => environment.invoke(filterEvent(HOSTS)));
  while (oat.polls.length === 0) await new Promise(setImmediate);
  release.resolve(undefined);
  for (const result of await Promise.all(requests)) expect(answerOf(result).hosts).toEqual(trustedOnes);
  expect(oat.polls).toHaveLength(1);
});

test('an answer whose time is older than the validity decides the request that polled, and others for a moment', async () => {
  const oat = await cloud.oat(({ hosts }, response) => {
    const vtime = Date.now() - 120_000;
    reply(
      response,
      hosts.map((host) => ({ host_name: host, trust_lvl: 'trusted', vtime })),
    );
  });
  const environment = await cloud.environment(cloud.env(oat, await cloud.table()));
  const hosts = Array.from({ length: 200 }, (_, i) => `compute-${i}.example.com`);
  expect(answerOf(await environment.invoke(filterEvent(hosts))).hosts).toEqual(hosts);
  expect(oat.polls).toHaveLength(2);
  environment.turnClock(4_000);
  expect(answerOf(await environment.invoke(filterEvent(hosts))).hosts).toEqual(hosts);
  expect(oat.polls).toHaveLength(2);
  environment.turnClock(7_000);
  await environment.invoke(filterEvent(hosts));
  expect(oat.polls).toHaveLength(4);
  expect((await environment.lastLine())['counts']).toMatchObject({ LateVtimes: 200 });
});

describe('after a failed poll', () => {
  test('the next waits for the recheck, then for twice that, and the host is polled no more often', async () => {
    const oat = await cloud.oat((_poll, response) => void response.writeHead(503).end());
    const environment = await cloud.environment(cloud.env(oat, await cloud.table()));
    const polls = async (clockMs: number): Promise<number> => {
      environment.turnClock(clockMs);
      expect(reasonsOf(await environment.invoke(filterEvent(['compute-1'])))).toEqual({ 'compute-1': 'unreachable' });
      return oat.polls.length;
    };
    expect(await polls(0)).toBe(1);
    expect(await polls(4_000)).toBe(1);
    expect(await polls(6_000)).toBe(2);
    expect(await polls(14_000)).toBe(2);
    expect(await polls(17_000)).toBe(3);
  });

  test('a host that the reply leaves out is not in the reply, and its neighbours pass', async () => {
    const oat = await cloud.oat((poll, response) =>
      answerWith(levels)({ ...poll, hosts: poll.hosts.filter((host) => host !== 'compute-2') }, response),
    );
    const environment = await cloud.environment(cloud.env(oat, await cloud.table()));
    const result = await environment.invoke(filterEvent(['compute-1', 'compute-2']));
    expect(answerOf(result).hosts).toEqual(['compute-1']);
    expect(reasonsOf(result)).toEqual({ 'compute-2': 'not-in-reply' });
  });
});

describe('at the deadline', () => {
  test('hosts without an answer are pending, and the poll is aborted and its connection closed', async () => {
    const closed = Promise.withResolvers<undefined>();
    const oat = await cloud.oat(({ request }) => void request.socket.on('close', () => closed.resolve(undefined)));
    const environment = await cloud.environment(cloud.env(oat, await cloud.table()));
    const result = await environment.invoke(filterEvent(['compute-1']), 2_000);
    expect(reasonsOf(result)).toEqual({ 'compute-1': 'pending' });
    await closed.promise;
  });

  test('hosts that were answered pass, whatever others do', async () => {
    const oat = await cloud.oat((poll, response) => {
      if (!poll.hosts.includes('silent')) return answerWith(levels)(poll, response);
    });
    const env = { ...cloud.env(oat, await cloud.table()), ATTESTATION_REQUEST_COUNT: '1' };
    const environment = await cloud.environment(env);
    const result = await environment.invoke(filterEvent(['compute-1', 'silent', 'compute-2']), 2_000);
    expect(answerOf(result).hosts).toEqual(['compute-1', 'compute-2']);
    expect(reasonsOf(result)).toEqual({ silent: 'pending' });
  });
});

describe('without DynamoDB', () => {
  test('hosts are polled and pass, within the deadline, and the faults are counted', async () => {
    const oat = await cloud.oat(answerWith(levels));
    const gone = await DynamoDbServer.start();
    await gone.close();
    const env = { ...cloud.env(oat, 'no-table'), AWS_ENDPOINT_URL_DYNAMODB: gone.endpoint };
    const environment = await cloud.environment(env);
    const result = await environment.invoke(filterEvent(HOSTS), 3_000);
    expect(answerOf(result).hosts).toEqual(trustedOnes);
    const { counts } = (await environment.lastLine()) as { counts: Record<string, number> };
    expect(counts).toMatchObject({ PollsWithoutClaim: 1 });
    expect(counts['TableFaults']).toBeGreaterThan(0);
  });

  test('memory serves until the end of the validity', async () => {
    const oat = await cloud.oat(answerWith(levels));
    const dynamodb = await DynamoDbServer.start();
    const { endpoint } = dynamodb;
    const table = await cloud.table(endpoint);
    const env = { ...cloud.env(oat, table), AWS_ENDPOINT_URL_DYNAMODB: endpoint };
    const environment = await cloud.environment(env);
    await environment.invoke(filterEvent(HOSTS));
    await dynamodb.close();
    environment.turnClock(30_000);
    expect(answerOf(await environment.invoke(filterEvent(HOSTS), 3_000)).hosts).toEqual(trustedOnes);
    expect(oat.polls).toHaveLength(1);
  });
});

test('a workload that asks for no trust passes with no request to anything', async () => {
  const environment = await cloud.environment({
    ATTESTATION_SERVER: 'localhost',
    ATTESTATION_PORT: '9',
    ATTESTATION_SECRET_ID: 'none',
    ATTESTATION_TABLE: 'none',
    AWS_REGION: 'us-east-1',
    AWS_ENDPOINT_URL: 'http://127.0.0.1:9',
  });
  expect(answerOf(await environment.invoke(filterEvent(HOSTS, null)))).toEqual({ hosts: HOSTS, rejected: [] });
  const line = await environment.lastLine();
  expect(line).toMatchObject({ passed: 3, polls: 0, from_memory: 0 });
  expect(line['faults']).toBeUndefined();
});

test('names that do not match the pattern are unknown without a poll', async () => {
  const oat = await cloud.oat(answerWith(levels));
  const env = { ...cloud.env(oat, await cloud.table()), ATTESTATION_HOST_PATTERN: '^compute-[0-9]+$' };
  const environment = await cloud.environment(env);
  const result = await environment.invoke(filterEvent(['compute-1', 'compute-x']));
  expect(answerOf(result).hosts).toEqual(['compute-1']);
  expect(reasonsOf(result)).toEqual({ 'compute-x': 'unknown' });
  expect(oat.polls.flatMap(({ hosts }) => hosts)).toEqual(['compute-1']);
});
