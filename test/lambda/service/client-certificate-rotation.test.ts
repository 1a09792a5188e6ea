import { createServer } from 'node:https';
import { createServer as createTcpServer, type Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import { afterEach, describe, expect, test } from '@jest/globals';
import { CertificateAuthority, type KeyPair, LOOPBACK_NAMES } from '../../../infra/local/certificates.ts';
import { close, listen } from '../../../infra/local/listen.ts';
import type { AnswerLimits } from '../../../lambda/service/connection.ts';
import type { Secret, SecretStage, SecretValue } from '../../../lambda/service/client-certificate.ts';
import { ClientCertificateSource } from '../../../lambda/service/client-certificate-source.ts';
import { Counts } from '../../../lambda/log/counts.ts';
import { HttpsClientAuthConnection } from '../../../lambda/service/https-client-auth-connection.ts';
import { StoppedClock } from '../builders.ts';

const authority = await CertificateAuthority.create('Test CA');
const stranger = await CertificateAuthority.create('another CA');
const server = await authority.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
const movedServer = await stranger.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
const known = await authority.client({ commonName: 'known' });
const alsoKnown = await authority.client({ commonName: 'also known' });
const unknown = await stranger.client({ commonName: 'unknown' });

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of closers.splice(0)) await end();
});

/** A server that demands a certificate of its authority; `answer` says with which status, or does something else. */
async function serve(answer: (name: string, socket: Socket) => number | undefined, options: SecureContextOptions = {}) {
  /** Of each request, the name in the certificate and the connection. */
  const names: string[] = [];
  const sockets: Socket[] = [];
  const https = createServer({
    ...server,
    ca: authority.cert,
    requestCert: true,
    rejectUnauthorized: true,
    ...options,
  });
  const shown = new WeakMap<Socket, string>();
  https.on('secureConnection', (socket) => shown.set(socket, String(socket.getPeerCertificate().subject.CN)));
  https.on('request', ({ socket }, response) => {
    const name = shown.get(socket) ?? '';
    names.push(name);
    sockets.push(socket);
    const status = answer(name, socket);
    if (status !== undefined) response.writeHead(status).end('{}');
  });
  https.on('tlsClientError', () => {});
  const port = await listen(https);
  closers.push(() => close(https));
  return { port, names, sockets, https };
}

class FakeSecret implements Secret {
  readonly reads: SecretStage[] = [];
  readonly #values = new Map<SecretStage, SecretValue>();
  #versions = 0;

  constructor(current: KeyPair, previous?: KeyPair) {
    if (previous !== undefined) this.rotate(previous);
    this.rotate(current);
  }

  rotate(pair: KeyPair, ca = authority.cert): void {
    const current = this.#values.get('AWSCURRENT');
    if (current !== undefined) this.#values.set('AWSPREVIOUS', current);
    const text = JSON.stringify({ ...pair, ca });
    this.#values.set('AWSCURRENT', { version: `version ${++this.#versions}`, text });
  }

  read(stage: SecretStage): Promise<SecretValue | undefined> {
    this.reads.push(stage);
    return Promise.resolve(this.#values.get(stage));
  }
}

/** Nobody waits on it until the end: what is waited for besides comes first. */
class PatientClock extends StoppedClock {
  override wait(_ms?: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => signal?.addEventListener('abort', () => resolve()));
  }
}

function connectionTo(port: number, secret: Secret, host = 'localhost') {
  const clock = new PatientClock(Date.now());
  const counts = new Counts();
  const certificates = new ClientCertificateSource({ secret, clock, counts });
  const connection = new HttpsClientAuthConnection({ server: host, port, certificates, clock, counts });
  const { signal } = new AbortController();
  const post = (limits: Partial<AnswerLimits> = {}) =>
    connection.post('/PollHosts', '{}', { signal, maxBytes: 1_000, ...limits });
  return { clock, counts, post };
}

const USED_PREVIOUS = new Map([
  ['CertificateRefusals', 1],
  ['CertificateChanges', 1],
]);

describe('where the service refuses the current certificate, the previous one is tried', () => {
  const refusals: [string, SecureContextOptions][] = [
    ['in the handshake of TLS 1.2', { maxVersion: 'TLSv1.2' }],
    ['after the handshake of TLS 1.3', { minVersion: 'TLSv1.3' }],
  ];
  test.each(refusals)('%s', async (_case, options) => {
    const { port, names } = await serve(() => 200, options);
    const { counts, post } = connectionTo(port, new FakeSecret(unknown, known));
    await expect(post()).resolves.toMatchObject({ status: 200 });
    expect(names).toEqual(['known']);
    expect(counts.take()).toEqual({ values: USED_PREVIOUS, faults: [] });
  });

  test.each([401, 403])('with HTTP status %s', async (status) => {
    const { port, names } = await serve((name) => (name === 'known' ? 200 : status));
    const { counts, post } = connectionTo(port, new FakeSecret(alsoKnown, known));
    await expect(post()).resolves.toMatchObject({ status: 200 });
    expect(names).toEqual(['also known', 'known']);
    expect(counts.take().values).toEqual(USED_PREVIOUS);
    await post();
    expect(names).toEqual(['also known', 'known', 'known']);
  });

  test('and its refusal is the answer where that is refused too', async () => {
    const { port, names } = await serve(() => 401);
    const { counts, post } = connectionTo(port, new FakeSecret(alsoKnown, known));
    await expect(post()).resolves.toMatchObject({ status: 401 });
    expect(names).toEqual(['also known', 'known']);
    expect(counts.take().values).toEqual(new Map([['CertificateRefusals', 2]]));
  });

  test('also where the kept connection was ended first, and the new one is refused', async () => {
    let polls = 0;
    const { port, names } = await serve((name, socket) => {
      polls++;
      if (polls === 2) return void socket.destroy();
      return polls > 2 && name === 'known' ? 403 : 200;
    });
    const secret = new FakeSecret(known, alsoKnown);
    const { counts, post } = connectionTo(port, secret);
    await post();
    await expect(post()).resolves.toMatchObject({ status: 200 });
    expect(names).toEqual(['known', 'known', 'known', 'also known']);
    expect(counts.take().values).toEqual(new Map([['ResentPolls', 1], ...USED_PREVIOUS]));
  });
});

describe('a possible refusal, after which the secret is looked at,', () => {
  /** A server that does as told with each connection, none of which comes to a handshake. */
  async function serveRaw(receive: (socket: Socket) => void): Promise<number> {
    const tcp = createTcpServer((socket) => receive(socket.on('error', () => {})));
    const port = await listen(tcp);
    closers.push(() => close(tcp));
    return port;
  }

  async function expectUnreachable(port: number, cause: RegExp, isRefusal: boolean, host?: string): Promise<void> {
    const secret = new FakeSecret(known);
    const { clock, counts, post } = connectionTo(port, secret, host);
    const { time } = clock;
    await expect(post()).rejects.toMatchObject({
      reason: 'unreachable',
      cause: { code: expect.stringMatching(cause) },
    });
    expect(clock.time).toBe(time);
    expect(counts.take().values).toEqual(new Map(isRefusal ? [['CertificateRefusals', 1]] : []));
    expect(secret.reads).toEqual(isRefusal ? ['AWSCURRENT', 'AWSPREVIOUS'] : ['AWSCURRENT']);
  }

  test('is a TLS alert', async () => {
    // A fatal alert, "unknown CA" (RFC 8446, 5.1 and 6).
    const port = await serveRaw((socket) => {
      socket.once('data', () => socket.end(Buffer.from([21, 3, 3, 0, 2, 2, 48])));
    });
    await expectUnreachable(port, /^ERR_SSL_.*ALERT_UNKNOWN_CA$/, true);
  });

  test('is not the alert of a service that has no cipher in common, and so has seen no certificate', async () => {
    const port = await serveRaw((socket) => {
      socket.once('data', () => socket.end(Buffer.from([21, 3, 3, 0, 2, 2, 40])));
    });
    await expectUnreachable(port, /ALERT_HANDSHAKE_FAILURE$/, false);
  });

  test('is not a connection that closes before the service took part in a handshake', async () => {
    const port = await serveRaw((socket) => socket.once('data', () => socket.destroy()));
    await expectUnreachable(port, /ECONNRESET/, false);
  });

  test('is a connection that closes before any byte of an answer', async () => {
    const { port } = await serve((_name, socket) => void socket.destroy());
    await expectUnreachable(port, /UND_ERR_SOCKET|ECONNRESET/, true);
  });

  test('is not a connection that breaks after a byte of an answer', async () => {
    const { port } = await serve((_name, socket) => void socket.write('H', () => socket.destroy()));
    await expectUnreachable(port, /UND_ERR|ECONNRESET|HPE/, false);
  });

  test('is not a service that does not listen', async () => {
    const tcp = createTcpServer();
    const port = await listen(tcp);
    await close(tcp);
    await expectUnreachable(port, /ECONNREFUSED/, false);
  });

  test('is not a name that nobody knows', () => expectUnreachable(443, /ENOTFOUND|EAI_AGAIN/, false, 'host.invalid'));

  test('is not a service that does not speak TLS', async () => {
    const port = await serveRaw((socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')));
    await expectUnreachable(port, /^ERR_SSL_(?!.*ALERT)/, false);
  });

  test('is not our own refusal of the service', async () => {
    const pair = await stranger.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
    const { port } = await serve(() => 200, pair);
    await expectUnreachable(port, /UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET_ISSUER/, false);
  });
});

test('the days until the certificate ends are measured with each new connection', async () => {
  const { port } = await serve(() => 200);
  const { clock, counts, post } = connectionTo(port, new FakeSecret(known));
  await post();
  expect(counts.takeMeasures().get('CertificateDaysLeft')).toBeCloseTo(7, 1);
  await post();
  expect(counts.takeMeasures()).toEqual(new Map());
  clock.time += 60_000;
  await post();
  expect(counts.takeMeasures().get('CertificateDaysLeft')).toBeCloseTo(7, 1);
});

describe('after a rotation', () => {
  test('a request under way ends over its old connection, and new ones use the new certificate', async () => {
    const arrived = Promise.withResolvers<undefined>();
    const { port, names, sockets } = await serve((name) => {
      if (name === 'also known') return 200;
      arrived.resolve(undefined);
      return undefined;
    });
    const secret = new FakeSecret(known);
    const { clock, counts, post } = connectionTo(port, secret);
    const old = post();
    await arrived.promise;
    secret.rotate(alsoKnown);
    clock.time += 5 * 60_000;
    await post();
    sockets[0]?.write('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold');
    await expect(old).resolves.toEqual({ status: 200, body: Buffer.from('old') });
    await post();
    expect(names).toEqual(['known', 'also known', 'also known']);
    expect(sockets[2]).toBe(sockets[1]);
    expect(counts.take()).toEqual({ values: new Map([['CertificateChanges', 1]]), faults: [] });
  });

  test('a kept connection of the old certificate is closed rather than used again', async () => {
    const { port, names, sockets } = await serve(() => 200);
    const secret = new FakeSecret(known);
    const { clock, post } = connectionTo(port, secret);
    await post();
    clock.time += 5 * 60_000 - 1;
    await post();
    const closed = new Promise((resolve) => sockets[1]?.on('close', resolve));
    secret.rotate(alsoKnown);
    clock.time += 1;
    await post();
    expect(names).toEqual(['known', 'known', 'also known']);
    await closed;
  });

  test('no connection is used again that a gone authority verified, and a new one is verified without it', async () => {
    const { port, names } = await serve(() => 200);
    const secret = new FakeSecret(known);
    const { clock, post } = connectionTo(port, secret);
    await post();
    clock.time += 5 * 60_000 - 1;
    await post();
    secret.rotate(known, stranger.cert);
    clock.time += 1;
    await expect(post()).rejects.toMatchObject({
      reason: 'unreachable',
      cause: { code: expect.stringMatching(/UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET_ISSUER/) },
    });
    expect(names).toEqual(['known', 'known']);
  });

  test('a kept connection is closed also where its certificate is in use again, but with another authority', async () => {
    const arrived = Promise.withResolvers<undefined>();
    const { port, names, sockets, https } = await serve((name) => {
      if (name === 'also known') return 401;
      if (names.length > 1) return 200;
      arrived.resolve(undefined);
      return undefined;
    });
    const secret = new FakeSecret(known);
    const { clock, post } = connectionTo(port, secret);
    const old = post();
    await arrived.promise;
    // The service moves to the new authority too, but refuses the new certificate; the previous one is in use again.
    secret.rotate(alsoKnown, stranger.cert);
    https.setSecureContext({ ...movedServer, ca: authority.cert });
    clock.time += 5 * 60_000;
    await expect(post()).resolves.toMatchObject({ status: 200 });
    sockets[0]?.write('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold');
    await old;
    const closed = new Promise((resolve) => sockets[0]?.on('close', resolve));
    await post();
    expect(names).toEqual(['known', 'also known', 'known', 'known']);
    expect(sockets[3]).toBe(sockets[2]);
    await closed;
  });

  test('a poll whose time is over while it waits for a new certificate is pending', async () => {
    const abort = new AbortController();
    let status = 200;
    const { port } = await serve(() => status);
    const { clock, post } = connectionTo(port, new FakeSecret(known));
    await post();
    status = 401;
    clock.time += 1;
    clock.wait = () => {
      abort.abort();
      return Promise.resolve();
    };
    await expect(post({ signal: abort.signal })).rejects.toMatchObject({
      reason: 'pending',
      cause: { message: 'the service answered with HTTP status 401' },
    });
  });
});
