import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { type Handler, HttpApi, oneLine } from '../../../../infra/local/aws/http-api.ts';
import { MutualTlsFront } from '../../../../infra/local/aws/mutual-tls-front.ts';
import { parseDistinguishedName } from '../../../../lambda/http/distinguished-name.ts';
import { checkClient } from '../../../../lambda/http/client-subject.ts';
import { SETTINGS } from '../../../../lambda/config.ts';

const seen: APIGatewayProxyEventV2[] = [];
let api: HttpApi;

async function start(handler: Handler): Promise<string> {
  api = await HttpApi.start(handler, ['POST /filter'], 0);
  return api.url;
}

const echo: Handler = (event) => {
  seen.push(event);
  return Promise.resolve({
    statusCode: 201,
    headers: { 'x-request-id': event.requestContext.requestId },
    body: 'answer',
  });
};

afterEach(async () => {
  seen.length = 0;
  await api.close();
});

describe('an event is as API Gateway builds it', () => {
  test('with the route that matches, the decoded path, and the body as text', async () => {
    const url = await start(echo);
    const response = await fetch(`${url}/fil%74er?a=1&b=%20`, {
      method: 'POST',
      headers: { 'content-type': 'application/json; charset=utf-8' },
      body: '{"ö":1}',
    });
    expect(response.status).toBe(201);
    expect(await response.text()).toBe('answer');
    expect(seen[0]).toMatchObject({
      version: '2.0',
      routeKey: 'POST /filter',
      rawPath: '/filter',
      rawQueryString: 'a=1&b=%20',
      queryStringParameters: { a: '1', b: ' ' },
      body: '{"ö":1}',
      isBase64Encoded: false,
      requestContext: { http: { method: 'POST', path: '/filter' }, routeKey: 'POST /filter', stage: '$default' },
    });
    expect(response.headers.get('x-request-id')).toBe(seen[0]?.requestContext.requestId);
  });

  test('with the body in base64 where its type is no text', async () => {
    const url = await start(echo);
    const headers = { 'content-type': 'application/octet-stream' };
    await fetch(`${url}/filter`, { method: 'POST', headers, body: '{}' });
    expect(seen[0]).toMatchObject({ body: Buffer.from('{}').toString('base64'), isBase64Encoded: true });
  });

  test('with the default route for whatever has none of its own, and no body where there is none', async () => {
    const url = await start(echo);
    await fetch(`${url}/filter`);
    await fetch(`${url}/other/%E0%A4%A`, { method: 'DELETE' });
    expect(seen.map(({ routeKey }) => routeKey)).toEqual(['$default', '$default']);
    expect(seen[0]).not.toHaveProperty('body');
    expect(seen[1]).toMatchObject({ rawPath: '/other/%E0%A4%A' });
  });
});

test('a certificate’s name of several attributes in a part is written as RFC 4514 does', () => {
  const name = oneLine('O=a \\+ b\\, c\\ \nCN=nova + UID=7');
  expect(name).toBe(String.raw`O=a \+ b\, c\ ,CN=nova+UID=7`);
  expect(parseDistinguishedName(name)).toEqual(parseDistinguishedName(String.raw`O=a \2B b\2C c\20,UID=7+CN=nova`));
});

test('a function that throws is answered as API Gateway does', async () => {
  const url = await start(() => Promise.reject(new Error('thrown on purpose')));
  expect((await fetch(`${url}/filter`, { method: 'POST' })).status).toBe(500);
});

test('a body over ten megabytes does not reach the function', async () => {
  const url = await start(echo);
  const response = await fetch(`${url}/filter`, { method: 'POST', body: 'x'.repeat(10 * 1024 * 1024 + 1) });
  expect(response.status).toBe(413);
  expect(seen).toEqual([]);
});

describe('a front that demands client certificates', () => {
  let front: MutualTlsFront;
  let folder: string;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'front-'));
    front = await MutualTlsFront.make(folder);
    api = await HttpApi.start(echo, ['POST /filter'], 0, front.server);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const ask = (options: object): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const call = request(`${api.url}/filter`, { method: 'POST', ca: front.server.ca, ...options }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      call.on('error', reject);
      call.end('{}');
    });
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

  test('says whose certificate it was, and answers nobody without one', async () => {
    expect(await ask({ cert: read('client.pem'), key: read('client.key') })).toBe(201);
    expect(seen[0]?.requestContext.authentication?.clientCert).toMatchObject({
      subjectDN: 'O=example,CN=kube-scheduler',
      issuerDN: 'CN=trusted-filter local schedulers',
    });
    const clients = SETTINGS.clients.parse(front.env.ATTESTATION_CLIENTS ?? '');
    for (const event of [seen[0], seen[0] && front.authenticated(seen[0])]) {
      expect(checkClient(event ?? {}, clients)).toBeDefined();
    }
    await expect(ask({})).rejects.toThrow();
    expect(seen).toHaveLength(1);
    expect(statSync(join(folder, 'client.key')).mode & 0o077).toBe(0);
    chmodSync(join(folder, 'client.key'), 0o666);
    await MutualTlsFront.make(folder);
    expect(statSync(join(folder, 'client.key')).mode & 0o077).toBe(0);
  });
});
