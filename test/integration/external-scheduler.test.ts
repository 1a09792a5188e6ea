import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFixtures } from '../../infra/local/fixtures.ts';
import { answerFromFleet } from '../../infra/local/fleet.ts';
import { answerWith, Cloud } from '../fakes/cloud.ts';
import { fixture } from '../fakes/events.ts';
import type { LambdaEnvironment } from '../fakes/lambda-environment.ts';

let cloud: Cloud;
let environment: LambdaEnvironment;

beforeAll(async () => {
  cloud = await Cloud.start();
  const oat = await cloud.oat(answerFromFleet);
  environment = await cloud.environment(cloud.env(oat, await cloud.table()));
});
afterAll(() => cloud.close());

/** What a fixture is answered: to the letter, since the caller refuses all else. */
async function answerTo(name: string, of = environment): Promise<unknown> {
  const { statusCode, headers, body } = await of.invoke(fixture(`external-scheduler-${name}`));
  expect(statusCode).toBe(200);
  expect(headers).toMatchObject({ 'content-type': 'application/json', 'cache-control': 'no-store' });
  return JSON.parse(body ?? '');
}

const services = (...numbers: number[]) => ({ hosts: numbers.map((number) => `nova-compute-${number}`) });
const NOBODY = { hosts: [] };

describe('the fixtures of the external scheduler', () => {
  test.each<[string, object]>([
    ['trusted-wanted', services(1, 3, 4)],
    ['base64-body', services(1, 3, 4)],
    ['rebuild-by-hint', services(1, 3, 4)],
    ['strange-weights', services(1, 3, 4)],
    ['untrusted-wanted', services(2)],
    ['duplicate-hosts', services(4, 1)],
    ['several-hypervisors', { hosts: ['ironic-1'] }],
    ['null-names', services(1, 4)],
    ['surrogate-names', services(1, 4)],
    ['no-hosts', NOBODY],
  ])('%s: the compute services all of whose hypervisors have that trust', async (name, expected) => {
    expect(await answerTo(name)).toStrictEqual(expected);
  });

  test.each<[string, object]>([
    ['no-trust-wanted', services(1, 2, 3, 4, 5)],
    ['nulls', services(1, 2, 3, 4)],
    ['rebuild', services(1, 2, 3, 4)],
  ])('%s: every compute service, with nothing attested', async (name, expected) => {
    expect(await answerTo(name)).toStrictEqual(expected);
    const line = await environment.lastLine();
    expect(line).toMatchObject({ from_memory: 0, from_table: 0, from_poll: 0, polls: 0 });
    expect(line).not.toHaveProperty('required_trust');
  });

  test.each([
    ['key-unscoped'],
    ['value-unknown'],
    ['no-flavor'],
    ['no-spec'],
    ['hosts-as-map'],
    ['malformed-json'],
    ['empty-body'],
  ])('%s: nobody, and the log says why', async (name) => {
    expect(await answerTo(name)).toStrictEqual(NOBODY);
    expect(await environment.lastLine()).toMatchObject({ status: 200, route: 'POST /nova/external-scheduler' });
    expect(JSON.stringify(await environment.lastLine())).toContain('invalid-request');
  });

  test('five-thousand-hosts: the 4,500 that are trusted, in their order', async () => {
    const expected = Array.from({ length: 5_000 }, (_, i) => i + 1).filter((number) => number % 10 !== 0);
    expect(await answerTo('five-thousand-hosts')).toStrictEqual(services(...expected));
    expect(await environment.lastLine()).toMatchObject({
      hosts: 5_000,
      passed: 4_500,
      rejected: { untrusted: 500 },
      required_trust: 'trusted',
      workload: { instance_uuid: '5f0c1c5e-9f0e-4a0b-8f5d-2b7f6a1c9d10', project_id: '6b1f0f0e8a0b4a2c9d3e' },
    });
  });

  test('every one is sent here', () => {
    const names = readFixtures().filter(({ name }) => name.startsWith('external-scheduler-'));
    expect(names).toHaveLength(21);
  });
});

describe('the external scheduler is answered that no host passes', () => {
  test('where there are more hosts than configured', async () => {
    const oat = await cloud.oat(answerFromFleet);
    const small = await cloud.environment({
      ...cloud.env(oat, await cloud.table()),
      ATTESTATION_MAX_HOSTS: '3',
    });
    expect(await answerTo('trusted-wanted', small)).toStrictEqual(NOBODY);
    expect(JSON.stringify(await small.lastLine())).toContain('too-many-hosts');
  });

  test('where the configuration has faults, rebuild or not', async () => {
    const broken = await cloud.environment({ ATTESTATION_SERVER: 'https://secret.example.com/' });
    expect(await answerTo('trusted-wanted', broken)).toStrictEqual(NOBODY);
    expect(await answerTo('rebuild', broken)).toStrictEqual(NOBODY);
  });

  test('within 8 seconds where the attestation service hangs', async () => {
    const oat = await cloud.oat(() => {});
    const hanging = await cloud.environment(cloud.env(oat, await cloud.table()));
    const before = performance.now();
    expect(await answerTo('trusted-wanted', hanging)).toStrictEqual(NOBODY);
    expect(performance.now() - before).toBeLessThan(8_000);
  }, 20_000);

  test('but for those that answered within 8 seconds where one hangs', async () => {
    const oat = await cloud.oat(async (poll, response) => {
      if (poll.hosts.some((host) => host.startsWith('slow-'))) return;
      await answerWith((host) => (host.startsWith('compute-') ? 'trusted' : 'untrusted'))(poll, response);
    });
    const one = await cloud.environment({ ...cloud.env(oat, await cloud.table()), ATTESTATION_REQUEST_COUNT: '1' });
    expect(await answerTo('trusted-wanted', one)).toStrictEqual(services(1, 4));
  }, 20_000);
});
