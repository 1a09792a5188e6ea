import { afterEach, expect, jest, test } from '@jest/globals';
import { type LocalEnvironment, type Part, startEnvironment } from '../../../infra/local/environment.ts';
import { scheduledEvent } from '../../../infra/local/aws/schedule.ts';

const NOWHERE = 'http://127.0.0.1:9';
let environment: LocalEnvironment;

async function start(given: Record<string, string> = {}, ...without: Part[]): Promise<LocalEnvironment> {
  environment = await startEnvironment(given, new Set(without));
  return environment;
}

function partCalled(name: string): string | undefined {
  return environment.parts.find((line) => line.startsWith(name));
}

afterEach(() => environment.close());

test('refresh and the event bus are parts of it, and the filter has their variables', async () => {
  const { env, lambda, eventBus } = await start();
  expect(env).toMatchObject({
    AWS_ENDPOINT_URL_LAMBDA: lambda?.endpoint,
    ATTESTATION_REFRESH_FUNCTION: 'refresh',
    AWS_ENDPOINT_URL_EVENTBRIDGE: eventBus?.endpoint,
    ATTESTATION_EVENT_BUS: 'trusted-filter',
  });
  expect(partCalled('Refresh')).toContain(`${lambda?.endpoint} (Lambda,`);
  expect(partCalled('Event bus')).toContain(`${eventBus?.endpoint} (prints`);
});

test('refresh attests what it is handed, with everything that is around it', async () => {
  const printed = jest.spyOn(console, 'log').mockImplementation(() => undefined);
  const { lambda } = await start();
  lambda?.invoke({ hosts: ['compute-1', 'untrusted-1'] });
  lambda?.invoke(scheduledEvent(new Date(), 'us-east-1'));
  await lambda?.settled();
  expect(lambda?.invocations).toMatchObject([
    { state: 'done', result: { hosts: 2, attested: 2 } },
    { state: 'done', result: {} },
  ]);
  await lambda?.close();
  expect(printed).toHaveBeenCalledWith(expect.stringContaining('attestations refreshed'));
  printed.mockRestore();
}, 30_000);

test('what is left out is nowhere to be found', async () => {
  const { env, lambda, eventBus } = await start({}, 'refresh', 'events');
  expect([lambda, eventBus]).toEqual([undefined, undefined]);
  expect(env).toMatchObject({ AWS_ENDPOINT_URL_LAMBDA: NOWHERE, AWS_ENDPOINT_URL_EVENTBRIDGE: NOWHERE });
  expect(partCalled('Refresh')).toMatch(/left out$/);
  expect(partCalled('Event bus')).toMatch(/left out$/);
});

test('what is given takes the place of a part, and goes without the credentials of this machine', async () => {
  const given = {
    AWS_ENDPOINT_URL_LAMBDA: 'https://lambda.eu-west-1.amazonaws.com',
    AWS_ENDPOINT_URL_EVENTBRIDGE: 'https://events.eu-west-1.amazonaws.com',
    ATTESTATION_REFRESH_FUNCTION: 'my-refresh',
    ATTESTATION_EVENT_BUS: 'my-bus',
  };
  const { env, lambda, eventBus } = await start(given);
  expect([lambda, eventBus]).toEqual([undefined, undefined]);
  expect(env).toMatchObject(given);
  expect(env).not.toHaveProperty('AWS_ACCESS_KEY_ID');
  expect(partCalled('Refresh')).toContain('https://lambda.eu-west-1.amazonaws.com (given)');
  expect(partCalled('Event bus')).toContain('https://events.eu-west-1.amazonaws.com (given)');
});

test('the scheduled event is as EventBridge sends it', () => {
  expect(scheduledEvent(new Date('2026-11-23T16:00:00.123Z'), 'eu-west-1')).toEqual({
    version: '0',
    id: expect.any(String),
    'detail-type': 'Scheduled Event',
    source: 'aws.events',
    account: '000000000000',
    time: '2026-11-23T16:00:00Z',
    region: 'eu-west-1',
    resources: ['arn:aws:events:eu-west-1:000000000000:rule/refresh'],
    detail: {},
  });
});
