import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { parseCertificates } from './certificates.ts';
import { ClientCertificateError } from '../errors.ts';
import { KeptConnections } from '../kept-connections.ts';
import { isSince } from '../trust/time.ts';

/** What the attestation service is shown, and what it is recognised by: PEM text. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  readonly passphrase?: string;
  /** Sent as `x-auth-blob`, where the service wants one. */
  readonly authBlob?: string;
  /** Sent as `authorization`, where the service wants a login: `Basic …` (RFC 7617). */
  readonly authorization?: string;
  /** When the certificate ends, epoch milliseconds. */
  readonly notAfter: number;
}

/** The value that the secret has, or the one that it had before. */
export type SecretStage = 'AWSCURRENT' | 'AWSPREVIOUS';

/** A value of the secret; another value has another version. */
export interface SecretValue {
  readonly version: string;
  readonly text: string;
}

export interface Secret {
  /**
   * Reads a value of the secret; undefined where there is no previous one, which is nobody's fault.
   * @throws {ClientCertificateError} that shows nothing of the secret
   */
  read(stage: SecretStage): Promise<SecretValue | undefined>;
}

/** How long reading the secret may take in all, an answer that stalls included. */
const SECRET_TIMEOUT_MS = 8_000;

/** The secret in Secrets Manager. */
export class SecretsManagerSecret implements Secret {
  readonly #secretId: string;
  #client: SecretsManagerClient | undefined;

  constructor(secretId: string) {
    this.#secretId = secretId;
  }

  async read(stage: SecretStage): Promise<SecretValue | undefined> {
    const { GetSecretValueCommand, SecretsManagerClient } = await import('./secrets-manager.ts');
    this.#client ??= new SecretsManagerClient({
      maxAttempts: 2,
      requestHandler: new KeptConnections({
        connectionTimeout: 2_000,
        requestTimeout: 4_000,
        throwOnRequestTimeout: true,
      }),
    });
    let value: { VersionId?: string | undefined; SecretString?: string | undefined };
    try {
      // Without the stage, some endpoints return a rotated secret's old value.
      const command = new GetSecretValueCommand({ SecretId: this.#secretId, VersionStage: stage });
      value = await this.#client.send(command, { abortSignal: AbortSignal.timeout(SECRET_TIMEOUT_MS) });
    } catch (error) {
      // What the endpoint says in full may quote the secret; what kind of fault it is says enough.
      const kind = Error.isError(error) ? error.name : typeof error;
      if (stage === 'AWSPREVIOUS' && kind === 'ResourceNotFoundException') return undefined;
      const code = Error.isError(error) && 'code' in error ? String(error.code) : '';
      const detail = /^E[A-Z_]+$/.test(code) ? `${kind} ${code}` : kind;
      throw new ClientCertificateError(`the secret could not be read from Secrets Manager: ${detail}`);
    }
    const { VersionId: version = '', SecretString: text } = value;
    if (text === undefined) throw new ClientCertificateError('the secret has no text (SecretString)');
    return { version, text };
  }
}

/**
 * Parses the secret, `{"cert","key","ca","passphrase"?,"auth_blob"?,"username"?,"password"?}`: `cert` is the client's
 * certificate and, behind it, the chain above it, `ca` any number of authorities. A certificate that has ended is refused. A
 * byte order mark, before the JSON or in a member, is no part of it.
 * @throws {ClientCertificateError} naming the member and the rule; causes that may quote the text are left out
 */
export function parseSecret(text: string, now = Date.now()): ClientCertificate {
  let secret: unknown;
  try {
    secret = JSON.parse(withoutMark(text));
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
  const authorization = parseLogin(optional(members, 'username'), optional(members, 'password'));
  const certificates = parseCertificates('cert', cert);
  const authorities = parseCertificates('ca', ca);
  const privateKey = parseKey(key, passphrase);
  const position = certificates.list.findIndex((one) => one.checkPrivateKey(privateKey)) + 1;
  if (position === 0) throw new ClientCertificateError('"key" of the secret does not belong to "cert"');
  if (position > 1) {
    throw new ClientCertificateError(
      `certificate ${position} in "cert" of the secret is the one of "key": it must stand first, and what vouches for it behind`,
    );
  }
  const parsed = {
    cert: certificates.pem,
    key,
    ca: authorities.pem,
    ...(passphrase === undefined ? {} : { passphrase }),
  };
  checkForTls(parsed);
  const end = (certificates.list[0] as X509Certificate).validToDate;
  if (!isSince(end.getTime(), now)) {
    throw new ClientCertificateError(`the certificate of the secret ended on ${end.toISOString()}`);
  }
  return {
    ...parsed,
    ...(authBlob === undefined ? {} : { authBlob }),
    ...(authorization === undefined ? {} : { authorization }),
    notAfter: end.getTime(),
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
  return withoutMark(value);
}

/** A login as HTTP's Basic scheme has it, in UTF-8 (RFC 7617). */
function parseLogin(username: string | undefined, password: string | undefined): string | undefined {
  if (username === undefined && password === undefined) return undefined;
  if (username === undefined) throw new ClientCertificateError('the secret has a "password" and no "username"');
  if (password === undefined) throw new ClientCertificateError('the secret has a "username" and no "password"');
  if (/[:\p{Cc}]/u.test(username)) {
    throw new ClientCertificateError(
      '"username" of the secret has a colon or a control character, which no login may have',
    );
  }
  if (/\p{Cc}/u.test(password)) {
    throw new ClientCertificateError('"password" of the secret has a control character, which no login may have');
  }
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

function parseKey(key: string, passphrase: string | undefined): KeyObject {
  try {
    return createPrivateKey({ key, ...(passphrase === undefined ? {} : { passphrase }) });
  } catch {
    throw new ClientCertificateError('"key" of the secret is not a PEM private key that its passphrase opens');
  }
}

function withoutMark(text: string): string {
  return text.replace(/^\uFEFF/, '');
}

/** TLS has rules of its own: keys of a length, for example. */
function checkForTls(options: SecureContextOptions): void {
  try {
    // Not imported: that takes time at every start, and most of them need no certificate.
    process.getBuiltinModule('node:tls').createSecureContext(options);
  } catch (error) {
    const code = Error.isError(error) && 'code' in error ? String(error.code) : 'no code';
    throw new ClientCertificateError(`TLS can't use the secret's "cert", "key" and "ca": ${code}`);
  }
}
