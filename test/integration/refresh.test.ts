/** What happens off the request's path, through both bundles: hand-over, schedule, events. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { EventBusServer } from '../../infra/local/aws/event-bus.ts';
import { type InvocationLimits, LambdaService } from '../../infra/local/aws/lambda-service.ts';
import { OatServer, reply } from '../../infra/local/oat-server.ts';
import { answerWith, Cloud } from '../fakes/cloud.ts';
import { answerOf, filterEvent, reasonsOf } from '../fakes/events.ts';
import type { LambdaEnvironment, LogLine } from '../fakes/lambda-environment.ts';

const HOSTS = ['compute-1.example.com', 'compute-2.example.com', 'compute-3.example.com'];
/** What is left of the invocation of a request that must be answered in four seconds. */
const FOUR_SECONDS_MS = 4_500;
const SCHEDULED = { source: 'aws.events', 'detail-type': 'Scheduled Event', detail: {} };

let cloud: Cloud;
let bus: EventBusServer;
let refresh: LambdaService;
let output: string[];

beforeAll(async () => {
  cloud = await Cloud.start();
  bus = await EventBusServer.start(() => {});
});
afterAll(async () => {
  await bus.close();
  await cloud.close();
});
beforeEach(() => {
  output = [];
  bus.events.length = 0;
  bus.before = () => undefined;
});
afterEach(() => refresh.close());

/** Variables of functions that share a table, an attestation service, the bus and the refreshing function. */
async function variables(
  oat: OatServer,
  more: Record<string, string> = {},
  limits: Partial<InvocationLimits> = {},
): Promise<Record<string, string>> {
  const env = {
    ...cloud.env(oat, await cloud.table()),
    ATTESTATION_EVENT_BUS: 'trust',
    AWS_ENDPOINT_URL_EVENTBRIDGE: bus.endpoint,
    ...more,
  };
  refresh = await LambdaService.start({ functionName: 'refresh', env, limits, print: (line) => output.push(line) });
  return { ...env, ATTESTATION_REFRESH_FUNCTION: 'refresh', AWS_ENDPOINT_URL_LAMBDA: refresh.endpoint };
}

/** The lines and metrics that `refresh` printed, once it is closed. */
function printed(): LogLine[] {
  return output.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as LogLine);
}

/** A service that takes so long for each poll. */
function slow(ms: number): Promise<OatServer> {
  return cloud.oat(async (poll, response) => {
    await sleep(ms);
    await answerWith(() => 'trusted')(poll, response);
  });
}

async function askInFourSeconds(environment: LambdaEnvironment, hosts = HOSTS) {
  return environment.invoke(filterEvent(hosts), FOUR_SECONDS_MS);
}

function pollsOf(oat: OatServer, host: string): number {
  return oat.polls.filter(({ hosts }) => hosts.includes(host)).length;
}

describe('a service that takes seven seconds, a request that has four', () => {
  test('answers pending in time, and passes from the table when it is asked again: one poll per host in all', async () => {
    const oat = await slow(7_000);
    const environment = await cloud.environment(await variables(oat));
    expect(reasonsOf(await askInFourSeconds(environment))).toEqual(
      Object.fromEntries(HOSTS.map((host) => [host, 'pending'])),
    );
    expect((await environment.lastLine())['duration_ms']).toBeLessThan(4_400);
    await refresh.settled();
    expect(answerOf(await askInFourSeconds(environment)).hosts).toEqual(HOSTS);
    expect(await environment.lastLine()).toMatchObject({ polls: 0, from_table: 3 });
    for (const host of HOSTS) expect(pollsOf(oat, host)).toBe(1);
    await refresh.close();
    expect(output.join('\n')).toContain('"message":"attestations refreshed"');
  }, 30_000);

  test('the same with three environments that ask at once', async () => {
    const oat = await slow(7_000);
    const env = await variables(oat);
    const environments = await Promise.all([1, 2, 3].map(() => cloud.environment(env)));
    for (const result of await Promise.all(environments.map((each) => askInFourSeconds(each)))) {
      expect(answerOf(result).hosts).toEqual([]);
    }
    for (const each of environments) expect((await each.lastLine())['duration_ms']).toBeLessThan(4_400);
    await refresh.settled();
    for (const each of environments) expect(answerOf(await askInFourSeconds(each)).hosts).toEqual(HOSTS);
    for (const host of HOSTS) expect(pollsOf(oat, host)).toBe(1);
  }, 30_000);
});

describe('a refreshing function that is', () => {
  const failures: [string, (service: LambdaService) => void | Promise<void>][] = [
    ['missing', (service) => void (service.before = () => ({ status: 404, type: 'ResourceNotFoundException' }))],
    ['throttled', (service) => void (service.before = () => ({ status: 429, type: 'TooManyRequestsException' }))],
    ['failing', (service) => void (service.before = () => ({ status: 500, type: 'ServiceException' }))],
    ['not to be reached', (service) => service.close()],
  ];
  test.each(failures)('%s: requests poll for themselves, counted', async (_case, fail) => {
    const oat = await slow(100);
    const environment = await cloud.environment(await variables(oat));
    await fail(refresh);
    expect(answerOf(await askInFourSeconds(environment)).hosts).toEqual(HOSTS);
    expect((await environment.lastLine())['counts']).toMatchObject({ HandOversFailed: 1, Polls: 1 });
    expect(answerOf(await askInFourSeconds(environment, ['compute-9.example.com'])).hosts).toHaveLength(1);
    for (const host of HOSTS) expect(pollsOf(oat, host)).toBe(1);
  });

  test('slow to take what it is handed: the answer is in time', async () => {
    const oat = await slow(100);
    const environment = await cloud.environment(await variables(oat));
    refresh.before = () => new Promise(() => {});
    await askInFourSeconds(environment);
    expect((await environment.lastLine())['duration_ms']).toBeLessThan(4_400);
  }, 10_000);

  test('handed something that is no event of it fails, and says why', async () => {
    const oat = await slow(100);
    await variables(oat);
    for (const event of [null, {}, { hosts: 'a' }, { hosts: [''] }, { hosts: [1] }]) {
      const invocation = refresh.invoke(event);
      while (invocation.error === undefined) await new Promise(setImmediate);
      expect(invocation.error).toMatch(/"hosts" must be/);
    }
    expect(oat.polls).toHaveLength(0);
  });
});

describe('a host that turns untrusted', () => {
  test('is told to the bus by the request that finds it, once', async () => {
    let level = 'trusted';
    const oat = await cloud.oat(answerWith((host) => (host === HOSTS[0] ? level : 'trusted')));
    const environment = await cloud.environment(await variables(oat));
    await environment.invoke(filterEvent(HOSTS));
    level = 'untrusted';
    environment.turnClock(61_000);
    await environment.invoke(filterEvent(HOSTS));
    expect(bus.events).toMatchObject([
      {
        bus: 'trust',
        source: 'trusted-filter',
        detailType: 'HostTrustChanged',
        detail: { host: HOSTS[0], from: 'trusted', to: 'untrusted', reason: 'untrusted' },
      },
    ]);
    expect((await environment.lastLine())['counts']).toMatchObject({ TrustChanges: 1 });
  });

  test('and is not taken by the bus is told by the next refresh', async () => {
    let level = 'trusted';
    const oat = await cloud.oat(answerWith((host) => (host === HOSTS[0] ? level : 'trusted')));
    const environment = await cloud.environment(await variables(oat, { ATTESTATION_AUTH_TIMEOUT: '1' }));
    await environment.invoke(filterEvent(HOSTS));
    level = 'untrusted';
    environment.turnClock(6_000);
    bus.before = () => 'ThrottlingException';
    expect(answerOf(await environment.invoke(filterEvent(HOSTS))).hosts).toEqual(HOSTS.slice(1));
    expect((await environment.lastLine())['counts']).toMatchObject({ EventFaults: 1 });
    expect(bus.events).toEqual([]);
    bus.before = () => undefined;
    refresh.invoke(SCHEDULED);
    await refresh.settled();
    expect(bus.events).toHaveLength(1);
  });
});

test('a schedule attests again what was asked about, so that the next request is a read of the table', async () => {
  const oat = await cloud.oat(({ hosts }, response) => {
    reply(
      response,
      hosts.map((host) => ({ host_name: host, trust_lvl: 'trusted', vtime: Date.now() })),
    );
  });
  const environment = await cloud.environment(await variables(oat, { ATTESTATION_RECHECK: '0' }));
  await environment.invoke(filterEvent(HOSTS));
  const scheduled = refresh.invoke(SCHEDULED);
  await refresh.settled();
  expect(scheduled.result).toMatchObject({ kind: 'schedule', hosts: 3, attested: 3, renewed: 3, due: 0 });
  for (const host of HOSTS) expect(pollsOf(oat, host)).toBe(2);
  environment.turnClock(6_000);
  expect(answerOf(await environment.invoke(filterEvent(HOSTS))).hosts).toEqual(HOSTS);
  expect(await environment.lastLine()).toMatchObject({ polls: 0 });
});

test('a schedule whose service is down says so, though the attestations still hold', async () => {
  let isDown = false;
  const oat = await cloud.oat((poll, response) => {
    if (isDown) response.writeHead(503).end();
    else return answerWith(() => 'trusted')(poll, response);
  });
  const environment = await cloud.environment(await variables(oat, { ATTESTATION_RECHECK: '0' }));
  await environment.invoke(filterEvent(HOSTS));
  isDown = true;
  const scheduled = refresh.invoke(SCHEDULED);
  await refresh.settled();
  expect(scheduled.result).toMatchObject({
    attested: 3,
    renewed: 0,
    due: 3,
    oldest_age_s: expect.any(Number),
  });
  isDown = false;
  refresh.invoke(SCHEDULED);
  await refresh.settled();
  await refresh.close();
  const metrics = printed().filter((line) => line['Refreshes'] === 1);
  expect(metrics).toMatchObject([
    { HostsRefreshed: 3, HostsDue: 3, OldestAttestation: expect.any(Number) },
    { HostsRefreshed: 3, HostsRenewed: 3, OldestAttestation: expect.any(Number) },
  ]);
  expect(JSON.stringify(metrics)).toContain('{"Name":"OldestAttestation","Unit":"Seconds"}');
});

test.each([
  ['that it is deployed with', { ATTESTATION_STACK: 'trust-blue' }, 'trust-blue'],
  ['local, where no stack has deployed it', {}, 'local'],
])('metrics have the function as a dimension, and the stack: %s', async (_case, more, stack) => {
  const oat = await cloud.oat(answerWith(() => 'trusted'));
  const environment = await cloud.environment(await variables(oat, more));
  await environment.invoke(filterEvent(HOSTS));
  refresh.invoke(SCHEDULED);
  await refresh.settled();
  await refresh.close();
  while (!environment.output.includes('"_aws"')) await new Promise(setImmediate);
  const ofFilter = environment.output.split('\n').find((line) => line.includes('"_aws"')) ?? '';
  const ofRefresh = printed().find((line) => '_aws' in line);
  for (const [line, name] of [
    [JSON.parse(ofFilter) as LogLine, 'filter'],
    [ofRefresh, 'refresh'],
  ]) {
    expect(line).toMatchObject({ service: 'trusted-filter', function: name, stack });
    const { CloudWatchMetrics } = (line as { _aws: { CloudWatchMetrics: { Dimensions: string[][] }[] } })._aws;
    expect(CloudWatchMetrics.map(({ Dimensions }) => Dimensions.map((set) => set.toSorted()))).toEqual([
      [['function', 'service', 'stack']],
    ]);
  }
});

test('a schedule that cannot read the table fails, counted, and its event is a dead letter', async () => {
  const oat = await cloud.oat(answerWith(() => 'trusted'));
  await variables(oat, { ATTESTATION_TABLE: 'no-such-table' }, { retryAfterMs: 0 });
  const scheduled = refresh.invoke(SCHEDULED);
  await refresh.settled();
  expect(scheduled).toMatchObject({ state: 'failed', tries: 2 });
  expect(scheduled.error).toContain('10 of 10 shards of the table could not be read.');
  expect(refresh.deadLetters).toEqual([SCHEDULED]);
  await refresh.close();
  const lines = printed();
  expect(lines.filter(({ message }) => message === 'refresh failed')).toMatchObject([
    { level: 'ERROR', error_code: 'unread-table', kind: 'schedule', hosts: 0, attested: 0 },
    { level: 'ERROR', error_code: 'unread-table' },
  ]);
  expect(lines.filter((line) => line['RefreshesFailed'] === 1)).toHaveLength(2);
});
