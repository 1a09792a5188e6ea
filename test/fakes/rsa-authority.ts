import { createPrivateKey, type webcrypto, webcrypto as crypto } from 'node:crypto';
import 'reflect-metadata'; // what @peculiar/x509 stands on
import * as x509 from '@peculiar/x509';
import { type KeyPair, LOOPBACK_NAMES } from '../../infra/local/certificates.ts';

const DAY_MS = 86_400_000;
const TIMES = { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + DAY_MS) };

/** What is old in the certificate of an old server. */
export interface ServerOptions {
  readonly bits?: number;
  readonly hash?: 'SHA-1' | 'SHA-256';
  readonly commonName?: string;
  readonly names?: readonly x509.JsonGeneralName[];
}

function algorithm(bits = 2048, hash = 'SHA-256') {
  return { name: 'RSASSA-PKCS1-v1_5', hash, publicExponent: new Uint8Array([1, 0, 1]), modulusLength: bits };
}

/** An authority as attestation servers had them: RSA, itself signed with SHA-1. */
export class RsaAuthority {
  readonly cert: string;
  readonly #certificate: x509.X509Certificate;
  readonly #keys: webcrypto.CryptoKeyPair;

  private constructor(certificate: x509.X509Certificate, keys: webcrypto.CryptoKeyPair) {
    this.cert = certificate.toString('pem');
    this.#certificate = certificate;
    this.#keys = keys;
  }

  static async create(commonName: string): Promise<RsaAuthority> {
    const keys = await crypto.subtle.generateKey(algorithm(2048, 'SHA-1'), true, ['sign', 'verify']);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: `CN=${commonName}`,
      keys,
      signingAlgorithm: algorithm(2048, 'SHA-1'),
      ...TIMES,
      extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
    });
    return new RsaAuthority(certificate, keys);
  }

  async server(options: ServerOptions = {}): Promise<KeyPair> {
    const { bits, hash, commonName = 'localhost', names = LOOPBACK_NAMES } = options;
    const keys = await crypto.subtle.generateKey(algorithm(bits), true, ['sign', 'verify']);
    const signingAlgorithm = algorithm(2048, hash);
    const certificate = await x509.X509CertificateGenerator.create({
      subject: `CN=${commonName}`,
      issuer: this.#certificate.subject,
      publicKey: keys.publicKey,
      signingKey: await this.#keyFor(signingAlgorithm),
      signingAlgorithm,
      ...TIMES,
      extensions: names.length > 0 ? [new x509.SubjectAlternativeNameExtension([...names])] : [],
    });
    return { cert: certificate.toString('pem'), key: pem(await crypto.subtle.exportKey('pkcs8', keys.privateKey)) };
  }

  /** The same key for another hash: to Web Crypto the hash belongs to the key. */
  async #keyFor(signingAlgorithm: ReturnType<typeof algorithm>): Promise<webcrypto.CryptoKey> {
    const der = await crypto.subtle.exportKey('pkcs8', this.#keys.privateKey);
    return crypto.subtle.importKey('pkcs8', der, signingAlgorithm, true, ['sign']);
  }
}

function pem(der: ArrayBuffer): string {
  const key = createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}
