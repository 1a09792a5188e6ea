import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { UnknownClientError } from '../errors.ts';
import { quote } from '../quote.ts';

/**
 * Checks who asks, where API Gateway only checked that some authority of the truststore vouches for the certificate. The
 * subject is compared as it is: character by character.
 * @param clients the subjects that may ask; without any, API Gateway itself has checked who asks
 * @returns the subject, where it was checked
 * @throws {UnknownClientError} where the certificate's subject is none of them, or there is no certificate
 */
export function checkClient(
  event: Partial<APIGatewayProxyEventV2>,
  clients: ReadonlySet<string> | undefined,
): string | undefined {
  if (clients === undefined) return undefined;
  // Whoever invokes the function without API Gateway may send anything.
  const certificate = event.requestContext?.authentication?.clientCert as { subjectDN?: string } | null | undefined;
  const subject = certificate?.subjectDN;
  if (subject !== undefined && clients.has(subject)) return subject;
  // To the log alone: who asks need not be told how the subject is read.
  throw new UnknownClientError(
    new Error(
      subject === undefined
        ? 'no client certificate was shown'
        : `the client certificate's subject is ${quote(subject)}`,
    ),
  );
}
