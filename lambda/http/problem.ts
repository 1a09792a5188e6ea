import type { MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { InternalError, TrustedFilterError } from '../errors.ts';
import { protocolOf } from './routes.ts';

const TITLES: Readonly<Record<string, string>> = {
  'invalid-request': 'The request is not valid',
  'too-many-hosts': 'The request has too many hosts',
  'unknown-client': 'The client may not ask',
  'unknown-route': 'There is no such route',
  'method-not-allowed': 'The route does not take this method',
  'hint-not-taken': 'The hint was not taken',
  configuration: 'The service is not configured',
  'internal-error': 'The service failed',
};

/** Answers errors as their protocol does, or else as `application/problem+json` (RFC 9457); `type` is stable. */
export function problems(): MiddlewareObj<Partial<APIGatewayProxyEventV2>, APIGatewayProxyStructuredResultV2> {
  return {
    onError: (request) => {
      const { error } = request;
      const fault = error instanceof TrustedFilterError ? error : new InternalError(error);
      const renderFault = renderFaultOf(request.event);
      if (renderFault !== undefined) {
        request.response = {
          statusCode: 200,
          headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
          body: JSON.stringify(renderFault(fault)),
        };
        return;
      }
      const { code, status, message: detail, headers } = fault;
      request.response = {
        statusCode: status,
        headers: { ...headers, 'content-type': 'application/problem+json' },
        body: JSON.stringify({ type: `urn:trusted-filter:problem:${code}`, title: TITLES[code], status, detail }),
      };
    },
  };
}

/** How the protocol of an event answers faults; undefined where it has no protocol, or none with a way of its own. */
function renderFaultOf(event: Partial<APIGatewayProxyEventV2>): ((error: TrustedFilterError) => unknown) | undefined {
  try {
    const protocol = protocolOf(event);
    return protocol.renderFault?.bind(protocol);
  } catch {
    return undefined;
  }
}
