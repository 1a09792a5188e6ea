/** Open CIT, which is asked under its own path, and lets nobody in without a login. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Cloud, SECRET_ID } from '../fakes/cloud.ts';
import { answerOf, filterEvent, reasonsOf } from '../fakes/events.ts';
import type { LambdaEnvironment } from '../fakes/lambda-environment.ts';
import { OpenCit } from '../fakes/open-cit.ts';

const GOOD = 'compute-1.example.com';
const BAD = 'compute-2.example.com';
const NOBODY = 'compute-3.example.com';
const USERNAME = 'nova-scheduler';

let cloud: Cloud;
let openCit: OpenCit;
/** With what HTTP and base64 have to be careful of. */
let password: string;

beforeAll(async () => {
  cloud = await Cloud.start();
});
afterAll(() => cloud.close());
beforeEach(async () => {
  password = `${randomUUID()}:ü "🚀"`;
  openCit = await OpenCit.start({
    ...cloud.server,
    login: `${USERNAME}:${password}`,
    levels: new Map([
      [GOOD, 'trusted'],
      [BAD, 'untrusted'],
    ]),
  });
  cloud.secretsManager.secrets.delete(SECRET_ID);
});

afterEach(() => openCit.close());

function putSecret(login: object): void {
  cloud.secretsManager.secrets.set(SECRET_ID, JSON.stringify({ ...cloud.client, ca: cloud.authority.cert, ...login }));
}

async function environment(): Promise<LambdaEnvironment> {
  const variables = cloud.env(openCit, await cloud.table());
  return cloud.environment({ ...variables, ATTESTATION_API_URL: '/mtwilson/v2/integrations/openstack' });
}

test('attests hosts to whoever has a login', async () => {
  putSecret({ username: USERNAME, password });
  const asking = await environment();
  const result = await asking.invoke(filterEvent([GOOD, BAD, NOBODY]));
  expect(answerOf(result).hosts).toEqual([GOOD]);
  expect(reasonsOf(result)).toEqual({ [BAD]: 'untrusted', [NOBODY]: 'unknown' });
  expect(openCit.requests).toHaveLength(1);
  expect(openCit.requests[0]?.headers).not.toHaveProperty('x-auth-blob');
  expect((await asking.lastLine())['counts']).toMatchObject({ ZonelessVtimes: 3 });
  expect(answerOf(await asking.invoke(filterEvent([GOOD, BAD, NOBODY]))).hosts).toEqual([GOOD]);
  expect(openCit.requests).toHaveLength(1);
});

describe('a login that is refused is no refused certificate, and its cause is in the log,', () => {
  async function expectRefused(asking: LambdaEnvironment, cause: string): Promise<void> {
    const result = await asking.invoke(filterEvent([GOOD]));
    expect(reasonsOf(result)).toEqual({ [GOOD]: 'unreachable' });
    const { counts, faults } = await asking.lastLine();
    expect(counts).toMatchObject({ LoginRefusals: 1, PollsFailed: 1 });
    expect(counts).not.toHaveProperty('CertificateRefusals');
    expect(faults).toEqual([
      { fault: 'PollsFailed', cause: `PollError: the attestation service answered with HTTP status 401: ${cause}` },
    ]);
    expect(openCit.requests).toHaveLength(1);
  }

  test('where the secret has none', async () => {
    putSecret({ auth_blob: randomUUID() });
    putSecret({});
    await expectRefused(await environment(), 'it asks for a login, and the secret has no "username" and "password"');
  });

  test('where it is another one, and so was the one before', async () => {
    const wrong = { username: USERNAME, password: randomUUID() };
    putSecret({ ...wrong, note: 'before' });
    putSecret(wrong);
    await expectRefused(await environment(), 'it refuses the "username" and "password" of the secret');
  });
});

describe('a new password is used at once, without a poll that fails,', () => {
  test('where the server has it first', async () => {
    putSecret({ username: USERNAME, password });
    const asking = await environment();
    await asking.invoke(filterEvent([GOOD]));
    const next = randomUUID();
    openCit.options.login = `${USERNAME}:${next}`;
    putSecret({ username: USERNAME, password: next });
    asking.turnClock(70_000);
    expect(answerOf(await asking.invoke(filterEvent([GOOD]))).hosts).toEqual([GOOD]);
    expect((await asking.lastLine())['counts']).toMatchObject({ LoginRefusals: 1, CertificateChanges: 1 });
  });

  test('where the secret has it first', async () => {
    putSecret({ username: USERNAME, password });
    putSecret({ username: USERNAME, password: randomUUID() });
    const asking = await environment();
    expect(answerOf(await asking.invoke(filterEvent([GOOD]))).hosts).toEqual([GOOD]);
    expect((await asking.lastLine())['counts']).toMatchObject({ LoginRefusals: 1, CertificateChanges: 1 });
  });
});
