import { afterEach, expect, jest, test } from '@jest/globals';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { Client } from 'undici';
import type { KeyPair } from '../../../infra/local/certificates.ts';
import { hostsOfFleet } from '../../../infra/local/keylime-fleet.ts';
import { KEYLIME_SETTINGS } from '../../../lambda/keylime-settings.ts';
import { uuid5 } from '../../../lambda/service/keylime/agent-ids.ts';
import { type LocalEnvironment, type Part, startEnvironment } from '../../../infra/local/environment.ts';
import { scheduledEvent } from '../../../infra/local/aws/schedule.ts';

const NOWHERE = 'http://127.0.0.1:9';
const CREDENTIALS = { region: 'us-east-1', credentials: { accessKeyId: 'test', secretAccessKey: 'test' } };
let environment: LocalEnvironment;

async function start(given: Record<string, string> = {}, ...without: Part[]): Promise<LocalEnvironment> {
  environment = await startEnvironment(given, new Set(without));
  return environment;
}

/** What the local attestation service, a verifier, says of an agent; by default of that of a host. */
async function askVerifier(host: string, id = uuid5(host, KEYLIME_SETTINGS.namespace.default)): Promise<unknown> {
  const secrets = new SecretsManagerClient({
    ...CREDENTIALS,
    endpoint: environment.env['AWS_ENDPOINT_URL_SECRETS_MANAGER']!,
  });
  const secret = await secrets.send(new GetSecretValueCommand({ SecretId: environment.env['ATTESTATION_SECRET_ID']! }));
  secrets.destroy();
  const connect = JSON.parse(secret.SecretString!) as KeyPair & { ca: string };
  const { ATTESTATION_SERVER: server, ATTESTATION_PORT: port } = environment.env;
  const client = new Client(`https://${server}:${port}`, { connect });
  const { body } = await client.request({ method: 'GET', path: `/v2.1/agents/${id}` });
  const answer = await body.json();
  await client.close();
  return answer;
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

test.each<[string, () => Promise<LocalEnvironment>]>([
  ['as an argument', async () => (environment = await startEnvironment({}, new Set(), 'keylime'))],
  ['as a variable', () => start({ ATTESTATION_SERVICE: 'keylime' })],
])('with Keylime %s there is a verifier, which knows the hosts of the fleet by UUIDv5', async (_, starting) => {
  const { env, fleet } = await starting();
  expect(env).toMatchObject({ ATTESTATION_SERVICE: 'keylime', ATTESTATION_SERVER: 'localhost' });
  expect(partCalled('Attestation')).toContain(`https://localhost:${env['ATTESTATION_PORT']} (Keylime verifier,`);
  expect(fleet?.lines.join()).toContain('stale-1…20');
  // Or all agents could not be read at once.
  expect(env['ATTESTATION_FLEET_SIZE']).toBe(String(hostsOfFleet().length));
  expect(await askVerifier('compute-1.example.com')).toMatchObject({ results: { operational_state: 3 } });
  expect(await askVerifier('untrusted-1')).toMatchObject({ results: { operational_state: 9 } });
  expect(await askVerifier('stranger.example.com')).toMatchObject({ code: 404 });
});

test('where agents have the names of their hosts, the verifier knows them by those', async () => {
  await start({ ATTESTATION_SERVICE: 'keylime', ATTESTATION_KEYLIME_AGENT_IDS: 'name' });
  expect(await askVerifier('compute-1', 'compute-1')).toMatchObject({ results: { operational_state: 3 } });
  expect(await askVerifier('compute-1')).toMatchObject({ code: 404 });
});

test('with OAT, which is what there is where nothing is said, no variable says so', async () => {
  const { env, fleet } = await start();
  expect(env).not.toHaveProperty('ATTESTATION_SERVICE');
  expect(fleet).toBeUndefined();
  expect(partCalled('Attestation')).toContain('(OAT,');
});

test('an argument goes before the variable', async () => {
  environment = await startEnvironment({ ATTESTATION_SERVICE: 'keylime' }, new Set(), 'oat');
  expect(environment.env).toMatchObject({ ATTESTATION_SERVICE: 'oat' });
  expect(partCalled('Attestation')).toContain('(OAT,');
});

test('a verifier that is given or left out is not started', async () => {
  const given = await start({ ATTESTATION_SERVICE: 'keylime', ATTESTATION_SERVER: 'verifier.example.com' });
  expect([given.env['ATTESTATION_SERVER'], given.env['ATTESTATION_PORT']]).toEqual(['verifier.example.com', undefined]);
  expect(partCalled('Attestation')).toContain('verifier.example.com (given)');
  await given.close();
  const { env, fleet } = await start({ ATTESTATION_SERVICE: 'keylime' }, 'keylime');
  expect([env['ATTESTATION_PORT'], fleet]).toEqual(['9', undefined]);
  expect(partCalled('Attestation')).toMatch(/left out$/);
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
