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
  const routeKey = event.routeKey ?? '';
  const [method = '', path = ''] = routeKey.split(' ');
  const http = event.requestContext?.http;
  const asked = {
    method: method === '' || method === '$default' || method === 'ANY' ? (http?.method ?? '') : method,
    path: routeKey === '' || method === '$default' ? (event.rawPath ?? http?.path ?? '') : path,
  };
  const protocol = ROUTES.get(`${asked.method} ${asked.path}`);
  if (protocol !== undefined) return protocol;
  const allowed = METHODS.get(asked.path);
  if (allowed === undefined) throw new UnknownRouteError(`There is nothing at ${quote(asked.path)}.`);
  throw new MethodNotAllowedError(`${quote(asked.path)} takes ${allowed}, not ${quote(asked.method)}.`, allowed);
}
