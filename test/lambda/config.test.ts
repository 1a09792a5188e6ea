import { describe, expect, test } from '@jest/globals';
import { type Config, loadConfig, type Setting, SETTINGS, stackOf } from '../../lambda/config.ts';
import { ConfigurationError } from '../../lambda/errors.ts';
import { parseDistinguishedName } from '../../lambda/http/distinguished-name.ts';

const REQUIRED = {
  ATTESTATION_SERVER: 'attester.mynetwork.com',
  ATTESTATION_SECRET_ID: 'trusted-filter/client',
  ATTESTATION_TABLE: 'attestations',
};

const DEFAULTS: Config = {
  server: 'attester.mynetwork.com',
  secretId: 'trusted-filter/client',
  table: 'attestations',
  port: 8443,
  apiUrl: '/OpenAttestationWebServices/V1.0',
  authTimeoutSeconds: 60,
  requestCount: 100,
  pollTimeoutSeconds: 20,
  parallelPolls: 10,
  recheckSeconds: 5,
  fleetSize: 1_000,
  maxHosts: 70_000,
  hostPattern: undefined,
  nativeDeadlineSeconds: 25,
  kubernetesKey: 'trust/trusted-host',
  clients: undefined,
  refreshFunction: undefined,
  eventBus: undefined,
  stack: 'local',
  unknownAlarmSeconds: 3_600,
};

function faultsOf(env: Record<string, string | undefined>): readonly string[] {
  try {
    loadConfig(env);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.faults;
    throw error;
  }
  return [];
}

describe('the configuration', () => {
  test('needs three variables and has a default for all others', () => {
    expect(loadConfig(REQUIRED)).toEqual(DEFAULTS);
  });

  test('has other defaults where the attestation service is Keylime', () => {
    expect(loadConfig({ ...REQUIRED, ATTESTATION_SERVICE: 'keylime' })).toEqual({
      ...DEFAULTS,
      port: 8881,
      apiUrl: '/v2.1',
      requestCount: 1_000,
      keylime: { agentIds: 'uuid5', namespace: '6ba7b810-9dad-11d1-80b4-00c04fd430c8', policyRequired: true },
    });
  });

  test('has a fault where nothing that a Keylime verifier says could ever be young enough', () => {
    const none = { ...REQUIRED, ATTESTATION_AUTH_TIMEOUT: '0' };
    expect(faultsOf(none)).toEqual([]);
    expect(faultsOf({ ...none, ATTESTATION_SERVICE: 'keylime' })).toEqual([
      'ATTESTATION_AUTH_TIMEOUT must be more than 0 with Keylime: a quote is some seconds old when it is read',
    ]);
  });

  test('takes an empty variable for one that is not set', () => {
    const env: Record<string, string> = { ...REQUIRED };
    for (const { variable } of Object.values(SETTINGS)) env[variable] ??= '';
    expect(loadConfig(env)).toEqual(DEFAULTS);
  });

  test('has every setting under its own name', () => {
    const env = {
      ATTESTATION_SERVER: '10.1.2.3',
      ATTESTATION_SECRET_ID: 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:client-a1B2c3',
      ATTESTATION_TABLE: 'arn:aws:dynamodb:eu-west-1:123456789012:table/attestations',
      ATTESTATION_PORT: '8181',
      ATTESTATION_API_URL: '/mtwilson/v2/integrations/openstack/',
      ATTESTATION_AUTH_TIMEOUT: '600.5',
      ATTESTATION_REQUEST_COUNT: '7',
      ATTESTATION_POLL_TIMEOUT: '0.001',
      ATTESTATION_PARALLEL_POLLS: '3',
      ATTESTATION_RECHECK: '30',
      ATTESTATION_FLEET_SIZE: '20000',
      ATTESTATION_MAX_HOSTS: '500',
      ATTESTATION_NATIVE_DEADLINE: '7.5',
      ATTESTATION_KUBERNETES_KEY: 'example.com/trust',
      ATTESTATION_CLIENTS: '["CN=kube-scheduler,O=example"]',
      ATTESTATION_REFRESH_FUNCTION: 'TrustedFilter-Refresh0A1B2C3D-a1b2C3d4E5f6',
      ATTESTATION_EVENT_BUS: 'TrustedFilterTrustEvents0A1B2C3D',
      ATTESTATION_STACK: 'TrustedFilter',
      ATTESTATION_UNKNOWN_ALARM: '900.5',
      ATTESTATION_HOST_PATTERN: '^compute-\\d+$',
      ATTESTATION_SERVICE: 'keylime',
      ATTESTATION_SERVER_NAME: 'server',
      ATTESTATION_KEYLIME_AGENT_IDS: '/opt/agent-ids.json',
      ATTESTATION_KEYLIME_NAMESPACE: '6BA7B811-9DAD-11D1-80B4-00C04FD430C8',
      ATTESTATION_KEYLIME_POLICY_REQUIRED: 'false',
      ATTESTATION_KEYLIME_VERIFIERS: '["CN=keylime-verifier,O=example"]',
    };
    expect(loadConfig(env)).toEqual({
      server: '10.1.2.3',
      serverName: 'server',
      keylime: {
        agentIds: '/opt/agent-ids.json',
        namespace: '6ba7b811-9dad-11d1-80b4-00c04fd430c8',
        policyRequired: false,
        verifiers: [parseDistinguishedName('CN=keylime-verifier,O=example')],
      },
      secretId: env.ATTESTATION_SECRET_ID,
      table: env.ATTESTATION_TABLE,
      port: 8181,
      apiUrl: '/mtwilson/v2/integrations/openstack',
      authTimeoutSeconds: 600.5,
      requestCount: 7,
      pollTimeoutSeconds: 0.001,
      parallelPolls: 3,
      recheckSeconds: 30,
      fleetSize: 20_000,
      maxHosts: 500,
      hostPattern: /^compute-\d+$/u,
      nativeDeadlineSeconds: 7.5,
      kubernetesKey: 'example.com/trust',
      clients: [parseDistinguishedName('CN=kube-scheduler,O=example')],
      refreshFunction: env.ATTESTATION_REFRESH_FUNCTION,
      eventBus: env.ATTESTATION_EVENT_BUS,
      stack: 'TrustedFilter',
      unknownAlarmSeconds: 900.5,
    });
    expect(Object.keys(env)).toEqual(Object.values(SETTINGS).map(({ variable }) => variable));
  });

  test('knows the stack for metrics also where it has faults', () => {
    expect(stackOf({ ATTESTATION_STACK: 'trust-blue' })).toBe('trust-blue');
    for (const text of [undefined, '', 'a b']) expect(stackOf({ ATTESTATION_STACK: text })).toBe('local');
  });

  test('names its settings in the context of the stack as an operator writes them there', () => {
    const contexts = Object.values(SETTINGS).map((setting: Setting<unknown>) => setting.context);
    expect(contexts).toEqual([
      'server',
      'secretName',
      undefined,
      'port',
      'apiUrl',
      'authTimeout',
      'requestCount',
      'pollTimeout',
      'parallelPolls',
      'recheck',
      'fleetSize',
      'maxHosts',
      'nativeDeadline',
      'kubernetesKey',
      undefined,
      undefined,
      undefined,
      undefined,
      'unknownAlarm',
      'hostPattern',
      'service',
      'serverName',
      'keylime.agentIds',
      'keylime.namespace',
      'keylime.policyRequired',
      undefined,
    ]);
  });

  test.each([
    ['3', '60', 3],
    ['60', '60', 60],
    ['61', '60', 60],
    ['', '2', 2],
    ['5', '0', 0],
  ])(
    'of recheck %j and a validity of %s s rechecks after %d s: never later than the validity',
    (recheck, validity, expected) => {
      const env = { ...REQUIRED, ATTESTATION_RECHECK: recheck, ATTESTATION_AUTH_TIMEOUT: validity };
      expect(loadConfig(env).recheckSeconds).toBe(expected);
    },
  );

  test('reports all its faults at once, each once and by name, and repeats no value', () => {
    const env = Object.fromEntries(Object.values(SETTINGS).map(({ variable }) => [variable, '(hunter2']));
    const expected = Object.values(SETTINGS).map(({ variable, rule }) => `${variable} ${rule}`);
    expect(faultsOf(env).toSorted()).toEqual(expected.toSorted());
    expect(() => loadConfig(env)).toThrow(ConfigurationError);
    expect(() => loadConfig(env)).not.toThrow('hunter2');
  });

  test('reports what is not set beside what is wrong', () => {
    expect(faultsOf({ ATTESTATION_PORT: '0', ATTESTATION_TABLE: 'attestations' })).toEqual([
      'ATTESTATION_SERVER is not set: it must be the host name or IP address of the attestation service, and nothing else',
      'ATTESTATION_SECRET_ID is not set: it must be the name (or, in the variable, the ARN) of the secret with the client certificate',
      'ATTESTATION_PORT must be a port, 1 to 65535',
    ]);
  });
});

const LABEL = 'a'.repeat(63);
const LONGEST_NAME = `${LABEL}.${LABEL}.${LABEL}.${'a'.repeat(61)}`;
const NO_WHOLE_NUMBERS = ['-1', '1.0', '1e3', '0x10', ' 7', '7 ', '+7', 'seven', '١'];
const NO_SECONDS = ['-1', '-0.1', '1e3', '0x10', ' 7', '.5', '5.', '1,5', 'Infinity', 'NaN', '1m'];

describe.each<[keyof typeof SETTINGS, good: string[], bad: string[]]>([
  [
    'server',
    ['localhost', 'a', '192.0.2.1', '2001:db8::1', '::1', 'xn--bcher-kva.example', '1and1.com', LABEL, LONGEST_NAME],
    [
      'https://attester',
      'attester:8443',
      'attester/',
      'user@attester',
      '[::1]',
      '256.0.0.1',
      '10.1',
      '12',
      'a b',
      ' a',
      'a\n',
      '-a',
      'a-',
      'a..b',
      '.a',
      'a_b',
      'bücher.example',
      'fe80::1%eth0',
      'attester.1',
      '0x7f000001',
      `${LABEL}a`,
      `${LONGEST_NAME}a`,
    ],
  ],
  ['secretId', ['a', 'A/b_c+d=e.f@g-h', 'a'.repeat(2_048)], ['a b', 'a?', 'a\n', 'a'.repeat(2_049), 'ä']],
  ['table', ['abc', 'A_b-c.d', 'a'.repeat(255)], ['ab', 'a b', 'abc\n', 'a'.repeat(1_025)]],
  ['port', ['1', '65535'], ['0', '65536', ...NO_WHOLE_NUMBERS]],
  [
    'apiUrl',
    ['/', '/a', '/a/b/', '/AttestationService/resources', '/a.b', '/a%20b'],
    ['a', 'a/b', '//a', '/a?b', '/a#b', '/../a', '/a/..', '/a..b', '/a b', '/a\\b', '/a\n', '/ä', 'https://a/b'],
  ],
  ['authTimeoutSeconds', ['0', '0.001', '8640000'], ['8640000.001', '0.0001', ...NO_SECONDS]],
  ['requestCount', ['1', '10000'], ['0', '10001', ...NO_WHOLE_NUMBERS]],
  ['pollTimeoutSeconds', ['0.001', '8640000'], ['0', '0.000', '8640000.001', ...NO_SECONDS]],
  ['parallelPolls', ['1', '1000'], ['0', '1001', ...NO_WHOLE_NUMBERS]],
  ['recheckSeconds', ['0', '0.001', '8640000'], ['8640000.001', ...NO_SECONDS]],
  ['fleetSize', ['1', '10000000'], ['0', '10000001', ...NO_WHOLE_NUMBERS]],
  ['nativeDeadlineSeconds', ['1', '7.5', '25'], ['0.999', '25.001', '0', ...NO_SECONDS]],
  ['maxHosts', ['1', '1000000'], ['0', '1000001', ...NO_WHOLE_NUMBERS]],
  [
    'refreshFunction',
    ['refresh', 'a_B-9', 'arn:aws:lambda:eu-west-1:123456789012:function:refresh:$LATEST', 'a'.repeat(256)],
    ['a b', 'a/b', 'a?', 'a\n', 'a'.repeat(257), 'ä'],
  ],
  [
    'eventBus',
    ['default', 'a.b_c-d/e', 'arn:aws:events:eu-west-1:123456789012:event-bus/trust', 'a'.repeat(256)],
    ['a b', 'a?', 'a\n', 'a'.repeat(257), 'ä'],
  ],
  ['stack', ['local', 'Trust-9', 'a'.repeat(128)], ['a b', 'a_b', 'a\n', 'a'.repeat(129), 'ä']],
  ['unknownAlarmSeconds', ['0.001', '8640000'], ['0', '0.000', '8640000.001', ...NO_SECONDS]],
  ['verifiers', ['["CN=a"]', '["CN=keylime-verifier,O=example","CN=b"]'], ['CN=a', '{}', '[]', '["CN=a"', '"CN=a"']],
  ['hostPattern', ['.', '^[a-z]+$', '\\p{L}'], ['(', '[', '*', '\\', '(?<a', '\\p{Nothing}']],
])('%s', (name, good, bad) => {
  const { variable, rule } = SETTINGS[name];

  test.each(good)('may be %j', (text) => {
    expect(faultsOf({ ...REQUIRED, [variable]: text })).toEqual([]);
  });

  test.each(bad)('may not be %j', (text) => {
    expect(faultsOf({ ...REQUIRED, [variable]: text })).toEqual([`${variable} ${rule}`]);
  });
});

test.each([
  ['/', ''],
  ['/a/', '/a'],
  ['/a', '/a'],
])('the path prefix %s stands before /PollHosts as %j', (text, expected) => {
  expect(loadConfig({ ...REQUIRED, ATTESTATION_API_URL: text }).apiUrl).toBe(expected);
});
