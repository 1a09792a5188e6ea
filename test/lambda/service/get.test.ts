/** GETs over mutual TLS, and another name for the server than its address. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { CertificateAuthority, type CertificateOptions, type KeyPair } from '../../../infra/local/certificates.ts';
import { close, listen } from '../../../infra/local/listen.ts';
import { Counts } from '../../../lambda/log/counts.ts';
import { ClientCertificateSource } from '../../../lambda/service/client-certificate-source.ts';
import type { AnswerLimits } from '../../../lambda/service/connection.ts';
import { HttpsClientAuthConnection } from '../../../lambda/service/https-client-auth-connection.ts';
import { StoppedClock } from '../builders.ts';

const LOGIN = { username: 'admin', password: 'hunter2', auth_blob: 'a blob' };

let authority: CertificateAuthority;
let client: KeyPair;
const servers: Server[] = [];

beforeAll(async () => {
  authority = await CertificateAuthority.create('an authority');
  client = await authority.client({ commonName: 'trusted-filter' });
});
afterEach(() => Promise.all(servers.splice(0).map(close)));

async function connect(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  {
    names = [{ type: 'dns', value: 'localhost' }],
    serverName,
    server = 'localhost',
  }: {
    readonly names?: NonNullable<CertificateOptions['names']>;
    readonly serverName?: string;
    readonly server?: string;
  } = {},
) {
  const pair = await authority.server({ commonName: 'server', names });
  const https = createServer({ ...pair, ca: authority.cert, requestCert: true }, answer);
  servers.push(https);
  const port = await listen(https);
  const asked: (string | false | undefined)[] = [];
  https.on('secureConnection', (socket: TLSSocket & { servername?: string | false }) => asked.push(socket.servername));
  https.on('tlsClientError', () => {});
  const clock = new StoppedClock(Date.now());
  const counts = new Counts();
  const text = JSON.stringify({ ...client, ca: authority.cert, ...LOGIN });
  const secret = { read: () => Promise.resolve({ version: '1', text }) };
  const certificates = new ClientCertificateSource({ secret, clock, counts });
  const connection = new HttpsClientAuthConnection({ server, serverName, port, certificates, clock, counts });
  const { signal } = new AbortController();
  const get = (limits: Partial<AnswerLimits> = {}) =>
    connection.get('/v2.1/agents/a1', { signal, maxBytes: 1_000, ...limits });
  return { asked, connection, counts, get, port };
}

describe('a GET', () => {
  test('has neither a body nor a content type nor a login, whatever the secret has', async () => {
    let seen: IncomingMessage | undefined;
    const { get, port } = await connect((request, response) => {
      seen = request;
      response.end('{}');
    });
    await get();
    expect([seen?.method, seen?.url]).toEqual(['GET', '/v2.1/agents/a1']);
    expect(seen?.headers).toEqual({
      host: `localhost:${port}`,
      connection: 'keep-alive',
      accept: 'application/json',
      'accept-encoding': 'identity',
    });
  });

  test.each([
    ['Mon, 23 Nov 2026 16:00:07 GMT', Date.UTC(2026, 10, 23, 16, 0, 7)],
    ['Mon, 23 Nov 2026 16:00:07', undefined],
    ['1795449607', undefined],
    ['not a date GMT', undefined],
    [undefined, undefined],
  ])('brings the time %s of the answer as %s', async (date, expected) => {
    const { get } = await connect((_request, response) => {
      response.sendDate = false;
      if (date !== undefined) response.setHeader('date', date);
      response.end('{}');
    });
    expect(await get()).toEqual({ status: 200, body: Buffer.from('{}'), date: expected });
  });

  test('brings the time of now where a cache gives an earlier answer', async () => {
    const { get } = await connect((_request, response) => {
      response.writeHead(200, { date: 'Mon, 23 Nov 2026 16:00:07 GMT', age: '60' }).end('{}');
    });
    expect(await get()).toMatchObject({ date: Date.UTC(2026, 10, 23, 16, 1, 7) });
  });

  test('fails at once where a login is asked for, and says that none was sent', async () => {
    let gets = 0;
    const { get, counts } = await connect((_request, response) => {
      gets++;
      response.writeHead(401, { 'www-authenticate': 'Basic realm="a"' }).end();
    });
    await expect(get()).rejects.toMatchObject({
      reason: 'unreachable',
      message: expect.stringMatching(/asks for a login, as no verifier does, and none is sent$/) as unknown,
    });
    expect(counts.take().values).toEqual(new Map([['LoginRefusals', 1]]));
    expect(gets).toBe(1);
  });

  test('brings the beginning of an answer that is a fault, and keeps its connection where that is all', async () => {
    const ports: (number | undefined)[] = [];
    const { get } = await connect((request, response) => {
      ports.push(request.socket.remotePort);
      response.writeHead(404).end('{"status":"agent id not found"}');
    });
    expect(Buffer.from((await get()).body).toString()).toBe('{"status":"agent id not found"}');
    await get();
    expect(new Set(ports).size).toBe(1);
  });

  test('reads no more than the beginning of a fault that does not end', async () => {
    const { get } = await connect((_request, response) => {
      response.writeHead(500);
      const timer = setInterval(() => response.write('x'.repeat(16_384)), 1);
      response.on('close', () => clearInterval(timer));
    });
    const { status, body } = await get();
    expect([status, body.length]).toEqual([500, 4_096]);
  });

  test('of which the answer is long goes over a new connection, since a kept one may be dead', async () => {
    const ports: (number | undefined)[] = [];
    const { get, counts } = await connect((request, response) => {
      ports.push(request.socket.remotePort);
      response.end('{}');
    });
    await get();
    await get({ isLong: true });
    expect(new Set(ports).size).toBe(2);
    expect(counts.take().values.get('ResentPolls')).toBeUndefined();
  });
});

describe('the name of a server that has another address', () => {
  const good = (_request: IncomingMessage, response: ServerResponse): void => void response.end('{}');
  const named = { names: [{ type: 'dns' as const, value: 'server' }] };

  test.each([
    ['by name', 'localhost'],
    ['by address', '127.0.0.1'],
  ])('is asked for and verified where the server is reached %s', async (_how, server) => {
    const { asked, get } = await connect(good, { ...named, server, serverName: 'server' });
    await expect(get()).resolves.toMatchObject({ status: 200 });
    expect(asked).toEqual(['server']);
  });

  test('may be an address', async () => {
    const names = [{ type: 'ip' as const, value: '10.1.2.3' }];
    const { asked, get } = await connect(good, { names, serverName: '10.1.2.3' });
    await expect(get()).resolves.toMatchObject({ status: 200 });
    expect(asked).toEqual(['localhost']);
  });

  test.each([
    ['where it is not said', undefined, /is for "DNS:server" and not for "localhost"/],
    ['where another is said', 'other.example.com', /is for "DNS:server" and not for "other\.example\.com"/],
  ])('must be in the certificate %s', async (_where, serverName, cause) => {
    const { get } = await connect(good, { ...named, ...(serverName === undefined ? {} : { serverName }) });
    await expect(get()).rejects.toMatchObject({
      reason: 'unreachable',
      cause: { message: expect.stringMatching(cause) },
    });
  });

  test('does not make the certificate of the address do', async () => {
    const { get } = await connect(good, { serverName: 'server' });
    await expect(get()).rejects.toMatchObject({ reason: 'unreachable' });
  });
});
