/** What can be wrong with the connection to an attestation service and with its TLS, whatever it would say over them. */
import type { Socket } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { LOOPBACK_NAMES } from '../../infra/local/certificates.ts';
import { relayingAlerts, shakingHands, trickle } from '../fakes/faulty-server.ts';
import { selfSigned } from '../fakes/self-signed.ts';
import { shortDiffieHellman } from '../fakes/short-diffie-hellman.ts';
import { begin, type Fault, type FaultStage, serverOf } from './fault-stage.ts';

const YESTERDAY = new Date(Date.now() - 86_400_000);
const LAST_WEEK = new Date(Date.now() - 7 * 86_400_000);
/** What OpenSSL has to be told before it is as weak as an old server. */
const WEAK: TlsOptions = { ciphers: 'DEFAULT:@SECLEVEL=0' };

export function connectionFaults(stage: FaultStage): Fault[] {
  const { mutualTls, newcomer, raw, talk } = stage;
  return [
    {
      fault: 'it is refused',
      reason: 'unreachable',
      behaviour: async () => {
        await stage.server.shut();
        return () => {};
      },
      end: () => stage.server.open(),
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
      environment: () => stage.hasty,
      cause: /no complete answer in its time/,
    },
    {
      fault: 'the headers of an answer trickle in, byte by byte',
      reason: 'pending',
      behaviour: talk(({ response }) =>
        trickle(response.socket as Socket, 'HTTP/1.1 200 OK\r\ncontent-type: text/html', 50),
      ),
      environment: () => stage.hasty,
      cause: /no complete answer in its time/,
    },
    {
      fault: 'the body of an answer trickles in, byte by byte',
      reason: 'pending',
      behaviour: talk(({ response }) => {
        begin(response);
        trickle(response, '"compute-1.example.com","trust_lvl":"trusted"', 50);
      }),
      environment: () => stage.hasty,
      cause: /no complete answer in its time/,
    },
    {
      fault: 'an answer stops in the middle of its body',
      reason: 'pending',
      behaviour: talk(({ response }) => begin(response)),
      environment: () => stage.hasty,
      cause: /no complete answer in its time/,
    },
  ];
}

export function tlsFaults(stage: FaultStage): Fault[] {
  const { mutualTls, newcomer } = stage;
  const faults: Fault[] = [
    {
      fault: 'the server’s certificate is another authority’s',
      reason: 'unreachable',
      behaviour: async () => shakingHands(mutualTls(await serverOf(stage.stranger))),
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
        shakingHands(mutualTls(await serverOf(stage.cloud.authority, { notBefore: LAST_WEEK, notAfter: YESTERDAY }))),
      cause: /CERT_HAS_EXPIRED: the server's certificate, or one above it, has ended/,
    },
    {
      fault: 'the server’s certificate is for another name',
      reason: 'unreachable',
      behaviour: async () =>
        shakingHands(
          mutualTls(await serverOf(stage.cloud.authority, { names: [{ type: 'dns', value: 'other.example.com' }] })),
        ),
      cause: /ERR_TLS_CERT_ALTNAME_INVALID: .* is for "DNS:other\.example\.com" and not for "localhost"/,
    },
    {
      fault: 'the server is asked by its IP address, which its certificate has as its common name (CN) only',
      reason: 'unreachable',
      behaviour: async () => shakingHands(mutualTls(await stage.old.server({ commonName: '127.0.0.1', names: [] }))),
      environment: () => stage.cloud.environment({ ...stage.variables, ATTESTATION_SERVER: '127.0.0.1' }),
      cause:
        /ERR_TLS_CERT_ALTNAME_INVALID: .* is for no name and not for "127\.0\.0\.1": .* subjectAltName, an IP address as IP/,
    },
    {
      fault: 'the server’s certificate has an RSA key of 1024 bits',
      reason: 'unreachable',
      behaviour: async () => shakingHands(mutualTls({ ...(await stage.old.server({ bits: 1024 })), ...WEAK })),
      cause: /ServerTlsFault UNSPECIFIED: .* an RSA key of less than 2048 bits/,
    },
    {
      fault: 'the server’s certificate is signed with SHA-1',
      reason: 'unreachable',
      behaviour: async () => shakingHands(mutualTls({ ...(await stage.old.server({ hash: 'SHA-1' })), ...WEAK })),
      cause: /ServerTlsFault UNSPECIFIED: .* below the root, is signed with SHA-1/,
    },
    {
      fault: 'the server agrees on keys by finite-field Diffie-Hellman (DHE) alone, with a group of 1024 bits',
      reason: 'unreachable',
      behaviour: async () =>
        shakingHands(
          mutualTls({
            ...(await stage.old.server()),
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
        shakingHands(mutualTls(await stage.cloud.authority.client({ commonName: 'localhost', names: LOOPBACK_NAMES }))),
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
      behaviour: () => relayingAlerts(mutualTls({ ...stage.rsa, maxVersion: 'TLSv1.2', sigalgs: 'RSA-PSS+SHA256' })),
      cause: /ALERT_HANDSHAKE_FAILURE/,
    },
    {
      fault: 'the client’s certificate is refused, with an alert of TLS 1.3',
      reason: 'unreachable',
      behaviour: () => relayingAlerts(mutualTls({ ...stage.rsa, minVersion: 'TLSv1.3', sigalgs: 'RSA-PSS+SHA256' })),
      // undici may notice the end of the connection before the alert.
      cause: /ALERT_CERTIFICATE_REQUIRED|UND_ERR_SOCKET/,
    },
    {
      fault: 'the client’s certificate is refused, and the connection closed, in TLS 1.2',
      reason: 'unreachable',
      behaviour: () => shakingHands(mutualTls({ ca: stage.stranger.cert, maxVersion: 'TLSv1.2' })),
      cause: /ECONNRESET|UND_ERR_SOCKET|EPIPE/,
    },
    {
      fault: 'the client’s certificate is refused, and the connection closed, in TLS 1.3',
      reason: 'unreachable',
      behaviour: () => shakingHands(mutualTls({ ca: stage.stranger.cert, minVersion: 'TLSv1.3' })),
      cause: /ECONNRESET|UND_ERR_SOCKET|EPIPE/,
    },
  ];
  return faults.map((fault) => ({ environment: newcomer, ...fault }));
}
