import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { ClientCertificateError } from './errors.ts';

/** What the attestation service is shown, and what it is recognised by: PEM text. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  readonly passphrase?: string;
  /** Sent as `x-auth-blob`, where the service wants one. */
  readonly authBlob?: string;
}

/** How long reading the secret may take in all, an answer that stalls included. */
const SECRET_TIMEOUT_MS = 8_000;

/** Reads the secret once and keeps it; what failed is not kept, so the next call tries again. */
export class ClientCertificateLoader {
  readonly #secretId: string;
  #client: SecretsManagerClient | undefined;
  #loading: Promise<ClientCertificate> | undefined;

  constructor(secretId: string) {
    this.#secretId = secretId;
  }

  /** @throws {ClientCertificateError} naming what is wrong with the secret, or with reading it */
  load(): Promise<ClientCertificate> {
    this.#loading ??= this.#fetch().catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  async #fetch(): Promise<ClientCertificate> {
    const { GetSecretValueCommand, SecretsManagerClient } = await import('./secrets-manager.ts');
    this.#client ??= new SecretsManagerClient({
      maxAttempts: 2,
      requestHandler: { connectionTimeout: 2_000, requestTimeout: 4_000, throwOnRequestTimeout: true },
    });
    let text: string | undefined;
    try {
      // Without the stage, some endpoints return a rotated secret's old value.
      const command = new GetSecretValueCommand({ SecretId: this.#secretId, VersionStage: 'AWSCURRENT' });
      const abortSignal = AbortSignal.timeout(SECRET_TIMEOUT_MS);
      text = (await this.#client.send(command, { abortSignal })).SecretString;
    } catch (error) {
      // What the endpoint says in full may quote the secret; what kind of fault it is says enough.
      const kind = Error.isError(error) ? error.name : typeof error;
      throw new ClientCertificateError(`the secret could not be read from Secrets Manager: ${kind}`);
    }
    if (text === undefined) throw new ClientCertificateError('the secret has no text (SecretString)');
    return parseSecret(text);
  }
}

/**
 * Parses the secret, `{"cert","key","ca","passphrase"?,"auth_blob"?}`.
 * @throws {ClientCertificateError} naming the member and the rule; causes that may quote the text are left out
 */
export function parseSecret(text: string): ClientCertificate {
  let secret: unknown;
  try {
    secret = JSON.parse(text);
  } catch {
    throw new ClientCertificateError('the secret is not JSON');
  }
  if (typeof secret !== 'object' || secret === null) throw new ClientCertificateError('the secret is not an object');
  const members = secret as Record<string, unknown>;
  const cert = need(members, 'cert');
  const key = need(members, 'key');
  const ca = need(members, 'ca');
  const passphrase = optional(members, 'passphrase');
  const authBlob = optional(members, 'auth_blob');
  if (authBlob !== undefined && !/^[\x20-\x7e]*$/.test(authBlob)) {
    throw new ClientCertificateError('"auth_blob" of the secret has characters that no HTTP header may have');
  }
  const certificate = parse('cert', 'a PEM certificate', () => new X509Certificate(cert));
  parse('ca', 'a PEM certificate', () => new X509Certificate(ca));
  const privateKey = parse('key', 'a PEM private key that its passphrase opens', () =>
    createPrivateKey({ key, ...(passphrase === undefined ? {} : { passphrase }) }),
  );
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new ClientCertificateError('"key" of the secret does not belong to "cert"');
  }
  return {
    cert,
    key,
    ca,
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(authBlob === undefined ? {} : { authBlob }),
  };
}

function need(members: Record<string, unknown>, name: string): string {
  const value = optional(members, name);
  if (value === undefined) throw new ClientCertificateError(`the secret has no "${name}"`);
  return value;
}

function optional(members: Record<string, unknown>, name: string): string | undefined {
  const value = members[name];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string') throw new ClientCertificateError(`"${name}" of the secret is not a string`);
  return value;
}

function parse<T>(name: string, what: string, read: () => T): T {
  try {
    return read();
  } catch {
    throw new ClientCertificateError(`"${name}" of the secret is not ${what}`);
  }
}
