/** What the status of an answer says of who asks. */
import { PollError } from '../errors.ts';
import type { ClientCertificate } from './client-certificate.ts';

/** A challenge of the Basic scheme, alone or among others (RFC 9110, 11.6.1). */
const CHALLENGE = /(^|,)\s*Basic\s*(\s|,|$)/i;

/** Whether a status may mean that the service does not know the client. */
export function isRefusal(status: number): boolean {
  return status === 401 || status === 403;
}

/** Whether an answer asks for a login, which says nothing of the certificate. */
export function asksForLogin(status: number, challenge: string | string[] | undefined): boolean {
  return status === 401 && CHALLENGE.test(String(challenge));
}

/**
 * What there is to say of an answer that asks for a login; shows nothing of the one that was sent, if one was.
 * @param isSent whether requests of this kind carry a login where there is one
 */
export function loginError({ authorization }: ClientCertificate, isSent: boolean): PollError {
  const what = !isSent
    ? 'it asks for a login, as no verifier does, and none is sent'
    : authorization === undefined
      ? 'it asks for a login, and the secret has no "username" and "password"'
      : 'it refuses the "username" and "password" of the secret';
  return new PollError('unreachable', `the attestation service answered with HTTP status 401: ${what}`);
}
