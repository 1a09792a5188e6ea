import { describe, expect, test } from '@jest/globals';
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { inspect } from 'node:util';
import { CertificateAuthority } from '../../../infra/local/certificates.ts';
import { parseSecret } from '../../../lambda/service/client-certificate.ts';
import { ClientCertificateError } from '../../../lambda/errors.ts';

const PASSPHRASE = 'hunter2 and some more';
const AUTH_BLOB = 'Basic aHVudGVyMg==';

const authority = await CertificateAuthority.create('Test CA');
const { cert, key } = await authority.client({ commonName: 'trusted-filter' });
const other = await authority.client({ commonName: 'somebody-else' });
const YESTERDAY = new Date(Date.now() - 86_400_000);
const LAST_WEEK = new Date(Date.now() - 7 * 86_400_000);
const ended = await authority.client({ commonName: 'ended', notBefore: LAST_WEEK, notAfter: YESTERDAY });
const TOMORROW = new Date(Date.now() + 86_400_000);
const early = await authority.client({ commonName: 'early', notBefore: TOMORROW });
const ca = authority.cert;
const encrypted = createPrivateKey(key)
  .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: PASSPHRASE })
  .toString();
const publicKey = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString();

/** U+FEFF, with which some editors begin a file. */
const MARK = '\uFEFF';

function damaged(name: string, position: number): string {
  return `certificate ${position} in "${name}" of the secret can't be read: each must be whole, with its lines as they were`;
}

const GOOD = { cert, key, ca };
const notAfter = new X509Certificate(cert).validToDate.getTime();

describe('the secret', () => {
  test.each<[string, object, object]>([
    ['of a certificate, its key and the CA', GOOD, GOOD],
    [
      'with an encrypted key',
      { ...GOOD, key: encrypted, passphrase: PASSPHRASE },
      { ...GOOD, key: encrypted, passphrase: PASSPHRASE },
    ],
    [
      'with a passphrase that the key does not need',
      { ...GOOD, passphrase: PASSPHRASE },
      { ...GOOD, passphrase: PASSPHRASE },
    ],
    ['with an auth blob', { ...GOOD, auth_blob: AUTH_BLOB }, { ...GOOD, authBlob: AUTH_BLOB }],
    [
      'with a login',
      { ...GOOD, username: 'Aladdin', password: 'open sesame' },
      // As RFC 7617 has it.
      { ...GOOD, authorization: 'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==' },
    ],
    [
      'with a login beyond ASCII, and a password with a colon',
      { ...GOOD, username: 'test', password: '123\u00a3:4' },
      { ...GOOD, authorization: 'Basic dGVzdDoxMjPCozo0' },
    ],
    ['with a login that is empty', { ...GOOD, username: '', password: null }, GOOD],
    ['with members that are empty', { ...GOOD, passphrase: '', auth_blob: null }, GOOD],
    ['with members that nobody needs', { ...GOOD, note: 'rotated in May' }, GOOD],
    ['with several CAs', { ...GOOD, ca: `${ca}\n${ca}` }, { ...GOOD, ca: `${ca}\n${ca}` }],
    [
      'with several CAs, whose lines are joined',
      { ...GOOD, ca: `${ca}${ca}${ca}` },
      { ...GOOD, ca: [ca, ca, ca].join('\n') },
    ],
    [
      'with words around certificates',
      { ...GOOD, ca: `subject=CN=a\n${ca}\nsubject=CN=b\n${ca}` },
      { ...GOOD, ca: `${ca}\n${ca}` },
    ],
    [
      'with a key between certificates, in ruins',
      { ...GOOD, ca: `${ca}\n${key.replace(/^M/m, '!')}\n${ca}` },
      { ...GOOD, ca: `${ca}\n${ca}` },
    ],
    [
      'with lines as Windows ends them',
      { ...GOOD, ca: `${ca}\n${ca}`.replaceAll('\n', '\r\n') },
      { ...GOOD, ca: `${ca}\n${ca}` },
    ],
    [
      'with a byte order mark in each member',
      { cert: `${MARK}${cert}`, key: `${MARK}${key}`, ca: `${MARK}${ca}` },
      GOOD,
    ],
    ['with a chain behind the certificate', { ...GOOD, cert: `${cert}\n${ca}` }, { ...GOOD, cert: `${cert}\n${ca}` }],
  ])('is read %s', (_, secret, expected) => {
    expect(parseSecret(JSON.stringify(secret))).toStrictEqual({ ...expected, notAfter });
  });

  test('is read with a byte order mark before it', () => {
    expect(parseSecret(`${MARK}${JSON.stringify(GOOD)}`)).toStrictEqual({ ...GOOD, notAfter });
  });

  describe.each(['cert', 'ca'] as const)(
    'is not taken for whole where "%s" has certificates that can’t be read:',
    (name) => {
      const first = name === 'cert' ? cert : ca;
      const second = ca.split('\n');
      const middle = Math.trunc(second.length / 2);
      const edited = (edit: (line: string) => string): string =>
        second.map((line, i) => (i === middle ? edit(line) : line)).join('\n');
      test.each<[string, string]>([
        ['lines that are joined', second.join('')],
        ['spaces for line ends', second.join(' ')],
        ['a backslash and "n" for line ends', second.join('\\n')],
        ['a cut', second.slice(0, middle).join('\n')],
        ['a cut in the first mark', '-----BEGIN CERT'],
        ['a cut in the last mark', ca.trimEnd().slice(0, -6)],
        ['no last mark', second.filter((line) => !line.includes('END')).join('\n')],
        ['no first mark', second.filter((line) => !line.includes('BEGIN')).join('\n')],
        ['too few dashes', ca.replace('-----BEGIN', '----BEGIN')],
        ['a line too few', second.toSpliced(middle, 1).join('\n')],
        ['a letter too few', edited((line) => line.slice(1))],
        ['a letter that is no base64', edited((line) => `!${line.slice(1)}`)],
        ['a request', ca.replaceAll('CERTIFICATE', 'CERTIFICATE REQUEST')],
      ])('%s', (_, broken) => {
        const fault = new ClientCertificateError(damaged(name, 2));
        expect(() => parseSecret(JSON.stringify({ ...GOOD, [name]: `${first}\n${broken}` }))).toThrow(fault);
        expect(() => parseSecret(JSON.stringify({ ...GOOD, [name]: `${first}\n${broken}\n${ca}` }))).toThrow(fault);
        const alone = new ClientCertificateError(damaged(name, 1));
        expect(() => parseSecret(JSON.stringify({ ...GOOD, [name]: `${broken}\n${first}` }))).toThrow(alone);
      });
    },
  );

  test('is read where its certificate is not valid yet: whose clock is right is not for us to say', () => {
    expect(parseSecret(JSON.stringify({ ...early, ca }))).toMatchObject(early);
  });

  test.each<[string, unknown, string]>([
    ['no JSON', `${key}${PASSPHRASE}`, 'the secret is not JSON'],
    ['JSON that was cut off', JSON.stringify(GOOD).slice(0, -1), 'the secret is not JSON'],
    ['a text', JSON.stringify(key), 'the secret is not an object'],
    ['null', 'null', 'the secret is not an object'],
    ['an array', JSON.stringify([cert, key, ca]), 'the secret has no "cert"'],
    ['no certificate', { key, ca }, 'the secret has no "cert"'],
    ['an empty key', { cert, key: '', ca }, 'the secret has no "key"'],
    ['no CA', { cert, key, ca: null }, 'the secret has no "ca"'],
    ['a certificate that is no text', { ...GOOD, cert: [cert] }, '"cert" of the secret is not a string'],
    ['a key that is no text', { ...GOOD, key: { pem: key } }, '"key" of the secret is not a string'],
    [
      'a passphrase that is no text',
      { ...GOOD, passphrase: [PASSPHRASE] },
      '"passphrase" of the secret is not a string',
    ],
    ['an auth blob that is no text', { ...GOOD, auth_blob: [AUTH_BLOB] }, '"auth_blob" of the secret is not a string'],
    ['a certificate that is none', { ...GOOD, cert: PASSPHRASE }, '"cert" of the secret is not a PEM certificate'],
    [
      'a certificate in another place than its key',
      { ...GOOD, cert: key, key: cert },
      '"cert" of the secret is not a PEM certificate',
    ],
    ['a certificate without line breaks', { ...GOOD, cert: cert.replaceAll('\n', '') }, damaged('cert', 1)],
    ['a CA that is none', { ...GOOD, ca: key }, '"ca" of the secret is not a PEM certificate'],
    [
      'a key that is none',
      { ...GOOD, key: PASSPHRASE },
      '"key" of the secret is not a PEM private key that its passphrase opens',
    ],
    [
      'a public key',
      { ...GOOD, key: publicKey },
      '"key" of the secret is not a PEM private key that its passphrase opens',
    ],
    [
      'an encrypted key and no passphrase',
      { ...GOOD, key: encrypted },
      '"key" of the secret is not a PEM private key that its passphrase opens',
    ],
    [
      'an encrypted key and a wrong passphrase',
      { ...GOOD, key: encrypted, passphrase: AUTH_BLOB },
      '"key" of the secret is not a PEM private key that its passphrase opens',
    ],
    [
      'a chain that breaks off behind the certificate',
      { ...GOOD, cert: `${cert}\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n` },
      damaged('cert', 2),
    ],
    [
      'a certificate behind the one that vouches for it',
      { ...GOOD, cert: `${ca}\n${cert}` },
      'certificate 2 in "cert" of the secret is the one of "key": it must stand first, and what vouches for it behind',
    ],
    [
      'a certificate that has ended',
      { ...ended, ca },
      `the certificate of the secret ended on ${YESTERDAY.toISOString().replace(/\d{3}Z/, '000Z')}`,
    ],
    ['a key of another certificate', { ...GOOD, key: other.key }, '"key" of the secret does not belong to "cert"'],
    ['a password alone', { ...GOOD, password: PASSPHRASE }, 'the secret has a "password" and no "username"'],
    ['a username alone', { ...GOOD, username: PASSPHRASE }, 'the secret has a "username" and no "password"'],
    [
      'a username with a colon',
      { ...GOOD, username: `${PASSPHRASE}:`, password: PASSPHRASE },
      '"username" of the secret has a colon or a control character, which no login may have',
    ],
    [
      'a password with a line break',
      { ...GOOD, username: 'nova', password: `${PASSPHRASE}\n` },
      '"password" of the secret has a control character, which no login may have',
    ],
    [
      'a password that is no text',
      { ...GOOD, username: 'nova', password: [1] },
      '"password" of the secret is not a string',
    ],
    [
      'an auth blob with a line break',
      { ...GOOD, auth_blob: `${AUTH_BLOB}\r\nx: y` },
      '"auth_blob" of the secret has characters that no HTTP header may have',
    ],
    [
      'an auth blob beyond ASCII',
      { ...GOOD, auth_blob: `${AUTH_BLOB}ü` },
      '"auth_blob" of the secret has characters that no HTTP header may have',
    ],
  ])('is refused, with none of it shown: %s', (_, secret, message) => {
    const text = typeof secret === 'string' ? secret : JSON.stringify(secret);
    let error: unknown;
    try {
      parseSecret(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toEqual(new ClientCertificateError(message));
    const shown = inspect(error, { depth: Infinity, showHidden: true });
    for (const pem of [cert, key, ca, encrypted, other.key]) {
      for (const line of pem.split('\n').filter((part) => part !== '' && !part.startsWith('-----'))) {
        expect(shown).not.toContain(line.slice(0, 8));
      }
    }
    for (const word of [PASSPHRASE, 'hunter2', AUTH_BLOB, 'BEGIN']) expect(shown).not.toContain(word);
  });
});
