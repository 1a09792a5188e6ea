import type { ServerResponse } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { close, listen } from '../../infra/local/listen.ts';
import type { OatServer, Poll } from '../../infra/local/oat-server.ts';
import type { PostLimits } from '../../lambda/attestation-service.ts';
import { parseSecret } from '../../lambda/client-certificate.ts';
import { HttpsClientAuthConnection } from '../../lambda/https-client-auth-connection.ts';
import { Cloud } from '../fakes/cloud.ts';

const BODY = '{"hosts":["compute-1"]}';

let cloud: Cloud;
beforeAll(async () => {
  cloud = await Cloud.start();
});
afterAll(() => cloud.close());

async function connect(
  answer: (poll: Poll, response: ServerResponse) => void,
  more: object = {},
): Promise<{ oat: OatServer; post: (limits?: Partial<PostLimits>) => ReturnType<HttpsClientAuthConnection['post']> }> {
  const oat = await cloud.oat(answer);
  const secret = JSON.stringify({ ...cloud.client, ca: cloud.authority.cert, ...more });
  const connection = new HttpsClientAuthConnection({
    server: 'localhost',
    port: oat.port,
    connections: 2,
    loadCertificate: () => Promise.resolve(parseSecret(secret)),
  });
  const { signal } = new AbortController();
  return { oat, post: (limits = {}) => connection.post('/PollHosts', BODY, { signal, maxBytes: 1_000, ...limits }) };
}

test('sends the body as it is, with exactly the headers that every dialect takes', async () => {
  const { oat, post } = await connect((_poll, response) => void response.end('{}'), { auth_blob: 'a blob' });
  await expect(post()).resolves.toEqual({ status: 200, body: Buffer.from('{}') });
  expect(oat.polls[0]?.body).toBe(BODY);
  expect(oat.polls[0]?.request.headers).toEqual({
    host: `localhost:${oat.port}`,
    connection: 'keep-alive',
    'content-type': 'application/json',
    accept: 'application/json',
    'accept-encoding': 'identity',
    'x-auth-blob': 'a blob',
    'content-length': String(BODY.length),
  });
});

test('keeps its connections and uses them again, no more than it may have', async () => {
  const ports: (number | undefined)[] = [];
  const { post } = await connect(({ request }, response) => {
    ports.push(request.socket.remotePort);
    response.end('{}');
  });
  for (let i = 0; i < 6; i++) await post();
  expect(new Set(ports).size).toBeLessThanOrEqual(2);
});

test('speaks TLS 1.2 or newer', async () => {
  const { oat, post } = await connect((_poll, response) => void response.end('{}'));
  await post();
  const socket = oat.polls[0]?.request.socket as { getProtocol?: () => string } | undefined;
  expect(['TLSv1.2', 'TLSv1.3']).toContain(socket?.getProtocol?.());
});

test('never follows a redirect: it is an answer like any other', async () => {
  const { oat, post } = await connect((_poll, response) => void response.writeHead(307, { location: '/other' }).end());
  await expect(post()).resolves.toMatchObject({ status: 307 });
  expect(oat.polls).toHaveLength(1);
});

test('reads no more of an answer than it may, and closes the connection', async () => {
  const closed = Promise.withResolvers<undefined>();
  const { post } = await connect(({ request }, response) => {
    request.socket.on('close', () => closed.resolve(undefined));
    response.write('x'.repeat(2_000));
  });
  await expect(post()).rejects.toMatchObject({ reason: 'bad-reply' });
  await closed.promise;
});

test('refuses an encoded answer, which it did not ask for', async () => {
  const { post } = await connect(
    (_poll, response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('{}')),
  );
  await expect(post()).rejects.toMatchObject({ reason: 'bad-reply' });
});

describe('what goes wrong is', () => {
  test('unreachable where the connection ends in the middle of an answer', async () => {
    const { post } = await connect((_poll, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('{', () => response.destroy());
    });
    await expect(post()).rejects.toMatchObject({ reason: 'unreachable' });
  });

  test('pending where the answer is not complete in time', async () => {
    const abort = new AbortController();
    const { post } = await connect((_poll, response) => void response.write('{', () => abort.abort()));
    await expect(post({ signal: abort.signal })).rejects.toMatchObject({ reason: 'pending' });
  });

  test('pending at once where the time is over while the connection is being made', async () => {
    const accepted = Promise.withResolvers<Socket>();
    const silent = createServer((socket) => accepted.resolve(socket));
    const port = await listen(silent);
    const secret = JSON.stringify({ ...cloud.client, ca: cloud.authority.cert });
    const connection = new HttpsClientAuthConnection({
      server: 'localhost',
      port,
      connections: 1,
      loadCertificate: () => Promise.resolve(parseSecret(secret)),
    });
    const abort = new AbortController();
    const posted = connection.post('/', '{}', { signal: abort.signal, maxBytes: 1 });
    const socket = await accepted.promise;
    abort.abort();
    await expect(posted).rejects.toMatchObject({ reason: 'pending' });
    socket.destroy();
    await close(silent);
  });

  test('pending where the time is over before there is a certificate', async () => {
    const connection = new HttpsClientAuthConnection({
      server: '::1',
      port: 1,
      connections: 1,
      loadCertificate: () => new Promise(() => {}),
    });
    const signal = AbortSignal.abort();
    await expect(connection.post('/', '{}', { signal, maxBytes: 1 })).rejects.toMatchObject({ reason: 'pending' });
  });

  test('unreachable where there is no certificate, and tried anew the next time', async () => {
    let loads = 0;
    const connection = new HttpsClientAuthConnection({
      server: 'localhost',
      port: 1,
      connections: 1,
      loadCertificate: () => Promise.reject(new Error(`no certificate ${++loads}`)),
    });
    const { signal } = new AbortController();
    for (const load of [1, 2]) {
      await expect(connection.post('/', '{}', { signal, maxBytes: 1 })).rejects.toMatchObject({
        reason: 'unreachable',
      });
      expect(loads).toBe(load);
    }
  });
});
