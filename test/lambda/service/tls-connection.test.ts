import { createServer } from 'node:https';
import { describe, expect, test } from '@jest/globals';
import type { JsonGeneralName } from '@peculiar/x509';
import { CertificateAuthority } from '../../../infra/local/certificates.ts';
import { close } from '../../../infra/local/listen.ts';
import { TlsConnection } from '../../../lambda/service/tls-connection.ts';

const authority = await CertificateAuthority.create('Test CA');
const client = await authority.client({ commonName: 'trusted-filter' });

/** What comes of a poll of a server on this machine, reached by a name, with a certificate for such names. */
async function poll(server: string, commonName: string, names: JsonGeneralName[]): Promise<number> {
  const pair = await authority.server({ commonName, names });
  const attester = createServer({ ...pair, ca: authority.cert, requestCert: true }, (_, res) => res.end('{}'));
  await new Promise<void>((resolve) => attester.listen(0, '::', resolve));
  const { port } = attester.address() as { port: number };
  const certificate = { version: '1', certificate: { ...client, ca: authority.cert, notAfter: 0 } };
  const connection = new TlsConnection({ server, port, certificate, keepAliveMs: 1_000 });
  try {
    return (await connection.post('/', '{}', { signal: AbortSignal.timeout(10_000), maxBytes: 100 })).status;
  } finally {
    connection.close();
    await close(attester);
  }
}

const dns = (value: string): JsonGeneralName => ({ type: 'dns', value });
const ip = (value: string): JsonGeneralName => ({ type: 'ip', value });

describe('the name of a server is found', () => {
  test.each<[string, string, string, JsonGeneralName[]]>([
    ['among the DNS names', 'localhost', 'x', [dns('other.example'), dns('localhost')]],
    ['whatever its case', 'LOCALHOST', 'x', [dns('localhost')]],
    ['in the common name, where there are no other names', 'localhost', 'localhost', []],
    ['in the common name beside an IP address', 'localhost', 'localhost', [ip('10.0.0.1')]],
    ['in the common name beside an e-mail address', 'localhost', 'localhost', [{ type: 'email', value: 'a@b.c' }]],
    ['among the IP addresses', '127.0.0.1', 'x', [ip('127.0.0.1')]],
    ['among the IP addresses, of version 6', '::1', 'x', [ip('::1')]],
  ])('%s', async (_, ...names) => {
    await expect(poll(...names)).resolves.toBe(200);
  });
});

describe('the name of a server is not found', () => {
  test.each<[string, string, string, JsonGeneralName[]]>([
    ['in the common name beside a DNS name', 'localhost', 'localhost', [dns('other.example')]],
    ['in a wildcard alone', 'localhost', 'x', [dns('*')]],
    ['in a common name that is its IP address', '127.0.0.1', '127.0.0.1', []],
    ['in a DNS name that is its IP address', '127.0.0.1', 'x', [dns('127.0.0.1')]],
  ])('%s', async (_, ...names) => {
    await expect(poll(...names)).rejects.toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  });
});
