import { quote } from '../quote.ts';

/** Why the TLS of a server is not taken, in words for its operator; `code` is Node's or OpenSSL's own. */
export class ServerTlsFault extends Error {
  override readonly name = 'ServerTlsFault';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const AUTHORITY = 'no certificate in "ca" of the secret vouches for the server: its root must stand there';
const KEY = "a certificate of the server's chain has an RSA key of less than 2048 bits";
const OLD_TLS = 'the server speaks neither TLS 1.2 nor TLS 1.3';
const NOT_TLS = 'what answers at this port does not speak TLS';
const NOTHING_IN_COMMON =
  'the server has no cipher in common with the client, which offers neither finite-field DHE nor what is weaker than SHA-256 signatures';

/** By the code of the error. */
const FAULTS: Readonly<Record<string, string>> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: `${AUTHORITY}, and the server must send what stands between`,
  UNABLE_TO_GET_ISSUER_CERT: `${AUTHORITY}, not one that another has issued`,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: `${AUTHORITY}, and the server must send what stands between`,
  SELF_SIGNED_CERT_IN_CHAIN: `${AUTHORITY}, and the one that the server sends does not`,
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the server\'s certificate is self-signed, and does not stand in "ca" of the secret',
  CERT_HAS_EXPIRED: "the server's certificate, or one above it, has ended",
  CERT_NOT_YET_VALID: "the server's certificate, or one above it, is not valid yet",
  INVALID_PURPOSE: "the server's certificate is not for servers: its extended key usage lacks serverAuth",
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: OLD_TLS,
  ERR_SSL_UNSUPPORTED_PROTOCOL: OLD_TLS,
  ERR_SSL_WRONG_VERSION_NUMBER: NOT_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NOT_TLS,
};

/** Those of Node that share the code UNSPECIFIED, by OpenSSL's words. */
const UNSPECIFIED: Readonly<Record<string, string>> = {
  'EE certificate key too weak': KEY,
  'CA certificate key too weak': KEY,
  'CA signature digest algorithm too weak':
    "a certificate of the server's chain, below the root, is signed with SHA-1 or MD5",
};

/** With this alert a server also refuses a client certificate, but only once keys are agreed on. */
const HANDSHAKE_FAILURE = /ALERT_(HANDSHAKE_FAILURE|INSUFFICIENT_SECURITY)$/;

/**
 * Says in a server's terms what is wrong with its TLS. Node's own messages advise options of Node that a function's
 * operator can't set and must not want: nothing but the secret's `ca` vouches for the server.
 * @param error with which a connection ended
 * @param hasKeys whether the handshake came as far as keys
 * @returns the same error where it is none of the server's TLS
 */
export function explainTlsFault(error: unknown, hasKeys: boolean): unknown {
  if (!Error.isError(error) || !('code' in error) || typeof error.code !== 'string') return error;
  const { code } = error;
  const words = wordsFor(error, code, hasKeys);
  return words === undefined ? error : new ServerTlsFault(code, words);
}

function wordsFor(error: Error, code: string, hasKeys: boolean): string | undefined {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return otherName(error);
  if (code === 'UNSPECIFIED') return UNSPECIFIED[error.message];
  if (HANDSHAKE_FAILURE.test(code)) return hasKeys ? undefined : NOTHING_IN_COMMON;
  return FAULTS[code];
}

function otherName(
  error: Error & { readonly host?: string; readonly cert?: { readonly subjectaltname?: string } },
): string {
  const names = error.cert?.subjectaltname;
  const has = names === undefined ? 'is for no name' : `is for ${quote(names)}`;
  return `the server's certificate ${has} and not for ${quote(error.host)}: that must stand in its subjectAltName, an IP address as IP`;
}
