import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFixtures } from '../../infra/local/fixtures.ts';
import { answerFromFleet } from '../../infra/local/fleet.ts';
import { answerWith, Cloud } from '../fakes/cloud.ts';
import { answerOf, filterEvent, fixture, reasonsOf } from '../fakes/events.ts';
import type { LambdaEnvironment } from '../fakes/lambda-environment.ts';

let cloud: Cloud;
let environment: LambdaEnvironment;

beforeAll(async () => {
  cloud = await Cloud.start();
  const oat = await cloud.oat(answerFromFleet);
  environment = await cloud.environment(cloud.env(oat, await cloud.table()));
});
afterAll(() => cloud.close());

const PASSING = ['compute-1.example.com', 'slow-1.example.com', 'compute-2.example.com'];

describe('the fixtures', () => {
  test.each([
    ['trusted-wanted', PASSING, { 'untrusted-1.example.com': 'untrusted' }],
    ['key-trust', PASSING, { 'untrusted-1.example.com': 'untrusted' }],
    ['base64-body', PASSING, { 'untrusted-1.example.com': 'untrusted' }],
    ['untrusted-wanted', ['untrusted-1.example.com'], Object.fromEntries(PASSING.map((host) => [host, 'trusted']))],
    ['unknown-host', ['compute-1.example.com'], { 'stranger.example.com': 'unknown' }],
    ['no-hosts', [], {}],
  ])('%s passes the hosts with that trust and says why the others do not', async (name, hosts, reasons) => {
    const result = await environment.invoke(fixture(name));
    expect(result.statusCode).toBe(200);
    expect(answerOf(result).hosts).toEqual(hosts);
    expect(reasonsOf(result)).toEqual(reasons);
  });

  test('no-trust-wanted passes every host, in order, with nothing rejected and no end', async () => {
    const result = await environment.invoke(fixture('no-trust-wanted'));
    expect(answerOf(result)).toEqual({
      hosts: ['compute-1.example.com', 'untrusted-1.example.com', 'slow-1.example.com', 'compute-2.example.com'],
      rejected: [],
    });
  });

  test('thousand-hosts passes all thousand, in ten polls', async () => {
    const result = await environment.invoke(fixture('thousand-hosts'));
    expect(answerOf(result).hosts).toHaveLength(1000);
    expect(await environment.lastLine()).toMatchObject({ hosts: 1000, passed: 1000, polls: 10 });
  });

  test('unicode-host-names are kept code point for code point', async () => {
    const event = fixture('unicode-host-names') as { body: string };
    const sent = JSON.parse(event.body) as { host_states: { nodename: string }[] };
    const result = await environment.invoke(event);
    expect(answerOf(result).hosts).toEqual(sent.host_states.map(({ nodename }) => nodename));
  });

  test('hostile-host-names are hosts like any other', async () => {
    const result = await environment.invoke(fixture('hostile-host-names'));
    expect(answerOf(result).hosts).toHaveLength(7);
    expect(reasonsOf(result)).toEqual(
      Object.fromEntries(['__proto__', 'constructor', '../../PollHosts?x=#'].map((host) => [host, 'unknown'])),
    );
  });

  test.each([
    ['keys-in-conflict', 400, 'invalid-request', /"trusted".*"untrusted"/],
    ['key-unscoped', 400, 'invalid-request', /"trusted_host"/],
    ['key-odd-case', 400, 'invalid-request', /" Trust:Trusted_Host"/],
    ['value-unknown', 400, 'invalid-request', /"unknown"/],
    ['malformed-json', 400, 'invalid-request', /not JSON/],
    ['surrogate-host-name', 400, 'invalid-request', /host_states\[1\]\.nodename/],
    ['wrong-method', 405, 'method-not-allowed', /POST/],
    ['unknown-route', 404, 'unknown-route', /\/filters/],
  ])('%s is answered with %d and a problem that names the fault', async (name, status, type, detail) => {
    const { statusCode, headers, body } = await environment.invoke(fixture(name));
    expect(statusCode).toBe(status);
    expect(headers).toMatchObject({ 'content-type': 'application/problem+json' });
    const problem = JSON.parse(body ?? '') as Record<string, unknown>;
    expect(problem).toMatchObject({ type: `urn:trusted-filter:problem:${type}`, status });
    expect(problem['detail']).toMatch(detail);
  });

  test('every one is answered with its request id, and with one line in the log', async () => {
    for (const { event } of readFixtures()) {
      const before = environment.lines.length;
      const { headers } = await environment.invoke(event);
      expect(headers).toMatchObject({ 'x-request-id': event.requestContext.requestId });
      const line = await environment.lastLine();
      expect(line).toMatchObject({ request_id: event.requestContext.requestId });
      expect(environment.lines.length).toBe(before + 1);
    }
  });
});

test('seventy thousand hosts are answered, one over is refused', async () => {
  const oat = await cloud.oat(answerWith((host) => (host.endsWith('7') ? 'untrusted' : 'trusted')));
  const big = await cloud.environment(cloud.env(oat, await cloud.table()));
  const hosts = Array.from({ length: 70_000 }, (_, i) => `compute-${i}.example.com`);
  const first = await big.invoke(filterEvent(hosts));
  expect(first.statusCode).toBe(200);
  const second = await big.invoke(filterEvent(hosts));
  expect(answerOf(second).hosts).toEqual(hosts.filter((host) => !host.endsWith('7')));
  expect((await big.invoke(filterEvent([...hosts, 'one-more']))).statusCode).toBe(413);
}, 120_000);

test('every line and metric of a request says how it was answered, in the same fields', async () => {
  const oat = await cloud.oat(answerWith(() => 'trusted'));
  const fresh = await cloud.environment(cloud.env(oat, await cloud.table()));
  await fresh.invoke(fixture('trusted-wanted'));
  expect(await fresh.lastLine()).toMatchObject({
    level: 'INFO',
    message: 'request answered',
    status: 200,
    route: 'POST /filter',
    cold_start: true,
    required_trust: 'trusted',
    workload: { instance_uuid: '5f0c1c5e-9f0e-4a0b-8f5d-2b7f6a1c9d10', project_id: '6b1f0f0e8a0b4a2c9d3e' },
    hosts: 4,
    passed: 4,
    rejected: {},
    from_memory: 0,
    from_table: 0,
    from_poll: 4,
    polls: 1,
    duration_ms: expect.any(Number),
    parse_ms: expect.any(Number),
    attest_ms: expect.any(Number),
    render_ms: expect.any(Number),
  });
  expect(fresh.output).toMatch(/"Dimensions":\[\["service","function","stack"\]\]/);
});

test('a configuration with faults answers every request with all of them, and names no value', async () => {
  const broken = await cloud.environment({ ATTESTATION_SERVER: 'https://secret.example.com/', ATTESTATION_PORT: '0' });
  const { statusCode, body } = await broken.invoke(fixture('trusted-wanted'));
  expect(statusCode).toBe(500);
  const { type, detail } = JSON.parse(body ?? '') as { type: string; detail: string };
  expect(type).toBe('urn:trusted-filter:problem:configuration');
  for (const name of ['SERVER', 'PORT', 'SECRET_ID', 'TABLE']) expect(detail).toContain(`ATTESTATION_${name}`);
  expect(detail).not.toContain('secret.example.com');
});
