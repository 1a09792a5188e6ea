import { describe, expect, test } from '@jest/globals';
import { explainTlsFault } from '../../../lambda/service/server-tls-fault.ts';

/** An error as Node or OpenSSL makes it. */
function errorOf(code: string, message = 'in words of its own', more: object = {}): Error {
  return Object.assign(new Error(message), { code, ...more });
}

describe('a fault of the TLS of a server is said in words', () => {
  const advice = '; if the root CA is installed locally, try running Node.js with --use-system-ca';
  test.each<[string, Error, RegExp]>([
    [
      'an unknown root',
      errorOf('UNABLE_TO_VERIFY_LEAF_SIGNATURE', advice),
      /"ca" of the secret vouches.*send what stands/,
    ],
    [
      'a root that is none',
      errorOf('UNABLE_TO_GET_ISSUER_CERT', advice),
      /"ca" of the secret vouches.*another has issued/,
    ],
    ['a lost issuer', errorOf('UNABLE_TO_GET_ISSUER_CERT_LOCALLY', advice), /"ca" of the secret vouches/],
    ['an unknown root that is sent', errorOf('SELF_SIGNED_CERT_IN_CHAIN', advice), /"ca" of the secret vouches/],
    ['a self-signed certificate', errorOf('DEPTH_ZERO_SELF_SIGNED_CERT', advice), /self-signed.*"ca" of the secret/],
    ['the end', errorOf('CERT_HAS_EXPIRED'), /has ended/],
    ['the beginning', errorOf('CERT_NOT_YET_VALID'), /not valid yet/],
    ['the purpose', errorOf('INVALID_PURPOSE'), /serverAuth/],
    ['a short key', errorOf('UNSPECIFIED', 'EE certificate key too weak'), /RSA key of less than 2048 bits/],
    ['a short key above', errorOf('UNSPECIFIED', 'CA certificate key too weak'), /RSA key of less than 2048 bits/],
    ['an old signature', errorOf('UNSPECIFIED', 'CA signature digest algorithm too weak'), /signed with SHA-1 or MD5/],
    ['TLS 1.1, by an alert', errorOf('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'), /neither TLS 1\.2 nor TLS 1\.3/],
    ['TLS 1.1, by its answer', errorOf('ERR_SSL_UNSUPPORTED_PROTOCOL'), /neither TLS 1\.2 nor TLS 1\.3/],
    ['no TLS', errorOf('ERR_SSL_WRONG_VERSION_NUMBER'), /does not speak TLS/],
    ['no cipher', errorOf('ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE'), /no cipher in common/],
    ['no cipher, as others say it', errorOf('ERR_SSL_TLSV1_ALERT_INSUFFICIENT_SECURITY'), /no cipher in common/],
  ])('%s', (_, error, words) => {
    const explained = explainTlsFault(error, false);
    expect(explained).toMatchObject({ name: 'ServerTlsFault', code: (error as Error & { code: string }).code });
    expect((explained as Error).message).toMatch(words);
    expect((explained as Error).message.length).toBeLessThan(180);
    expect(String(explained)).not.toContain('--use-');
    expect((explained as Error).cause).toBeUndefined();
  });

  test('another name, with what the certificate has for names, cut and escaped', () => {
    const names = `DNS:${'a'.repeat(98)}, DNS:b`;
    const error = errorOf('ERR_TLS_CERT_ALTNAME_INVALID', '', { host: 'a\nb', cert: { subjectaltname: names } });
    expect((explainTlsFault(error, true) as Error).message).toBe(
      `the server's certificate is for "DNS:${'a'.repeat(96)}…" and not for "a\\u000ab": that must stand in its subjectAltName, an IP address as IP`,
    );
  });
});

describe('an error is left as it is', () => {
  test.each<[string, unknown, boolean]>([
    ['where it is none of TLS', errorOf('ECONNREFUSED'), false],
    ['where it has no code', new Error('no code'), false],
    ['where OpenSSL says what nobody has met', errorOf('UNSPECIFIED', 'something new'), true],
    ['where it is no error', 'text', false],
    [
      'where keys are agreed on: the client’s certificate may be meant',
      errorOf('ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE'),
      true,
    ],
  ])('%s', (_, error, hasKeys) => {
    expect(explainTlsFault(error, hasKeys)).toBe(error);
  });
});
