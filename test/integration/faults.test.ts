import { createPrivateKey, randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  CertificateAuthority,
  type CertificateOptions,
  type KeyPair,
  LOOPBACK_NAMES,
} from '../../infra/local/certificates.ts';
import { type OatServer, reply } from '../../infra/local/oat-server.ts';
import type { Reason } from '../../lambda/trust/reason.ts';
import { answerWith, Cloud, SECRET_ID } from '../fakes/cloud.ts';
import { answerOf, filterEvent, reasonsOf } from '../fakes/events.ts';
import {
  answering,
  type Behaviour,
  type Exchange,
  FaultyServer,
  flood,
  relayingAlerts,
  shakingHands,
  trickle,
} from '../fakes/faulty-server.ts';
import type { LambdaEnvironment } from '../fakes/lambda-environment.ts';
import { RsaAuthority } from '../fakes/rsa-authority.ts';
import { selfSigned } from '../fakes/self-signed.ts';
import { shortDiffieHellman } from '../fakes/short-diffie-hellman.ts';

/** A connection that does not come about is given up after five seconds. */
const MOST_MS = 20_000;
const MEGABYTE = 1024 * 1024;
const YESTERDAY = new Date(Date.now() - 86_400_000);
const LAST_WEEK = new Date(Date.now() - 7 * 86_400_000);
/** Longer than any pause and any validity. */
const LATER_MS = 70_000;

let cloud: Cloud;
let stranger: CertificateAuthority;
/** A server's own certificate of another kind than the client's, which the client trusts too. */
let rsa: KeyPair;
/** An authority of old servers, which the client trusts, too. */
let old: RsaAuthority;
let server: FaultyServer;
/** Where redirects lead: a server that vouches for everybody. */
let elsewhere: OatServer;
/** Waits for a poll as long as the default configuration does. */
let patient: LambdaEnvironment;
/** Waits for a poll half a second. */
let hasty: LambdaEnvironment;
/** The variables of all of them. */
let variables: Record<string, string>;
/** The hands of all environments' clocks. */
let clockMs = 0;
let cases = 0;

beforeAll(async () => {
  cloud = await Cloud.start();
  stranger = await CertificateAuthority.create('another authority');
  rsa = await selfSigned('RSA');
  old = await RsaAuthority.create('an old authority');
  // With none before it that might help.
  cloud.secretsManager.secrets.delete(SECRET_ID);
  cloud.secretsManager.secrets.set(SECRET_ID, secretWithEverything());
  server = await FaultyServer.start(healthy());
  elsewhere = await cloud.oat(answerWith(() => 'trusted'));
  variables = cloud.env(server, await cloud.table());
  patient = await cloud.environment(variables);
  hasty = await cloud.environment({ ...variables, ATTESTATION_POLL_TIMEOUT: '0.5' });
  // What the first poll loads is not to be counted in its half second.
  for (const environment of [patient, hasty]) await environment.invoke(filterEvent(['first.example.com']));
});
afterAll(async () => {
  await server.shut();
  await cloud.close();
});

/**
 * An environment to which the service has never answered: where it has, and seems to refuse the certificate now, a poll
 * waits some seconds for a new one.
 */
async function newcomer(): Promise<LambdaEnvironment> {
  const environment = await cloud.environment(variables);
  environment.turnClock(clockMs);
  return environment;
}

/** All that a secret can have, so that the search for secrets looks for each of it in what comes of every fault. */
function secretWithEverything(): string {
  const passphrase = randomUUID();
  const key = createPrivateKey(cloud.client.key).export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase,
  });
  const ca = [cloud.authority.cert, rsa.cert, old.cert].join('\n');
  const login = { username: randomUUID(), password: randomUUID() };
  return JSON.stringify({ cert: cloud.client.cert, key, ca, passphrase, auth_blob: randomUUID(), ...login });
}

/** Whom the server trusts, and what it shows. */
function mutualTls(more: TlsOptions = {}): TlsOptions {
  return { ...cloud.server, ca: cloud.authority.cert, requestCert: true, rejectUnauthorized: true, ...more };
}

function vtime(agoMs = 0): string {
  return new Date(Date.now() + clockMs - agoMs).toISOString();
}

function trusted(host: string): { host_name: string; trust_lvl: string; vtime: string } {
  return { host_name: host, trust_lvl: 'trusted', vtime: vtime() };
}

function healthy(): Behaviour {
  return answering(mutualTls(), ({ hosts, response }) => reply(response, hosts.map(trusted)));
}

function serverOf(authority: CertificateAuthority, more: Partial<CertificateOptions> = {}): Promise<KeyPair> {
  return authority.server({ commonName: 'localhost', names: LOOPBACK_NAMES, ...more });
}

function newHost(kind: string): string {
  return `${kind}-${++cases}.example.com`;
}

/** Once the fault is over, and the pauses and validities that came of it too, all is as before. */
async function expectToPass(environment: LambdaEnvironment, hosts: readonly string[]): Promise<void> {
  server.behave(healthy());
  clockMs += LATER_MS;
  for (const each of [patient, hasty, environment]) each.turnClock(clockMs);
  expect(answerOf(await environment.invoke(filterEvent(hosts)))).toMatchObject({ hosts, rejected: [] });
}

async function expectConnectionsToClose(): Promise<void> {
  const open = server.connections.filter((socket) => !socket.destroyed);
  await Promise.all(open.map((socket) => new Promise((resolve) => socket.once('close', resolve))));
}

interface Fault {
  readonly fault: string;
  readonly reason: Reason;
  readonly behaviour: () => Behaviour | Promise<Behaviour>;
  /** What the log line's faults say. */
  readonly cause: RegExp;
  readonly environment?: () => LambdaEnvironment | Promise<LambdaEnvironment>;
  /** How many bytes of an answer it may have taken in the end. */
  readonly mostBytes?: number;
  /** Ends what a change of behaviour does not. */
  readonly end?: () => Promise<void> | void;
}

/** A fault that concerns a whole poll, seen by a request about one host. */
async function expectFault(fault: Fault): Promise<void> {
  const { reason, behaviour, cause, mostBytes = MEGABYTE, end } = fault;
  const environment = (await fault.environment?.()) ?? patient;
  const host = newHost('compute');
  server.behave(await behaviour());
  const result = await environment.invoke(filterEvent([host]));
  expect(result.statusCode).toBe(200);
  expect(answerOf(result).hosts).toEqual([]);
  expect(reasonsOf(result)).toEqual({ [host]: reason });
  const line = await environment.lastLine();
  expect(line).toMatchObject({ passed: 0, rejected: { [reason]: 1 }, counts: { PollsFailed: expect.any(Number) } });
  expect(line['faults']).toEqual(
    expect.arrayContaining([{ fault: 'PollsFailed', cause: expect.stringMatching(cause) as unknown }]),
  );
  // Node's advice, which nobody can follow here, nor should.
  expect(JSON.stringify(line)).not.toContain('--use-');
  expect(answerOf(await environment.invoke(filterEvent([host], 'untrusted'))).hosts).toEqual([]);
  await expectConnectionsToClose();
  for (const { bytesWritten } of server.connections) expect(bytesWritten).toBeLessThan(mostBytes);
  await end?.();
  await expectToPass(environment, [host]);
  if (fault.environment === newcomer) await environment.stop();
}

function testFaults(faults: readonly Fault[]): void {
  test.each([...faults])('$fault → $reason', expectFault, MOST_MS);
}

/** An answer of which the whole fault consists. */
function answer(status: number, headers: Record<string, string> = {}, body: string | Buffer = ''): () => Behaviour {
  return () => answering(mutualTls(), ({ response }) => void response.writeHead(status, headers).end(body));
}

function talk(exchange: (exchange: Exchange) => void): () => Behaviour {
  return () => answering(mutualTls(), exchange);
}

/** What follows the request comes as it is, byte for byte. */
function raw(text: string): () => Behaviour {
  return talk(({ response }) => void response.socket?.end(text));
}

function begin(response: ServerResponse, length = 1000): void {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': length });
  response.write('{"hosts":[{"host_name":');
}

/** What OpenSSL has to be told before it is as weak as an old server. */
const WEAK: TlsOptions = { ciphers: 'DEFAULT:@SECLEVEL=0' };
const JSON_BODY = { 'content-type': 'application/json' };
const HTML_BODY = { 'content-type': 'text/html' };
const HTML = '<html><body><h1>Something went wrong</h1></body></html>';
const OAT_ERROR = '{"error_code":"1006","error_message":"Internal error"}';

describe('The connection', () => {
  testFaults([
    {
      fault: 'it is refused',
      reason: 'unreachable',
      behaviour: async () => {
        await server.shut();
        return () => {};
      },
      end: () => server.open(),
      cause: /ECONNREFUSED/,
    },
    {
      fault: 'it is reset before the TLS handshake',
      reason: 'unreachable',
      behaviour: () => (socket) => void socket.resetAndDestroy(),
      environment: newcomer,
      cause: /ECONNRESET|socket disconnected/,
    },
    {
      fault: 'it is reset after the TLS handshake',
      reason: 'unreachable',
      behaviour: () => shakingHands(mutualTls(), (socket) => void socket.resetAndDestroy()),
      environment: newcomer,
      cause: /ECONNRESET|UND_ERR_SOCKET|EPIPE/,
    },
    {
      fault: 'it is closed after the TLS handshake, without a word',
      reason: 'unreachable',
      behaviour: () => shakingHands(mutualTls(), (socket) => socket.destroySoon()),
      environment: newcomer,
      cause: /ECONNRESET|UND_ERR_SOCKET|EPIPE/,
    },
    {
      fault: 'it is reset once the request has come',
      reason: 'unreachable',
      behaviour: talk(({ socket }) => void socket.resetAndDestroy()),
      environment: newcomer,
      cause: /ECONNRESET|UND_ERR_SOCKET/,
    },
    {
      fault: 'it is reset in the middle of the headers of an answer',
      reason: 'unreachable',
      behaviour: talk(({ response, socket }) => {
        response.socket?.write('HTTP/1.1 200 OK\r\ncontent-', () => socket.resetAndDestroy());
      }),
      environment: newcomer,
      cause: /ECONNRESET|UND_ERR_SOCKET/,
    },
    {
      fault: 'it is reset in the middle of the body of an answer',
      reason: 'unreachable',
      behaviour: talk(({ response, socket }) => {
        begin(response);
        response.write('"', () => socket.resetAndDestroy());
      }),
      cause: /ECONNRESET|UND_ERR_SOCKET|CONTENT_LENGTH_MISMATCH/,
    },
    {
      fault: 'it is closed in the middle of the body of an answer',
      reason: 'unreachable',
      behaviour: talk(({ response }) => {
        begin(response);
        response.socket?.end();
      }),
      cause: /UND_ERR_SOCKET|CONTENT_LENGTH_MISMATCH/,
    },
    {
      fault: 'it is closed in the middle of a chunked body',
      reason: 'unreachable',
      behaviour: raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n{"hosts":'),
      cause: /UND_ERR_SOCKET|other side closed/,
    },
    {
      fault: 'it is accepted, and nothing is said, not even TLS',
      reason: 'unreachable',
      behaviour: () => (socket) => void socket.resume(),
      cause: /UND_ERR_CONNECT_TIMEOUT/,
    },
    {
      fault: 'it is accepted and TLS agreed on, and the request gets no answer',
      reason: 'pending',
      behaviour: talk(() => {}),
      environment: () => hasty,
      cause: /no complete answer in its time/,
    },
    {
      fault: 'the headers of an answer trickle in, byte by byte',
      reason: 'pending',
      behaviour: talk(({ response }) =>
        trickle(response.socket as Socket, 'HTTP/1.1 200 OK\r\ncontent-type: text/html', 50),
      ),
      environment: () => hasty,
      cause: /no complete answer in its time/,
    },
    {
      fault: 'the body of an answer trickles in, byte by byte',
      reason: 'pending',
      behaviour: talk(({ response }) => {
        begin(response);
        trickle(response, '"compute-1.example.com","trust_lvl":"trusted"', 50);
      }),
      environment: () => hasty,
      cause: /no complete answer in its time/,
    },
    {
      fault: 'an answer stops in the middle of its body',
      reason: 'pending',
      behaviour: talk(({ response }) => begin(response)),
      environment: () => hasty,
      cause: /no complete answer in its time/,
    },
  ]);
});

describe('TLS', () => {
  const faults: Fault[] = [
    {
      fault: 'the server’s certificate is another authority’s',
      reason: 'unreachable',
      behaviour: async () => shakingHands(mutualTls(await serverOf(stranger))),
      cause: /UNABLE_TO_VERIFY_LEAF_SIGNATURE: no certificate in "ca" of the secret vouches for the server/,
    },
    {
      fault: 'the server’s certificate is its own authority (self-signed)',
      reason: 'unreachable',
      behaviour: async () => shakingHands(mutualTls(await selfSigned('EC'))),
      cause: /DEPTH_ZERO_SELF_SIGNED_CERT: the server's certificate is self-signed/,
    },
    {
      fault: 'the server’s certificate has expired',
      reason: 'unreachable',
      behaviour: async () =>
        shakingHands(mutualTls(await serverOf(cloud.authority, { notBefore: LAST_WEEK, notAfter: YESTERDAY }))),
      cause: /CERT_HAS_EXPIRED: the server's certificate, or one above it, has ended/,
    },
    {
      fault: 'the server’s certificate is for another name',
      reason: 'unreachable',
      behaviour: async () =>
        shakingHands(
          mutualTls(await serverOf(cloud.authority, { names: [{ type: 'dns', value: 'other.example.com' }] })),
        ),
      cause: /ERR_TLS_CERT_ALTNAME_INVALID: .* is for "DNS:other\.example\.com" and not for "localhost"/,
    },
    {
      fault: 'the server is asked by its IP address, which its certificate has as its common name (CN) only',
      reason: 'unreachable',
      behaviour: async () => shakingHands(mutualTls(await old.server({ commonName: '127.0.0.1', names: [] }))),
      environment: () => cloud.environment({ ...variables, ATTESTATION_SERVER: '127.0.0.1' }),
      cause:
        /ERR_TLS_CERT_ALTNAME_INVALID: .* is for no name and not for "127\.0\.0\.1": .* subjectAltName, an IP address as IP/,
    },
    {
      fault: 'the server’s certificate has an RSA key of 1024 bits',
      reason: 'unreachable',
      behaviour: async () => shakingHands(mutualTls({ ...(await old.server({ bits: 1024 })), ...WEAK })),
      cause: /ServerTlsFault UNSPECIFIED: .* an RSA key of less than 2048 bits/,
    },
    {
      fault: 'the server’s certificate is signed with SHA-1',
      reason: 'unreachable',
      behaviour: async () => shakingHands(mutualTls({ ...(await old.server({ hash: 'SHA-1' })), ...WEAK })),
      cause: /ServerTlsFault UNSPECIFIED: .* below the root, is signed with SHA-1/,
    },
    {
      fault: 'the server agrees on keys by finite-field Diffie-Hellman (DHE) alone, with a group of 1024 bits',
      reason: 'unreachable',
      behaviour: async () =>
        shakingHands(
          mutualTls({
            ...(await old.server()),
            maxVersion: 'TLSv1.2',
            ciphers: 'DHE-RSA-AES256-SHA:@SECLEVEL=0',
            dhparam: shortDiffieHellman(),
          }),
        ),
      cause: /ALERT_HANDSHAKE_FAILURE: the server has no cipher in common .* neither finite-field DHE/,
    },
    {
      fault: 'the server’s certificate is a client’s',
      reason: 'unreachable',
      behaviour: async () =>
        shakingHands(mutualTls(await cloud.authority.client({ commonName: 'localhost', names: LOOPBACK_NAMES }))),
      cause: /INVALID_PURPOSE: .* extended key usage lacks serverAuth/,
    },
    {
      fault: 'the server speaks TLS 1.1 and nothing newer',
      reason: 'unreachable',
      behaviour: () =>
        shakingHands(mutualTls({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' })),
      cause: /ALERT_PROTOCOL_VERSION: the server speaks neither TLS 1\.2 nor TLS 1\.3/,
    },
    {
      fault: 'the server has no cipher in common with the client',
      reason: 'unreachable',
      behaviour: () => shakingHands(mutualTls({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' })),
      cause: /ALERT_HANDSHAKE_FAILURE: the server has no cipher in common/,
    },
    {
      fault: 'the server speaks plain HTTP',
      reason: 'unreachable',
      behaviour: () => (socket) =>
        void socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n')),
      cause: /WRONG_VERSION_NUMBER: what answers at this port does not speak TLS/,
    },
    {
      fault: 'the handshake begins and hangs',
      reason: 'unreachable',
      // The beginning of a ServerHello of 122 bytes.
      behaviour: () => (socket) =>
        void socket.once('data', () => socket.write(Buffer.from([22, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3]))).resume(),
      cause: /UND_ERR_CONNECT_TIMEOUT/,
    },
    {
      fault: 'the client’s certificate is refused, with an alert of TLS 1.2',
      reason: 'unreachable',
      behaviour: () => relayingAlerts(mutualTls({ ...rsa, maxVersion: 'TLSv1.2', sigalgs: 'RSA-PSS+SHA256' })),
      cause: /ALERT_HANDSHAKE_FAILURE/,
    },
    {
      fault: 'the client’s certificate is refused, with an alert of TLS 1.3',
      reason: 'unreachable',
      behaviour: () => relayingAlerts(mutualTls({ ...rsa, minVersion: 'TLSv1.3', sigalgs: 'RSA-PSS+SHA256' })),
      // undici may notice the end of the connection before the alert.
      cause: /ALERT_CERTIFICATE_REQUIRED|UND_ERR_SOCKET/,
    },
    {
      fault: 'the client’s certificate is refused, and the connection closed, in TLS 1.2',
      reason: 'unreachable',
      behaviour: () => shakingHands(mutualTls({ ca: stranger.cert, maxVersion: 'TLSv1.2' })),
      cause: /ECONNRESET|UND_ERR_SOCKET|EPIPE/,
    },
    {
      fault: 'the client’s certificate is refused, and the connection closed, in TLS 1.3',
      reason: 'unreachable',
      behaviour: () => shakingHands(mutualTls({ ca: stranger.cert, minVersion: 'TLSv1.3' })),
      cause: /ECONNRESET|UND_ERR_SOCKET|EPIPE/,
    },
  ];
  testFaults(faults.map((fault) => ({ environment: newcomer, ...fault })));
});

describe('The HTTP status', () => {
  const toElsewhere = (): Record<string, string> => ({
    location: `https://localhost:${elsewhere.port}/OpenAttestationWebServices/V1.0/PollHosts`,
  });
  const redirect = (status: number): Fault => ({
    fault: `${status} with the address of another server, which would vouch for the host`,
    reason: 'unreachable',
    behaviour: () => answer(status, toElsewhere())(),
    cause: new RegExp(`HTTP status ${status}`),
    end: () => expect(elsewhere.polls).toHaveLength(0),
  });
  const status = (code: number, what: string, headers: Record<string, string> = {}, body = ''): Fault => ({
    fault: `${code} with ${what}`,
    reason: code === 400 || code === 500 ? 'refused' : 'unreachable',
    behaviour: answer(code, headers, body),
    environment: code === 401 || code === 403 ? newcomer : () => patient,
    cause: new RegExp(`HTTP status ${code}`),
  });
  const perfect = (code: number): Fault => ({
    ...status(code, 'a body that vouches for the host'),
    behaviour: talk(({ hosts, response }) => {
      response.writeHead(code, JSON_BODY).end(JSON.stringify({ hosts: hosts.map(trusted) }));
    }),
  });
  testFaults([
    ...[301, 302, 303, 307, 308].map(redirect),
    status(304, 'nothing'),
    status(401, 'JSON', JSON_BODY, OAT_ERROR),
    status(401, 'a challenge', { 'www-authenticate': 'Basic realm="attestation"' }),
    status(403, 'HTML', HTML_BODY, HTML),
    status(404, 'HTML', HTML_BODY, HTML),
    perfect(404),
    status(429, 'a time after which to come back', { 'retry-after': '3600' }),
    status(502, 'HTML', HTML_BODY, HTML),
    status(503, 'HTML', HTML_BODY, HTML),
    status(503, 'JSON', JSON_BODY, OAT_ERROR),
    status(503, 'nothing'),
    perfect(503),
    {
      ...status(503, '100 MB'),
      behaviour: talk(({ response }) => flood(response.writeHead(503), 100 * MEGABYTE)),
      mostBytes: 20 * MEGABYTE,
    },
    status(400, 'JSON, of a host that is polled alone', JSON_BODY, OAT_ERROR),
    status(400, 'nothing, of a host that is polled alone'),
    status(500, 'JSON, of a host that is polled alone', JSON_BODY, OAT_ERROR),
    status(500, 'HTML, of a host that is polled alone', HTML_BODY, HTML),
    perfect(500),
    {
      fault: '101, a change of protocols that nobody asked for',
      reason: 'unreachable',
      behaviour: raw('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n'),
      cause: /upgrade/,
    },
    {
      fault: '100, which nobody asked for',
      reason: 'unreachable',
      behaviour: raw('HTTP/1.1 100 Continue\r\n\r\n'),
      cause: /UND_ERR_SOCKET/,
    },
    {
      fault: '103, and no status after it',
      reason: 'pending',
      behaviour: talk(({ response }) => void response.socket?.write('HTTP/1.1 103 Early Hints\r\n\r\n')),
      environment: () => hasty,
      cause: /no complete answer in its time/,
    },
    {
      fault: '204, and so no body',
      reason: 'bad-reply',
      behaviour: answer(204),
      cause: /answer of 0 bytes is not JSON/,
    },
    {
      fault: 'none: what comes is not HTTP',
      reason: 'unreachable',
      behaviour: raw('SSH-2.0-OpenSSH_9.9\r\n'),
      cause: /HTTPParserError/,
    },
    {
      fault: '200 with headers of 100 KB',
      reason: 'unreachable',
      behaviour: raw(`HTTP/1.1 200 OK\r\nx-long: ${'x'.repeat(100_000)}\r\ncontent-length: 2\r\n\r\n{}`),
      cause: /OVERFLOW/,
    },
  ]);
});

describe('The body of a success', () => {
  const body = (what: string, text: string | Buffer, cause = /is not JSON$|an array "hosts"/): Fault => ({
    fault: what,
    reason: 'bad-reply',
    behaviour: answer(200, JSON_BODY, text),
    cause,
  });
  const valid = (): string => JSON.stringify({ hosts: [trusted('compute-1.example.com')] });
  testFaults([
    body('it is empty', ''),
    body('it is cut off', valid().slice(0, -10)),
    body('it is HTML', HTML),
    body('it is two replies', valid() + valid()),
    body('it is in UTF-16', Buffer.from(valid(), 'utf16le')),
    body('it has bytes that are no UTF-8', Buffer.from(`{"hosts":[],"name":"\xff"}`, 'latin1')),
    body('it is `null`', 'null'),
    body('it is a text', '"trusted"'),
    body('it is a list without an object around it', `[${JSON.stringify(trusted('compute-1.example.com'))}]`),
    body('it is an error of OpenAttestation', OAT_ERROR),
    body('it is an object without `hosts`', '{}'),
    body('it has `hosts` as a map', '{"hosts":{"compute-1.example.com":{"trust_lvl":"trusted"}}}'),
    body('it has `hosts` in `__proto__`', '{"__proto__":{"hosts":[]}}'),
    {
      ...body('it is gzip, although `identity` was asked for', ''),
      behaviour: answer(200, { ...JSON_BODY, 'content-encoding': 'gzip' }, gzipSync(valid())),
      cause: /encoded although only "identity"/,
    },
    body('it is gzip, and says so nowhere', gzipSync(valid())),
    {
      ...body('it has 100 MB', '', /larger than \d+ bytes/),
      behaviour: talk(({ response }) => {
        flood(response.writeHead(200, { 'content-length': 100 * MEGABYTE }), 100 * MEGABYTE);
      }),
      mostBytes: 20 * MEGABYTE,
    },
    {
      ...body('it has 100 MB, in chunks that do not say how many will come', '', /larger than \d+ bytes/),
      behaviour: talk(({ response }) => flood(response.writeHead(200), 100 * MEGABYTE)),
      mostBytes: 20 * MEGABYTE,
    },
    {
      ...body('it is a good reply behind 1 MB of spaces', '', /larger than \d+ bytes/),
      behaviour: talk(({ hosts, response }) => {
        response.end(' '.repeat(MEGABYTE) + JSON.stringify({ hosts: hosts.map(trusted) }));
      }),
      mostBytes: 2 * MEGABYTE,
    },
  ]);
});

interface HostFault {
  readonly fault: string;
  readonly sees: Reason | 'the host passes';
  /** What the reply says beside the good word on a neighbour. */
  readonly entries: (host: string) => readonly unknown[];
  readonly counts?: Readonly<Record<string, number>>;
  readonly cause?: RegExp;
}

/** A fault that concerns one host of a poll: it is rejected, and its neighbour passes. */
async function expectHostFault({ sees, entries, counts, cause }: HostFault): Promise<void> {
  const sick = newHost('sick');
  const neighbour = newHost('neighbour');
  server.behave(answering(mutualTls(), ({ response }) => reply(response, [...entries(sick), trusted(neighbour)])));
  const result = await patient.invoke(filterEvent([sick, neighbour]));
  const passes = sees === 'the host passes';
  expect(result.statusCode).toBe(200);
  expect(answerOf(result).hosts).toEqual(passes ? [sick, neighbour] : [neighbour]);
  expect(reasonsOf(result)).toEqual(passes ? {} : { [sick]: sees });
  const line = await patient.lastLine();
  expect(line['rejected']).toEqual(passes ? {} : { [sees]: 1 });
  if (counts !== undefined) expect(line['counts']).toMatchObject(counts);
  if (cause !== undefined) expect(JSON.stringify(line['faults'])).toMatch(cause);
  await expectToPass(patient, [sick, neighbour]);
}

function testHostFaults(faults: readonly HostFault[]): void {
  test.each([...faults])('$fault → $sees', expectHostFault);
}

describe('What a reply says of one host', () => {
  const without = (member: string) => (host: string) => [
    Object.fromEntries(Object.entries(trusted(host)).filter(([name]) => name !== member)),
  ];
  const level = (trust_lvl: unknown) => (host: string) => [{ ...trusted(host), trust_lvl }];
  testHostFaults([
    { fault: 'nothing', sees: 'not-in-reply', entries: () => [] },
    {
      fault: 'nothing, and something of hosts that nobody asked for',
      sees: 'not-in-reply',
      entries: () => ['stranger-1', 'stranger-2'].map(trusted),
      counts: { UnaskedAnswers: 2 },
    },
    {
      fault: 'its name is written in upper case',
      sees: 'not-in-reply',
      entries: (host) => [trusted(host.toUpperCase())],
      counts: { UnaskedAnswers: 1, NamesInOtherCase: 1 },
      cause: /another case/,
    },
    { fault: 'its name has a space at its end', sees: 'not-in-reply', entries: (host) => [trusted(`${host} `)] },
    { fault: 'its name has a dot at its end', sees: 'not-in-reply', entries: (host) => [trusted(`${host}.`)] },
    {
      fault: 'its name is in a list',
      sees: 'not-in-reply',
      entries: (host) => [{ ...trusted(host), host_name: [host] }],
    },
    { fault: 'no `host_name`', sees: 'not-in-reply', entries: without('host_name'), counts: { UnaskedAnswers: 1 } },
    { fault: 'entries that are `null`, numbers and texts', sees: 'not-in-reply', entries: (host) => [null, 1, host] },
    {
      fault: 'everything, in the `__proto__` of an entry',
      sees: 'not-in-reply',
      entries: (host) => [JSON.parse(`{"__proto__":${JSON.stringify(trusted(host))}}`) as unknown],
    },
    { fault: 'no `trust_lvl`', sees: 'bad-reply', entries: without('trust_lvl') },
    {
      fault: 'its `trust_lvl` in `__proto__`, `constructor` and `toString`',
      sees: 'bad-reply',
      entries: (host) => [
        JSON.parse(
          `{"host_name":"${host}","__proto__":{"trust_lvl":"trusted"},"constructor":{"trust_lvl":"trusted"},` +
            `"toString":"trusted","vtime":"${vtime()}"}`,
        ) as unknown,
      ],
    },
    { fault: '`trust_lvl` in another case', sees: 'bad-reply', entries: level('Trusted') },
    { fault: '`trust_lvl` with a space', sees: 'bad-reply', entries: level('trusted ') },
    { fault: '`trust_lvl` that is `true`', sees: 'bad-reply', entries: level(true) },
    { fault: '`trust_lvl` that is a list', sees: 'bad-reply', entries: level(['trusted']) },
    { fault: '`trust_lvl` that is `constructor`', sees: 'bad-reply', entries: level('constructor') },
    { fault: '`trust_lvl` of `untrusted`', sees: 'untrusted', entries: level('untrusted') },
    { fault: '`trust_lvl` of `unknown`', sees: 'unknown', entries: level('unknown') },
    { fault: '`trust_lvl` of `timeout`', sees: 'timeout', entries: level('timeout') },
    { fault: '`trust_lvl` of `pending`', sees: 'pending', entries: level('pending') },
    {
      fault: 'the same twice',
      sees: 'the host passes',
      entries: (host) => {
        const said = trusted(host);
        return [said, said];
      },
    },
    {
      fault: 'two levels',
      sees: 'bad-reply',
      entries: (host) => [trusted(host), { ...trusted(host), trust_lvl: 'untrusted' }],
    },
    {
      fault: 'one level at two times',
      sees: 'bad-reply',
      entries: (host) => [trusted(host), { ...trusted(host), vtime: vtime(1_000) }],
    },
    {
      fault: 'more than was asked for, in members that nobody knows',
      sees: 'the host passes',
      entries: (host) => [{ ...trusted(host), pcr_values: ['0'.repeat(40)], report_is_valid: 'true', url: null }],
    },
  ]);
});

describe('The time (`vtime`) in what a reply says of one host', () => {
  const time = (fault: string, of: () => unknown): HostFault => ({
    fault,
    sees: 'bad-vtime',
    entries: (host) => [{ ...trusted(host), vtime: of() }],
  });
  const like = (change: (good: string) => string) => () => change(vtime());
  testHostFaults([
    {
      fault: 'missing',
      sees: 'bad-vtime',
      entries: (host) => [{ host_name: host, trust_lvl: 'trusted' }],
    },
    time('`null`', () => null),
    time('empty', () => ''),
    time('a word', () => 'now'),
    time('an object', () => ({ time: vtime() })),
    time('a list', () => [vtime()]),
    time('a negative number', () => -1),
    time('a number with a fraction', () => Date.now() + 0.5),
    time('a number beyond every calendar', () => 1e300),
    time(
      'a date without a time',
      like((good) => good.slice(0, 10)),
    ),
    time(
      'a time with a space for its `T`',
      like((good) => good.replace('T', ' ')),
    ),
    time(
      'a zone by its name',
      like((good) => good.replace('Z', ' CET')),
    ),
    time(
      'a day that the month does not have',
      like((good) => `${good.slice(0, 4)}-02-30${good.slice(10)}`),
    ),
    time(
      'hour 24',
      like((good) => `${good.slice(0, 11)}24:00:00Z`),
    ),
    time('`09/09/12`', () => '09/09/12'),
    time('a C time with a zone by its name', () => 'Tue Dec 3 09:12:30 CET 2013'),
    time(
      'a line break after it',
      like((good) => `${good}\n`),
    ),
    {
      ...time('a number of milliseconds', () => Date.now() + clockMs),
      sees: 'the host passes',
    },
    {
      ...time('a number of milliseconds as a text', () => String(Date.now() + clockMs)),
      sees: 'the host passes',
    },
    {
      ...time(
        'a time without a zone',
        like((good) => good.slice(0, -1)),
      ),
      sees: 'the host passes',
      counts: { ZonelessVtimes: 1 },
    },
    {
      ...time('a C time, which has no zone, with the month for its minutes', () => 'Tue Dec 3 09:12:30 2013'),
      sees: 'the host passes',
      counts: { ZonelessVtimes: 1 },
    },
    {
      ...time('older than the validity', () => vtime(LATER_MS)),
      sees: 'the host passes',
      counts: { LateVtimes: 1 },
    },
    {
      ...time('in the future', () => vtime(-LATER_MS)),
      sees: 'the host passes',
      counts: { FutureVtimes: 1 },
    },
  ]);
});

describe('An answer that is older than the validity when it comes, when it has served', () => {
  test('the next is on its way, longer than the request has time → late', async () => {
    const host = newHost('late');
    const answerLate = (ms: number): Behaviour =>
      answering(mutualTls(), ({ hosts, response }) => {
        const entries = hosts.map((name) => ({ ...trusted(name), vtime: vtime(LATER_MS) }));
        setTimeout(() => reply(response, entries), ms);
      });
    server.behave(answerLate(0));
    expect(answerOf(await patient.invoke(filterEvent([host]))).hosts).toEqual([host]);
    clockMs += 6_000;
    const other = await newcomer();
    patient.turnClock(clockMs);
    server.behave(answerLate(3_000));
    const polling = patient.invoke(filterEvent([host]));
    while (server.connections.length === 0) await new Promise(setImmediate);
    const result = await other.invoke(filterEvent([host]), 1_500);
    expect(answerOf(result).hosts).toEqual([]);
    expect(reasonsOf(result)).toEqual({ [host]: 'late' });
    expect(await other.lastLine()).toMatchObject({ passed: 0, polls: 0, rejected: { late: 1 } });
    expect(answerOf(await polling).hosts).toEqual([host]);
    await expectToPass(other, [host]);
    await other.stop();
  });
});

describe('Hosts with names that mean something to JavaScript', () => {
  const HOSTS = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', '__defineGetter__', 'hosts'];
  test('nothing is said of them → not-in-reply', async () => {
    server.behave(answering(mutualTls(), ({ response }) => reply(response, [])));
    const result = await patient.invoke(filterEvent(HOSTS));
    expect(answerOf(result)).toMatchObject({ hosts: [], rejected: [{ reason: 'not-in-reply', hosts: HOSTS }] });
    await expectToPass(patient, HOSTS);
  });

  test('one of them is untrusted → untrusted, and the others pass', async () => {
    clockMs += LATER_MS;
    patient.turnClock(clockMs);
    server.behave(
      answering(mutualTls(), ({ hosts, response }) => {
        const entries = hosts.map(trusted);
        reply(
          response,
          entries.map((entry) => (entry.host_name === '__proto__' ? { ...entry, trust_lvl: 'untrusted' } : entry)),
        );
      }),
    );
    const result = await patient.invoke(filterEvent(HOSTS));
    expect(answerOf(result).hosts).toEqual(HOSTS.slice(1));
    expect(answerOf(result).rejected).toMatchObject([{ reason: 'untrusted', hosts: ['__proto__'] }]);
    await expectToPass(patient, HOSTS);
  });
});

describe('Around a good answer', () => {
  const expectGood = async (behaviour: Behaviour): Promise<void> => {
    const host = newHost('compute');
    server.behave(behaviour);
    expect(answerOf(await patient.invoke(filterEvent([host]))).hosts).toEqual([host]);
  };
  test('103 goes before it → the host passes', () =>
    expectGood(
      talk(({ hosts, response }) => {
        response.socket?.write('HTTP/1.1 103 Early Hints\r\n\r\n');
        reply(response, hosts.map(trusted));
      })(),
    ));
  test('it begins with a byte order mark → the host passes', () =>
    expectGood(
      talk(({ hosts, response }) => void response.end(`\ufeff${JSON.stringify({ hosts: hosts.map(trusted) })}`))(),
    ));
  test('its status is 201 and its content type a text’s → the host passes', () =>
    expectGood(
      talk(({ hosts, response }) => {
        response.writeHead(201, HTML_BODY).end(JSON.stringify({ hosts: hosts.map(trusted) }));
      })(),
    ));
});

describe('The clock of an environment', () => {
  test.each([
    ['an hour ahead', 3_600_000],
    ['an hour behind', -3_600_000],
  ])('it is %s when it polls → the host passes, and others see when it really was attested', async (_, wrongMs) => {
    const host = newHost('clock');
    server.behave(answering(mutualTls(), ({ hosts, response }) => reply(response, hosts.map(trusted))));
    const [wrong, right] = [await newcomer(), await newcomer()];
    wrong.setClockWrong(wrongMs);
    const { body = '' } = await wrong.invoke(filterEvent([host]));
    expect(body).toContain(host);
    const line = await wrong.lastLine();
    expect(line['counts']).toHaveProperty('ClockFaults');
    const { ClockDifference } = line['measures'] as { ClockDifference: number };
    expect(Math.abs(ClockDifference - wrongMs)).toBeLessThan(3_000);
    const ask = async () => answerOf(await right.invoke(filterEvent([host])));
    expect(await ask()).toMatchObject({ hosts: [host] });
    expect(await right.lastLine()).toMatchObject({ polls: 0, from_table: 1 });
    await Promise.all([wrong.stop(), right.stop()]);
  });

  test('it is an hour behind, and the service says otherwise since the attestation ended → untrusted', async () => {
    const host = newHost('clock');
    let level = 'trusted';
    server.behave(
      answering(mutualTls(), ({ hosts, response }) => {
        const entries = hosts.map((name) => ({ ...trusted(name), trust_lvl: level }));
        reply(response, entries);
      }),
    );
    const [right, wrong] = [await newcomer(), await newcomer()];
    expect(answerOf(await right.invoke(filterEvent([host]))).hosts).toEqual([host]);
    level = 'untrusted';
    wrong.turnClock(clockMs + LATER_MS);
    wrong.setClockWrong(-3_600_000);
    expect(reasonsOf(await wrong.invoke(filterEvent([host])))).toEqual({ [host]: 'untrusted' });
    await Promise.all([right.stop(), wrong.stop()]);
  });
});
