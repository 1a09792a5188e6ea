import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import cdkJson from '../../../cdk.json' with { type: 'json' };
import { EXAMPLE_SERVER, parseTrustSettings, TrustSettingsError } from '../../../infra/settings/trust-settings.ts';

const LEAST = { server: 'oat.example.net', secretName: 'filter/certificate' };

function faultsOf(trust: unknown): readonly string[] {
  try {
    parseTrustSettings(trust);
  } catch (error) {
    if (error instanceof TrustSettingsError) return error.faults;
    throw error;
  }
  return [];
}

describe('the context trust', () => {
  test('becomes the variables of the function, and none for what it leaves to the defaults', () => {
    expect(parseTrustSettings(LEAST)).toEqual({
      server: 'oat.example.net',
      secretName: 'filter/certificate',
      fleetSize: 1_000,
      createSecret: false,
      refreshMinutes: undefined,
      refreshConcurrency: 10,
      filterConcurrency: 200,
      compliance: {
        isSet: false,
        logRetentionDays: 30,
        pointInTimeRecovery: false,
        tags: {},
      },
      environment: { ATTESTATION_SERVER: 'oat.example.net', ATTESTATION_SECRET_ID: 'filter/certificate' },
      filterEnvironment: {},
    });
  });

  test('may set every option, with numbers as numbers or as text', () => {
    const { environment, ...others } = parseTrustSettings({
      ...LEAST,
      createSecret: true,
      port: 9443,
      apiUrl: '/AttestationService/resources',
      authTimeout: '120.5',
      requestCount: '50',
      pollTimeout: 12.5,
      parallelPolls: 4,
      recheck: 0,
      fleetSize: 20_000,
      maxHosts: 30_000,
      hostPattern: '^compute-\\d+$',
      unknownAlarm: 900,
      nativeDeadline: 12.5,
      refresh: '1',
      refreshConcurrency: 3,
      filterConcurrency: '1000',
    });
    expect(others).toEqual({
      server: 'oat.example.net',
      secretName: 'filter/certificate',
      fleetSize: 20_000,
      createSecret: true,
      refreshMinutes: 1,
      refreshConcurrency: 3,
      filterConcurrency: 1_000,
      filterEnvironment: {},
      compliance: {
        isSet: false,
        logRetentionDays: 30,
        pointInTimeRecovery: false,
        tags: {},
      },
    });
    expect(environment).toEqual({
      ATTESTATION_SERVER: 'oat.example.net',
      ATTESTATION_SECRET_ID: 'filter/certificate',
      ATTESTATION_PORT: '9443',
      ATTESTATION_API_URL: '/AttestationService/resources',
      ATTESTATION_AUTH_TIMEOUT: '120.5',
      ATTESTATION_REQUEST_COUNT: '50',
      ATTESTATION_POLL_TIMEOUT: '12.5',
      ATTESTATION_PARALLEL_POLLS: '4',
      ATTESTATION_RECHECK: '0',
      ATTESTATION_FLEET_SIZE: '20000',
      ATTESTATION_MAX_HOSTS: '30000',
      ATTESTATION_NATIVE_DEADLINE: '12.5',
      ATTESTATION_HOST_PATTERN: '^compute-\\d+$',
      ATTESTATION_UNKNOWN_ALARM: '900',
    });
  });

  test('has all its faults named at once, each by its name in the context', () => {
    const faults = faultsOf({
      server: 'https://oat.example.net',
      port: 0,
      apiUrl: 'no-slash',
      authTimeout: -1,
      requestCount: [100],
      pollTimeout: null,
      hostPattern: '(',
      unknownAlarm: 0,
      createSecret: 'yes',
      refresh: [5],
      refreshConcurrency: 1_001,
      filterConcurrency: 1.5,
      nativeDeadline: 26,
      attestation_server: 'oat.example.net',
      recheckSeconds: 5,
    });
    expect(faults.map((fault) => fault.split(' ', 3).join(' '))).toEqual([
      'trust.server must be',
      'trust.secretName is not',
      'trust.port must be',
      'trust.apiUrl must be',
      'trust.authTimeout must be',
      'trust.requestCount must be',
      'trust.pollTimeout must be',
      'trust.nativeDeadline must be',
      'trust.unknownAlarm must be',
      'trust.hostPattern must be',
      'trust.createSecret must be',
      'trust.refresh must be',
      'trust.refreshConcurrency must be',
      'trust.filterConcurrency must be',
      'trust.attestation_server is not',
      'trust.recheckSeconds is not',
    ]);
    expect(faults).toContain('trust.port must be a port, 1 to 65535');
    expect(faults).toContain('trust.recheckSeconds is not a setting');
  });

  test.each([undefined, null, 'oat.example.net', ['oat.example.net'], 1])('must be an object, not %j', (trust) => {
    expect(faultsOf(trust)).toEqual([
      'trust must be an object with the settings in it (in cdk.json: what -c sets on the command line is a text)',
    ]);
  });

  test('counts empty text as unset, which is a fault only of what is required', () => {
    expect(parseTrustSettings({ ...LEAST, hostPattern: '' }).environment).not.toHaveProperty(
      'ATTESTATION_HOST_PATTERN',
    );
    expect(faultsOf({ ...LEAST, server: '' })).toEqual([
      expect.stringMatching(/^trust\.server is not set: it must be /),
    ]);
  });

  test('names the secret, since rights and a new secret are made of the name and not of an ARN', () => {
    const secretName = 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:filter/certificate-AbCdEf';
    expect(faultsOf({ ...LEAST, secretName })).toEqual([expect.stringMatching(/^trust\.secretName must be the name /)]);
  });

  test('as cdk.json ships it has no fault, and the example server', () => {
    expect(parseTrustSettings(cdkJson.context.trust)).toMatchObject({ server: EXAMPLE_SERVER, createSecret: false });
  });

  test('with faults ends the app with their list and no stack trace', () => {
    const app = fileURLToPath(new URL('../../../infra/app.ts', import.meta.url));
    const env = { ...process.env, CDK_CONTEXT_JSON: JSON.stringify({ trust: { server: 'a b', sever: 'c' } }) };
    const { status, stderr } = spawnSync(process.execPath, [app], { env, encoding: 'utf8' });
    expect(status).toBe(1);
    expect(stderr.trimEnd().split('\n')).toEqual([
      'The context of cdk.json has faults:',
      expect.stringMatching(/^- trust\.server must be /),
      expect.stringMatching(/^- trust\.secretName is not set: /),
      '- trust.sever is not a setting',
    ]);
  }, 30_000);
});

describe('the schedule', () => {
  test.each([1, 1440, '5', ''])('may be %j', (refresh) => {
    expect(faultsOf({ ...LEAST, authTimeout: 172_800, refresh })).toEqual([]);
  });

  test.each([0, 1441, 2.5, '5m', -1, null, true, [5], 1e21])('may not be %j', (refresh) => {
    expect(faultsOf({ ...LEAST, authTimeout: 172_800, refresh })).toEqual([
      'trust.refresh must be a whole number of minutes, 1 to 1440',
    ]);
  });

  test.each([
    [
      5,
      599.999,
      'trust.authTimeout must be at least 600 where trust.refresh is 5: every host is attested once in 5 minutes',
    ],
    [1, 119, 'trust.authTimeout must be at least 120 where trust.refresh is 1: every host is attested once a minute'],
    [
      '2',
      undefined,
      'trust.authTimeout must be at least 240 where trust.refresh is 2: every host is attested once in 2 minutes',
    ],
  ])(
    'every %j minutes is refused with a validity of %j seconds, and told which would do',
    (refresh, authTimeout, fault) => {
      expect(faultsOf({ ...LEAST, refresh, authTimeout })).toEqual([fault]);
    },
  );

  test.each([
    [5, 600],
    [1, '120'],
    [1440, 172_800],
  ])('every %j minutes keeps a validity of %j seconds', (refresh, authTimeout) => {
    expect(parseTrustSettings({ ...LEAST, refresh, authTimeout }).refreshMinutes).toBe(refresh);
  });

  test('is refused with a recheck that would pass over every host at every second round', () => {
    expect(faultsOf({ ...LEAST, refresh: 5, authTimeout: 600, recheck: 299.999 })).toEqual([]);
    expect(faultsOf({ ...LEAST, refresh: 5, authTimeout: 600, recheck: 300 })).toEqual([
      'trust.recheck must be less than 300 where trust.refresh is 5: no host is attested twice within it',
    ]);
  });

  test('that no validity can be read for is a fault beside that of the validity', () => {
    expect(faultsOf({ ...LEAST, refresh: 5, authTimeout: 'long', port: 0 })).toEqual([
      'trust.port must be a port, 1 to 65535',
      'trust.authTimeout must be a number of seconds, 0 or more',
      expect.stringMatching(/^trust\.authTimeout must be at least 600 /),
    ]);
  });
});

describe('a domain with client certificates', () => {
  const domain = {
    name: 'trust.example.net',
    certificateArn: 'arn:aws:acm:eu-west-1:123456789012:certificate/0a1b2c3d',
    truststore: 's3://trust-stores/a/schedulers.pem',
  };
  const clients = ['CN=nova'];
  const minimal = { server: 'oat.example.net', secretName: 'filter/certificate' };
  const faultsOf = (more: object): readonly string[] => {
    try {
      parseTrustSettings({ ...minimal, ...more });
    } catch (error) {
      return (error as TrustSettingsError).faults;
    }
    return [];
  };

  test('is read with the clients that may ask', () => {
    const settings = parseTrustSettings({ ...minimal, domain, clients: ['CN=nova'] });
    expect(settings.domain).toEqual({ ...domain, truststore: { bucket: 'trust-stores', key: 'a/schedulers.pem' } });
    expect(settings.filterEnvironment).toEqual({ ATTESTATION_CLIENTS: '["CN=nova"]' });
    expect(settings.environment).not.toHaveProperty('ATTESTATION_CLIENTS');
  });

  test('is refused with more clients than Lambda takes in variables, and with no fewer', () => {
    const many = (count: number): object => {
      const subjects = Array.from(
        { length: count },
        (_, i) => `CN=kube-scheduler-${i},OU=schedulers,O=Example Clouds,C=DE`,
      );
      return { domain, clients: subjects };
    };
    expect(faultsOf(many(50))).toEqual([]);
    expect(faultsOf(many(90))).toEqual([
      expect.stringMatching(
        /^trust is too large: .* would take 5\d{3} bytes, .* at most 4096 \(ATTESTATION_CLIENTS alone has 5\d{3}\)$/,
      ),
    ]);
    let most = 50;
    while (faultsOf(many(most + 1)).length === 0) most++;
    const { environment, filterEnvironment } = parseTrustSettings({ ...minimal, ...many(most) });
    const ofTheStack = {
      ATTESTATION_TABLE: 'TrustedFilter-Attestations0F3F6C37-1ABCDEFGHIJKL',
      ATTESTATION_EVENT_BUS: 'TrustedFilterTrustEvents0A1B2C3D',
      ATTESTATION_REFRESH_FUNCTION: 'TrustedFilter-Refresh0A1B2C3D-a1b2C3d4E5f6',
      ATTESTATION_STACK: 'TrustedFilter',
    };
    const measured = JSON.stringify({ ...environment, ...filterEnvironment, ...ofTheStack });
    expect(measured.length).toBeGreaterThan(3_800);
    expect(measured.length).toBeLessThanOrEqual(4_096);
  });

  test('leaves no room for a pattern that is too large, in bytes', () => {
    expect(faultsOf({ hostPattern: 'a'.repeat(3_000) })).toEqual([]);
    for (const hostPattern of ['a'.repeat(4_000), 'ä'.repeat(2_000)]) {
      expect(faultsOf({ hostPattern })).toEqual([expect.stringMatching(/ATTESTATION_HOST_PATTERN alone has 4002\)$/)]);
    }
  });

  test.each<[string, object, RegExp]>([
    ['no clients', { domain }, /^trust\.clients is not set/],
    ["openssl's heading", { domain, clients: ['subject=CN=nova'] }, /^trust\.clients must be/],
    ["openssl's spaces", { domain, clients: ['O = example, CN = nova'] }, /^trust\.clients must be/],
    [
      'one of several that is none',
      { domain, clients: ['CN=a', 'CN=b;O=c'] },
      /^trust\.clients .*; "CN=b;O=c" is none$/,
    ],
    ['a client that is a number', { domain, clients: ['CN=a', 7] }, /^trust\.clients .*; 7 is none$/],
    ['a subject of nothing', { domain, clients: ['CN= '] }, /^trust\.clients must be/],
    ['an empty list of clients', { domain, clients: [] }, /^trust\.clients must be/],
    ['a client that is no subject', { domain, clients: ['nova'] }, /^trust\.clients must be/],
    ['clients as a text', { domain, clients: 'CN=nova' }, /^trust\.clients must be/],
    ['clients and no domain', { clients: ['CN=nova'] }, /^trust\.clients needs trust\.domain/],
    ['a name with a scheme', { domain: { ...domain, name: 'https://a.b' }, clients }, /^trust\.domain\.name must be/],
    ['a name in upper case', { domain: { ...domain, name: 'Trust.b.net' }, clients }, /^trust\.domain\.name must be/],
    [
      'a URL for truststore',
      { domain: { ...domain, truststore: 'https://a/b' }, clients },
      /^trust\.domain\.truststore must/,
    ],
    [
      'no certificate',
      { domain: { ...domain, certificateArn: undefined }, clients },
      /^trust\.domain\.certificateArn must/,
    ],
    ['a member that is none', { domain: { ...domain, port: 1 }, clients }, /^trust\.domain\.port is not a setting$/],
    ['a text for domain', { domain: 'trust.example.net', clients }, /^trust\.domain must be/],
  ])('is refused with %s', (_, more, fault) => {
    expect(faultsOf(more)).toEqual([expect.stringMatching(fault)]);
  });
});
