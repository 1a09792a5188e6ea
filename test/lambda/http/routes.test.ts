import { describe, expect, test } from '@jest/globals';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { MethodNotAllowedError, UnknownRouteError } from '../../../lambda/errors.ts';
import { kubernetes } from '../../../lambda/protocols/kubernetes.ts';
import { native } from '../../../lambda/protocols/native.ts';
import { protocolOf, ROUTE_KEYS } from '../../../lambda/http/routes.ts';

type Event = Partial<APIGatewayProxyEventV2>;

/** An event as API Gateway sends it. */
function event(routeKey: string | undefined, method: string, path: string): Event {
  const http = { method, path, protocol: 'HTTP/1.1', sourceIp: '192.0.2.1', userAgent: 'nova' };
  const requestContext = { http } as APIGatewayProxyEventV2['requestContext'];
  return { ...(routeKey === undefined ? {} : { routeKey }), rawPath: path, requestContext };
}

function faultOf(of: Event): unknown {
  try {
    protocolOf(of);
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('a route', () => {
  test.each([
    ['by its key', { routeKey: 'POST /filter' }],
    ['by its key, whatever the stage puts before the path', event('POST /filter', 'POST', '/prod/filter')],
    ['by method and path, where the key is the catch-all', event('$default', 'POST', '/filter')],
    ['by method and path, where there is no key', event(undefined, 'POST', '/filter')],
    ['by the method, where the key takes any', event('ANY /filter', 'POST', '/filter')],
  ])('is found %s', (_, found) => {
    expect(protocolOf(found)).toBe(native);
  });

  test('is that of its protocol', () => {
    expect(protocolOf({ routeKey: 'POST /kubernetes/filter' })).toBe(kubernetes);
  });

  test('of each key that the API has is found', () => {
    expect(ROUTE_KEYS).toContain('POST /filter');
    for (const routeKey of ROUTE_KEYS) expect(faultOf({ routeKey })).toBeUndefined();
  });

  test.each([
    ['another path', event('$default', 'POST', '/nothing'), '"/nothing"'],
    ['a path below', event('$default', 'POST', '/filter/x'), '"/filter/x"'],
    ['another case', event('$default', 'POST', '/Filter'), '"/Filter"'],
    ['a name that JavaScript has in every object', event('$default', 'POST', '__proto__'), '"__proto__"'],
    ['a path with a line break', event('$default', 'POST', '/a\nb'), '"/a\\u000ab"'],
    ['a key that nobody has', { routeKey: 'POST /other' }, '"/other"'],
    ['an event without anything', {}, '""'],
  ])('that is unknown is a 404 that names it: %s', (_, unknown, quoted) => {
    const fault = faultOf(unknown);
    expect(fault).toBeInstanceOf(UnknownRouteError);
    expect(fault).toMatchObject({ status: 404, message: `There is nothing at ${quoted}.`, headers: {} });
  });

  test.each([
    ['by its key', { routeKey: 'GET /filter' }, 'GET'],
    ['at the catch-all', event('$default', 'PUT', '/filter'), 'PUT'],
    ['in another case', event('$default', 'post', '/filter'), 'post'],
    ['where the key takes any', event('ANY /filter', 'DELETE', '/filter'), 'DELETE'],
  ])('with another method is a 405 that says which it takes: %s', (_, other, method) => {
    const fault = faultOf(other);
    expect(fault).toBeInstanceOf(MethodNotAllowedError);
    expect(fault).toMatchObject({
      status: 405,
      message: `"/filter" takes POST, not "${method}".`,
      headers: { allow: 'POST' },
    });
  });
});
