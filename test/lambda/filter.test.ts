/** The function as its sources put it together; test/integration has the same as it is built. */
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { answerFromFleet } from '../../infra/local/fleet.ts';
import type { Handler } from '../../infra/local/aws/http-api.ts';
import { Cloud } from '../fakes/cloud.ts';
import { answerOf, filterEvent, fixture, reasonsOf } from '../fakes/events.ts';

const before = { ...process.env };
let cloud: Cloud;
let filter: Handler;
let print: jest.SpiedFunction<typeof process.stdout.write>;
let isolated: () => Promise<Handler>;

beforeAll(async () => {
  print = jest.spyOn(process.stdout, 'write').mockReturnValue(true);
  cloud = await Cloud.start();
  const oat = await cloud.oat(answerFromFleet);
  Object.assign(process.env, cloud.env(oat, await cloud.table()));
  isolated = async () => {
    jest.resetModules();
    return ((await import('../../lambda/filter.ts')) as unknown as { handler: Handler }).handler;
  };
  filter = await isolated();
});
afterAll(async () => {
  process.env = before;
  jest.restoreAllMocks();
  await cloud.close();
});

function invoke(event: unknown, context: object = {}): Promise<APIGatewayProxyStructuredResultV2> {
  return filter(event as Parameters<Handler>[0], context as Parameters<Handler>[1]);
}

test('answers a request', async () => {
  const result = await invoke(filterEvent(['compute-1', 'untrusted-1']), { getRemainingTimeInMillis: () => 20_000 });
  expect(result).toMatchObject({
    statusCode: 200,
    headers: { 'content-type': 'application/json', 'x-request-id': 'request' },
  });
  expect(answerOf(result).hosts).toEqual(['compute-1']);
  expect(reasonsOf(result)).toEqual({ 'untrusted-1': 'untrusted' });
});

test('answers where there is neither context nor request id', async () => {
  const result = await invoke({ ...(filterEvent([]) as object), requestContext: undefined });
  expect(result).toMatchObject({
    statusCode: 200,
    headers: { 'x-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/) },
  });
});

test('answers what is no HTTP event with a problem', async () => {
  for (const event of [{}, null, 'text', 7]) expect(await invoke(event)).toMatchObject({ statusCode: 404 });
  expect(await invoke(fixture('wrong-method'))).toMatchObject({ statusCode: 405, headers: { allow: 'POST' } });
});

test('writes no more of a route and an id than they may have, whoever invokes it without API Gateway', async () => {
  const event = filterEvent([]) as { requestContext: object };
  const requestId = '\u2028x'.repeat(300_000);
  for (const more of [{ requestId }, { requestId: { of: requestId } }]) {
    print.mockClear();
    const routeKey = `POST /${requestId}`;
    const result = await invoke({ ...event, routeKey, requestContext: { ...event.requestContext, ...more } });
    const written = String(print.mock.calls[0]?.[0]);
    expect(written.length).toBeLessThan(2_000);
    expect(JSON.parse(written)).toMatchObject({ request_id: result.headers?.['x-request-id'], ClientErrors: 1 });
    expect(result.headers?.['x-request-id']).toMatch(/^[!-~…]{1,400}$/);
  }
});

test('answers a fault of its own with a problem that says nothing of it', async () => {
  const event = filterEvent([]) as Record<string, unknown>;
  const broken = {
    ...event,
    get body(): string {
      throw new Error('a detail for the log');
    },
  };
  print.mockClear();
  const { statusCode, body } = await invoke(broken);
  expect(statusCode).toBe(500);
  expect(body).toContain('urn:trusted-filter:problem:internal-error');
  expect(body).not.toContain('a detail for the log');
  expect(print.mock.calls.map(([line]) => JSON.parse(String(line)) as unknown)).toMatchObject([
    {
      message: 'request failed',
      error: 'Error: a detail for the log',
      stack_trace: expect.arrayContaining([expect.stringMatching(/^at /)]),
      // The dimension, which is not where the error comes from.
      stack: 'local',
      ServerErrors: 1,
    },
  ]);
});

test('answers every request while the configuration has faults', async () => {
  delete process.env['ATTESTATION_SERVER'];
  filter = await isolated();
  for (let i = 0; i < 2; i++) {
    const { statusCode, body } = await invoke(filterEvent(['compute-1'], null));
    expect(statusCode).toBe(500);
    expect(body).toContain('ATTESTATION_SERVER is not set');
  }
});
