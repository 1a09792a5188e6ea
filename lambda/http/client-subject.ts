import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { UnknownClientError } from '../errors.ts';
import { quote } from '../quote.ts';
import { type DistinguishedName, isSameName, parseDistinguishedName } from './distinguished-name.ts';

/**
 * Checks who asks, where API Gateway only checked that some authority of the truststore vouches for the certificate.
 * AWS does not document in which order it writes the parts of a subject: either will do.
 * @param clients the subjects that may ask; without any, API Gateway itself has checked who asks
 * @returns the subject as it was shown, where it was checked
 * @throws {UnknownClientError} where the certificate's subject is none of them, or there is no certificate
 */
export function checkClient(
  event: Partial<APIGatewayProxyEventV2>,
  clients: readonly DistinguishedName[] | undefined,
): string | undefined {
  if (clients === undefined) return undefined;
  // Whoever invokes the function without API Gateway may send anything.
  const certificate = event.requestContext?.authentication?.clientCert as { subjectDN?: unknown } | null | undefined;
  const subject = certificate?.subjectDN;
  const name = typeof subject === 'string' ? parseDistinguishedName(subject) : undefined;
  if (name !== undefined && clients.some((client) => isSameName(client, name))) return subject as string;
  // To the log alone: who asks need not be told how the subject is read.
  throw new UnknownClientError(new Error(fault(subject, name)));
}

function fault(subject: unknown, name: DistinguishedName | undefined): string {
  if (subject === undefined) return 'no client certificate was shown';
  const shown = `the client certificate's subject is ${quote(subject)}`;
  return name === undefined ? `${shown}, which is no distinguished name as RFC 4514 writes it` : shown;
}

/** @returns the names in a JSON array of subjects; undefined where it is none, is empty, or has one that is no subject */
export function parseClients(text: string): readonly DistinguishedName[] | undefined {
  const names = readArray(text)?.map(parseSubject) ?? [];
  return names.length > 0 && names.every((name) => name !== undefined) ? names : undefined;
}

/** Which of the subjects is none, as what follows in a sentence. */
export function blameClient(text: string): string {
  const wrong = readArray(text)?.find((subject) => parseSubject(subject) === undefined);
  return wrong === undefined ? '' : `; ${quote(wrong)} is none`;
}

function readArray(text: string): readonly unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The length is what keeps a variable small; openssl's heading would be read as a type, `subject`. */
function parseSubject(subject: unknown): DistinguishedName | undefined {
  if (typeof subject !== 'string' || subject.length > 1_000 || /^subject=/i.test(subject)) return undefined;
  return parseDistinguishedName(subject);
}
