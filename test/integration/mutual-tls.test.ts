import { request } from 'node:https';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { CertificateAuthority, type KeyPair, LOOPBACK_NAMES } from '../../infra/local/certificates.ts';
import type { OatServer } from '../../infra/local/oat-server.ts';
import { answerWith, Cloud, SECRET_ID } from '../fakes/cloud.ts';
import { answerOf, filterEvent, reasonsOf } from '../fakes/events.ts';
import type { LambdaEnvironment } from '../fakes/lambda-environment.ts';

const HOST = 'compute-1.example.com';
const YESTERDAY = new Date(Date.now() - 86_400_000);
const LAST_WEEK = new Date(Date.now() - 7 * 86_400_000);

let cloud: Cloud;
let stranger: CertificateAuthority;

beforeAll(async () => {
  cloud = await Cloud.start();
  stranger = await CertificateAuthority.create('another authority');
});
afterAll(() => cloud.close());
beforeEach(() => keepSecret({ ...cloud.client, ca: cloud.authority.cert }));

const trusted = answerWith(() => 'trusted');

/** Makes it the secret's first value, with none before it that might help. */
function keepSecret(secret: object): void {
  cloud.secretsManager.secrets.delete(SECRET_ID);
  cloud.secretsManager.secrets.set(SECRET_ID, JSON.stringify(secret));
}

async function environmentFor(oat: OatServer, more: Record<string, string> = {}): Promise<LambdaEnvironment> {
  return cloud.environment({ ...cloud.env(oat, await cloud.table()), ...more });
}

async function expectUnreachable(oat: OatServer, cause: RegExp, more: Record<string, string> = {}): Promise<void> {
  const environment = await environmentFor(oat, more);
  const result = await environment.invoke(filterEvent([HOST]));
  expect(result.statusCode).toBe(200);
  expect(answerOf(result).hosts).toEqual([]);
  expect(reasonsOf(result)).toEqual({ [HOST]: 'unreachable' });
  expect(oat.polls).toHaveLength(0);
  const { faults } = await environment.lastLine();
  expect(JSON.stringify(faults)).toMatch(cause);
}

test('with the right certificates the host passes', async () => {
  const environment = await environmentFor(await cloud.oat(trusted));
  expect(answerOf(await environment.invoke(filterEvent([HOST]))).hosts).toEqual([HOST]);
});

describe('the attestation service refuses', () => {
  test('a client without a certificate', async () => {
    const oat = await cloud.oat(trusted);
    const refused = new Promise((resolve) => {
      const call = request({ port: oat.port, host: 'localhost', ca: cloud.authority.cert, method: 'POST' }, () => {
        resolve(undefined);
      });
      call.on('error', resolve);
      call.end('{}');
    });
    await expect(refused).resolves.toMatchObject({ code: expect.stringMatching(/ECONNRESET|CERTIFICATE_REQUIRED/) });
  });

  test('a client certificate of another authority', async () => {
    keepSecret({ ...(await stranger.client({ commonName: 'trusted-filter' })), ca: cloud.authority.cert });
    await expectUnreachable(await cloud.oat(trusted), /PollsFailed/);
  });
});

describe('the function refuses', () => {
  const servers: [string, () => Promise<KeyPair>, RegExp][] = [
    [
      'a server of another authority',
      () => stranger.server({ commonName: 'localhost', names: LOOPBACK_NAMES }),
      /UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET_ISSUER/,
    ],
    [
      'an expired server certificate',
      () =>
        cloud.authority.server({
          commonName: 'localhost',
          names: LOOPBACK_NAMES,
          notBefore: LAST_WEEK,
          notAfter: YESTERDAY,
        }),
      /CERT_HAS_EXPIRED/,
    ],
    [
      'a certificate for another server',
      () => cloud.authority.server({ commonName: 'other', names: [{ type: 'dns', value: 'other.example.com' }] }),
      /ERR_TLS_CERT_ALTNAME_INVALID/,
    ],
  ];
  test.each(servers)('%s', async (_case, pair, cause) => {
    await expectUnreachable(await cloud.oat(trusted, await pair()), cause);
  });

  test('a wrong server also where the environment asks for no verification', async () => {
    const pair = await stranger.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
    const more = { NODE_TLS_REJECT_UNAUTHORIZED: '0' };
    await expectUnreachable(await cloud.oat(trusted, pair), /UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET_ISSUER/, more);
  });
});

describe('without a usable client certificate hosts are unreachable', () => {
  const secrets: [string, () => string | undefined, RegExp][] = [
    ['there is no secret', () => undefined, /ResourceNotFoundException/],
    ['the secret is not JSON', () => cloud.client.key, /the secret is not JSON/],
    [
      'the certificate is missing',
      () => JSON.stringify({ key: cloud.client.key, ca: cloud.authority.cert }),
      /no \\"cert\\"/,
    ],
    [
      'the key is another one’s',
      () => JSON.stringify({ cert: cloud.client.cert, key: cloud.server.key, ca: cloud.authority.cert }),
      /does not belong/,
    ],
  ];
  test.each(secrets)('%s', async (_case, secret, cause) => {
    const text = secret();
    if (text === undefined) cloud.secretsManager.secrets.delete(SECRET_ID);
    else cloud.secretsManager.secrets.set(SECRET_ID, text);
    await expectUnreachable(await cloud.oat(trusted), cause);
  });

  test('the certificate has ended', async () => {
    const expired = await cloud.authority.client({ commonName: 'old', notBefore: LAST_WEEK, notAfter: YESTERDAY });
    keepSecret({ ...expired, ca: cloud.authority.cert });
    await expectUnreachable(await cloud.oat(trusted), /SecretFaults.*the certificate of the secret ended on/);
  });

  test('and a secret that is mended is used by the same environment', async () => {
    cloud.secretsManager.secrets.set(SECRET_ID, '{}');
    const environment = await environmentFor(await cloud.oat(trusted));
    expect(answerOf(await environment.invoke(filterEvent([HOST]))).hosts).toEqual([]);
    keepSecret({ ...cloud.client, ca: cloud.authority.cert });
    environment.turnClock(6_000);
    expect(answerOf(await environment.invoke(filterEvent([HOST]))).hosts).toEqual([HOST]);
  });
});

test('neither key, certificate, passphrase nor auth blob shows in anything that the function prints or answers', async () => {
  const blob = 'blob-5c1a0e';
  const printed: string[] = [];
  const secrets = [
    { ...cloud.client, ca: cloud.authority.cert, auth_blob: blob },
    { ...cloud.client, ca: 'no certificate', auth_blob: blob },
    { cert: cloud.client.cert, key: cloud.server.key, ca: cloud.authority.cert, passphrase: blob },
    { cert: cloud.client.cert.slice(0, 200), key: cloud.client.key, ca: cloud.authority.cert },
  ];
  for (const secret of secrets) {
    keepSecret(secret);
    const oat = await cloud.oat(trusted);
    const environment = await environmentFor(oat);
    printed.push((await environment.invoke(filterEvent([HOST]))).body ?? '');
    await environment.lastLine();
    printed.push(environment.output);
    if (oat.polls.length > 0) expect(oat.polls[0]?.request.headers['x-auth-blob']).toBe(blob);
  }
  const text = printed.join('\n');
  for (const pem of [cloud.client.key, cloud.client.cert, cloud.authority.cert, cloud.server.key]) {
    for (const line of pem.split('\n').filter((row) => row.length > 20 && !row.startsWith('-'))) {
      expect(text).not.toContain(line);
    }
  }
  expect(text).not.toContain(blob);
  expect(text).not.toContain('BEGIN');
});
