import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { UnknownClientError } from './errors.ts';
import { quote } from './quote.ts';

/**
 * Checks who asks, where API Gateway only checked that some authority of the truststore vouches for the certificate. The
 * subject is compared as it is: character by character.
 * @param clients the subjects that may ask; without any, API Gateway itself has checked who asks
 * @throws {UnknownClientError} where the certificate's subject is none of them, or there is no certificate
 */
export function checkClient(event: Partial<APIGatewayProxyEventV2>, clients: ReadonlySet<string> | undefined): void {
  if (clients === undefined) return;
  const subject = event.requestContext?.authentication?.clientCert.subjectDN;
  if (subject !== undefined && clients.has(subject)) return;
  // To the log alone: who asks need not be told how the subject is read.
  throw new UnknownClientError(new Error(`the client certificate's subject is ${quote(subject)}`));
}
