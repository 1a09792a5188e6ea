import type { ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { close, listen } from '../../../infra/local/listen.ts';
import type { Poll } from '../../../infra/local/oat-server.ts';
import type { AnswerLimits } from '../../../lambda/service/connection.ts';
import type { Secret } from '../../../lambda/service/client-certificate.ts';
import { ClientCertificateSource } from '../../../lambda/service/client-certificate-source.ts';
import { Counts } from '../../../lambda/log/counts.ts';
import { ClientCertificateError } from '../../../lambda/errors.ts';
import { HttpsClientAuthConnection } from '../../../lambda/service/https-client-auth-connection.ts';
import { Cloud } from '../../fakes/cloud.ts';
import { ForgetfulPath } from '../../fakes/forgetful-path.ts';
import { RsaAuthority } from '../../fakes/rsa-authority.ts';
import { shortDiffieHellman } from '../../fakes/short-diffie-hellman.ts';
import { StoppedClock } from '../builders.ts';

const BODY = '{"hosts":["compute-1"]}';

let cloud: Cloud;
beforeAll(async () => {
  cloud = await Cloud.start();
});
afterAll(() => cloud.close());

/** The cipher suites of TLS 1.2 with DHE and RSA that OpenSSL may offer, by IANA's numbers. */
const DHE_RSA = new Set([
  0x0033, 0x0039, 0x0067, 0x006b, 0x009e, 0x009f, 0xc052, 0xc053, 0xc09e, 0xc09f, 0xc0a2, 0xc0a3, 0xccaa,
]);

/** The cipher suites in a ClientHello (RFC 5246, 7.4.1.2), in the record that it came in. */
function suitesOf(record: Buffer): number[] {
  const session = 5 + 4 + 2 + 32;
  const at = session + 1 + record.readUInt8(session);
  return Array.from({ length: record.readUInt16BE(at) / 2 }, (_, i) => record.readUInt16BE(at + 2 + 2 * i));
}

/** The secret of this cloud's client certificate. */
function secretOf(more: object = {}): Secret {
  const text = JSON.stringify({ ...cloud.client, ca: cloud.authority.cert, ...more });
  return { read: (stage) => Promise.resolve(stage === 'AWSCURRENT' ? { version: 'current', text } : undefined) };
}

/** A clock whose waits end when the test says so. */
class HeldClock extends StoppedClock {
  readonly waits: number[] = [];
  end = (): void => {};

  override wait(ms = 0, signal?: AbortSignal): Promise<void> {
    this.waits.push(ms);
    return new Promise((resolve) => {
      this.end = resolve;
      signal?.addEventListener('abort', () => resolve());
    });
  }
}

function connectionTo(
  port: number,
  secret: Secret,
  server = 'localhost',
  clock: StoppedClock | HeldClock = new StoppedClock(Date.now()),
) {
  const counts = new Counts();
  const certificates = new ClientCertificateSource({ secret, clock, counts });
  const connection = new HttpsClientAuthConnection({ server, port, certificates, clock, counts });
  const { signal } = new AbortController();
  const post = (limits: Partial<AnswerLimits> = {}) =>
    connection.post('/PollHosts', BODY, { signal, maxBytes: 1_000, ...limits });
  return { clock, counts, post };
}

async function connect(answer: (poll: Poll, response: ServerResponse) => void, more: object = {}) {
  const oat = await cloud.oat(answer);
  return { oat, ...connectionTo(oat.port, secretOf(more)) };
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

test('keeps its connections and uses them again', async () => {
  const ports: (number | undefined)[] = [];
  const { post } = await connect(({ request }, response) => {
    ports.push(request.socket.remotePort);
    response.end('{}');
  });
  await Promise.all([post(), post()]);
  for (let i = 0; i < 6; i++) await post();
  expect(ports).toHaveLength(8);
  expect(new Set(ports).size).toBe(2);
});

test('does not use a connection again that was kept for longer than servers usually keep it', async () => {
  const ports: (number | undefined)[] = [];
  const { clock, post } = await connect(({ request }, response) => {
    ports.push(request.socket.remotePort);
    response.end('{}');
  });
  await post();
  clock.time += 30_000;
  await post();
  expect(new Set(ports).size).toBe(2);
});

test('speaks TLS 1.2 or newer', async () => {
  const { oat, post } = await connect((_poll, response) => void response.end('{}'));
  await post();
  const socket = oat.polls[0]?.request.socket as { getProtocol?: () => string } | undefined;
  expect(['TLSv1.2', 'TLSv1.3']).toContain(socket?.getProtocol?.());
});

describe('finite-field Diffie-Hellman is not offered', () => {
  test('so that a server which prefers it, with a short group, agrees on something else', async () => {
    const old = await RsaAuthority.create('an old authority');
    const server = createHttpsServer(
      {
        ...(await old.server()),
        ca: cloud.authority.cert,
        requestCert: true,
        maxVersion: 'TLSv1.2',
        // What OpenAttestation's installer leaves in Tomcat, as far as OpenSSL still knows it.
        ciphers: 'DHE-RSA-AES256-SHA:DHE-RSA-AES128-SHA:AES256-SHA:AES128-SHA:@SECLEVEL=0',
        honorCipherOrder: true,
        dhparam: shortDiffieHellman(),
      },
      (_request, response) => void response.end('{}'),
    );
    const agreed: string[] = [];
    server.on('secureConnection', (socket) => agreed.push(`${socket.getProtocol()} ${socket.getCipher().name}`));
    const { post } = connectionTo(await listen(server), secretOf({ ca: old.cert }));
    const status = await post().then(
      (answer) => answer.status,
      (error: unknown) => error,
    );
    await close(server);
    expect([status, ...agreed]).toEqual([200, 'TLSv1.2 AES256-SHA']);
  });

  test('and everything else that Node offers is', async () => {
    const hello = Promise.withResolvers<Buffer>();
    const silent = createServer((socket) => {
      socket
        .on('error', () => {})
        .once('data', (bytes) => {
          hello.resolve(bytes);
          socket.destroy();
        });
    });
    const { post } = connectionTo(await listen(silent), secretOf());
    await expect(post()).rejects.toMatchObject({ reason: 'unreachable' });
    await close(silent);
    const offered = suitesOf(await hello.promise);
    expect(offered.filter((suite) => DHE_RSA.has(suite))).toEqual([]);
    // AES256-SHA, ECDHE with GCM, TLS 1.3.
    for (const suite of [0x0035, 0xc02f, 0xc030, 0x1301, 0x1302]) expect(offered).toContain(suite);
  });
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

test.each<[string, string | string[], string]>([
  ['Basic', 'Basic', 'LoginRefusals'],
  ['Basic in other letters', 'bAsIc realm="a"', 'LoginRefusals'],
  ['Basic behind another', 'Token realm="a", Basic realm="b"', 'LoginRefusals'],
  ['Basic in a header of its own', ['Token realm="a"', 'Basic realm="b"'], 'LoginRefusals'],
  ['another scheme', 'Negotiate', 'CertificateRefusals'],
  ['a scheme that begins alike', 'Basically realm="a"', 'CertificateRefusals'],
  ['Basic as a realm', 'Negotiate realm="Basic"', 'CertificateRefusals'],
])('counts a 401 that asks for %s as what is refused', async (_, challenge, count) => {
  const { oat, counts, post } = await connect(
    (_poll, response) => void response.writeHead(401, { 'www-authenticate': challenge }).end(),
  );
  await post().catch(() => {});
  expect(counts.take().values).toEqual(new Map([[count, 1]]));
  expect(oat.polls).toHaveLength(1);
});

test('a 403 is a refused certificate, whatever it asks for', async () => {
  const { counts, post } = await connect(
    (_poll, response) => void response.writeHead(403, { 'www-authenticate': 'Basic realm="a"' }).end(),
  );
  await expect(post()).resolves.toMatchObject({ status: 403 });
  expect(counts.take().values).toEqual(new Map([['CertificateRefusals', 1]]));
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

  test('pending at once where the time is over while the connection is being made, which is then closed', async () => {
    const accepted = Promise.withResolvers<Socket>();
    const silent = createServer((socket) => accepted.resolve(socket));
    const { post } = connectionTo(await listen(silent), secretOf());
    const abort = new AbortController();
    const posted = post({ signal: abort.signal });
    const socket = await accepted.promise;
    const closed = new Promise((resolve) => socket.on('error', () => {}).on('close', resolve));
    socket.resume();
    abort.abort();
    await expect(posted).rejects.toMatchObject({ reason: 'pending' });
    await closed;
    await close(silent);
  });

  test('pending where the time is over before there is a certificate', async () => {
    const { post } = connectionTo(1, { read: () => new Promise(() => {}) }, '::1');
    await expect(post({ signal: AbortSignal.abort() })).rejects.toMatchObject({ reason: 'pending' });
  });

  test('unreachable where there is no certificate, and tried anew the next time', async () => {
    let reads = 0;
    const { post } = connectionTo(1, { read: () => Promise.reject(new ClientCertificateError(`none ${++reads}`)) });
    for (const read of [1, 2]) {
      const cause = new ClientCertificateError(`none ${read}`);
      await expect(post()).rejects.toMatchObject({ reason: 'unreachable', cause });
    }
  });
});

describe('a poll is sent again, once and over a new connection,', () => {
  /** Answers the polls in order, each in its own way. */
  async function connectInOrder(...answers: ((socket: Socket, response: ServerResponse) => void)[]) {
    return connect(({ request }, response) => answers.shift()?.(request.socket, response));
  }
  const ok = (_socket: Socket, response: ServerResponse) => void response.end('{}');
  const destroy = (socket: Socket) => void socket.destroy();
  const writeOneByte = (socket: Socket) => void socket.write('H', () => socket.destroy());

  test('where a connection that was used before ends without a byte of an answer', async () => {
    const { oat, counts, post } = await connectInOrder(ok, destroy, ok);
    await post();
    await expect(post()).resolves.toMatchObject({ status: 200 });
    expect(oat.polls).toHaveLength(3);
    const [first, second, third] = oat.polls.map(({ request }) => request.socket);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
    expect(oat.polls[2]?.body).toBe(BODY);
    expect(counts.take().values).toEqual(new Map([['ResentPolls', 1]]));
  });

  test('and not a third time', async () => {
    const { oat, counts, post } = await connectInOrder(ok, destroy, destroy, ok);
    await post();
    await expect(post()).rejects.toMatchObject({ reason: 'unreachable' });
    expect(oat.polls).toHaveLength(3);
    expect(counts.take().values.get('ResentPolls')).toBe(1);
  });

  test('but not where the connection was new', async () => {
    const { oat, counts, post } = await connectInOrder(destroy, ok);
    await expect(post()).rejects.toMatchObject({ reason: 'unreachable' });
    expect(oat.polls).toHaveLength(1);
    expect(counts.take().values.get('ResentPolls')).toBeUndefined();
  });

  test('but not where a byte of an answer came', async () => {
    const { oat, counts, post } = await connectInOrder(ok, writeOneByte, ok);
    await post();
    await expect(post()).rejects.toMatchObject({ reason: 'unreachable' });
    expect(oat.polls).toHaveLength(2);
    expect(counts.take().values).toEqual(new Map());
  });

  test('but not where its time is over', async () => {
    const abort = new AbortController();
    const { oat, counts, post } = await connectInOrder(ok, () => abort.abort(), ok);
    await post();
    await expect(post({ signal: abort.signal })).rejects.toMatchObject({ reason: 'pending' });
    expect(oat.polls).toHaveLength(2);
    expect(counts.take().values).toEqual(new Map());
  });
});

test.each([
  ['was idle for long', 20_000, 20_000, 2],
  ['was so by the wall clock alone, since a freeze stopped the other', 20_000, 1, 2],
  ['was so by the monotonic clock alone, since the other was set back', -3_600_000, 20_000, 2],
  ['was not', 19_999, 19_999, 1],
])('a connection that %s is used again only where it was not', async (_, wallMs, monotonicMs, connections) => {
  const oat = await cloud.oat((_poll, response) => void response.end('{}'));
  const clock = new StoppedClock(Date.now());
  let passed = { wall: 0, monotonic: 0 };
  clock.moment = () => ({ wall: clock.time + passed.wall, monotonic: passed.monotonic });
  const { post } = connectionTo(oat.port, secretOf(), 'localhost', clock);
  await post();
  passed = { wall: wallMs, monotonic: monotonicMs };
  await post();
  expect(new Set(oat.polls.map(({ request }) => request.socket)).size).toBe(connections);
});

describe('where the first byte is late on a connection that was idle before,', () => {
  /** A connection that carried an answer, over a path that forgets it. */
  async function forgotten(
    answer: (poll: Poll, response: ServerResponse) => void = (_, response) => response.end('{}'),
    clock = new HeldClock(),
  ) {
    const oat = await cloud.oat(answer);
    const path = await ForgetfulPath.to(oat.port);
    const { counts, post } = connectionTo(path.port, secretOf(), 'localhost', clock);
    await post();
    clock.time += 5_000;
    const wait = async (): Promise<void> => {
      while (clock.waits.length === 0) await new Promise((resolve) => setImmediate(resolve));
    };
    return { clock, counts, oat, path, post, wait };
  }

  test('the poll goes out over a new one, too, whose answer counts', async () => {
    const { clock, counts, oat, path, post, wait } = await forgotten();
    path.forget('swallow');
    const answer = post();
    await wait();
    expect(clock.waits).toEqual([2_000]);
    expect(oat.polls).toHaveLength(1);
    clock.end();
    await expect(answer).resolves.toMatchObject({ status: 200 });
    expect(path.connections).toBe(2);
    expect(counts.take().values).toEqual(new Map([['ResentPolls', 1]]));
    await expect(post()).resolves.toMatchObject({ status: 200 });
    expect(path.connections).toBe(2);
    await path.close();
  });

  test('and the path is well, the first answer counts, and the other connection is closed', async () => {
    const held: ServerResponse[] = [];
    let isSlow = false;
    const { clock, oat, path, post, wait } = await forgotten((_, response) => {
      if (isSlow) held.push(response);
      else response.end('{}');
    });
    isSlow = true;
    const answer = post();
    await wait();
    clock.end();
    while (held.length < 2) await new Promise((resolve) => setImmediate(resolve));
    const closed = new Promise((resolve) => oat.polls[2]?.request.socket.on('close', resolve));
    held[0]?.end('{"first":1}');
    const { body } = await answer;
    expect(Buffer.from(body).toString()).toBe('{"first":1}');
    await closed;
    await path.close();
  });

  test('but not so soon after slow answers, nor on a connection that was used just now', async () => {
    const clock = new HeldClock();
    const { path, post, wait } = await forgotten((_, response) => {
      clock.time += 4_000;
      response.end('{}');
    }, clock);
    const answer = post();
    await wait();
    expect(clock.waits).toEqual([6_000]);
    await answer;
    await post();
    expect(clock.waits).toEqual([6_000]);
    await path.close();
  });

  test('and neither way brings an answer in its time, it is pending, and no connection is left', async () => {
    const abort = new AbortController();
    const { clock, path, post, wait } = await forgotten();
    path.forget('swallow');
    const answer = post({ signal: abort.signal });
    await wait();
    clock.end();
    while (path.connections < 2) await new Promise((resolve) => setImmediate(resolve));
    path.forget('swallow');
    abort.abort();
    await expect(answer).rejects.toMatchObject({ reason: 'pending' });
    await path.close();
  });
});
