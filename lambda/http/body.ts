import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { InvalidRequestError } from '../errors.ts';

/**
 * The JSON in an event's body, whatever its content type. A byte order mark before it is no part of it.
 * @throws {InvalidRequestError} showing nothing of the body
 */
export function parseBody(event: Partial<APIGatewayProxyEventV2>): unknown {
  const { body, isBase64Encoded } = event;
  if (typeof body !== 'string' || body === '')
    throw new InvalidRequestError('The body is empty; it must be a JSON object.');
  try {
    return JSON.parse(isBase64Encoded === true ? decodeBase64(body) : body.replace(/^\uFEFF/, ''));
  } catch {
    throw new InvalidRequestError('The body is not JSON.');
  }
}

/** The decoder leaves a byte order mark out. */
function decodeBase64(text: string): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(text, 'base64'));
}
