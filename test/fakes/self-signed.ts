import { createPrivateKey, webcrypto } from 'node:crypto';
import 'reflect-metadata'; // what @peculiar/x509 stands on
import * as x509 from '@peculiar/x509';
import { type KeyPair, LOOPBACK_NAMES } from '../../infra/local/certificates.ts';

const DAY_MS = 86_400_000;
const ALGORITHMS = {
  EC: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  RSA: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 2048 },
} as const;

/** A certificate for a server on this machine that no authority vouches for. */
export async function selfSigned(kind: keyof typeof ALGORITHMS): Promise<KeyPair> {
  const signingAlgorithm = ALGORITHMS[kind];
  const keys = await webcrypto.subtle.generateKey(signingAlgorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=localhost',
    keys,
    signingAlgorithm,
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + DAY_MS),
    extensions: [new x509.SubjectAlternativeNameExtension([...LOOPBACK_NAMES])],
  });
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ type: 'pkcs8', format: 'pem' });
  return { cert: certificate.toString('pem'), key: key.toString() };
}
