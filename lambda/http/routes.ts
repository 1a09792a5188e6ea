import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { MethodNotAllowedError, UnknownRouteError } from '../errors.ts';
import type { Protocol } from '../protocols/filter-request.ts';
import { kubernetes } from '../protocols/kubernetes.ts';
import { externalScheduler } from '../protocols/external-scheduler.ts';
import { native } from '../protocols/native.ts';
import { quote } from '../quote.ts';

/** The routes of the HTTP API, by API Gateway's `routeKey`. */
const ROUTES: ReadonlyMap<string, Protocol> = new Map<string, Protocol>([
  ['POST /filter', native],
  ['POST /kubernetes/filter', kubernetes],
  ['POST /nova/external-scheduler', externalScheduler],
]);

export const ROUTE_KEYS: readonly string[] = [...ROUTES.keys()];

/** Where a Keylime verifier says that an agent failed; there only where the attestation service is one. */
export const WEBHOOK_ROUTE = 'POST /keylime/webhook';

/** The method that each path takes. */
const METHODS: ReadonlyMap<string, string> = new Map(
  ROUTE_KEYS.map((key) => key.split(' ') as [string, string]).map(([method, path]) => [path, method]),
);

/**
 * The protocol that an event is in. API Gateway names the route in `routeKey`; where that is a catch-all, the method
 * and the (decoded) path decide.
 * @throws {UnknownRouteError | MethodNotAllowedError}
 */
export function protocolOf(event: Partial<APIGatewayProxyEventV2>): Protocol {
  const asked = askedOf(event);
  const protocol = ROUTES.get(`${asked.method} ${asked.path}`);
  if (protocol !== undefined) return protocol;
  const allowed = METHODS.get(asked.path);
  if (allowed === undefined) throw new UnknownRouteError(`There is nothing at ${quote(asked.path)}.`);
  throw new MethodNotAllowedError(`${quote(asked.path)} takes ${allowed}, not ${quote(asked.method)}.`, allowed);
}

export function isWebhook(event: Partial<APIGatewayProxyEventV2>): boolean {
  const { method, path } = askedOf(event);
  return `${method} ${path}` === WEBHOOK_ROUTE;
}

function askedOf(event: Partial<APIGatewayProxyEventV2>): { readonly method: string; readonly path: string } {
  const routeKey = event.routeKey ?? '';
  const [method = '', path = ''] = routeKey.split(' ');
  const http = event.requestContext?.http;
  return {
    method: method === '' || method === '$default' || method === 'ANY' ? (http?.method ?? '') : method,
    path: routeKey === '' || method === '$default' ? (event.rawPath ?? http?.path ?? '') : path,
  };
}
