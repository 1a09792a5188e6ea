import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import cdkJson from '../../cdk.json' with { type: 'json' };
import { EXAMPLE_SERVER, parseTrustSettings, TrustSettingsError } from '../../infra/trust-settings.ts';

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
      createSecret: false,
      environment: { ATTESTATION_SERVER: 'oat.example.net', ATTESTATION_SECRET_ID: 'filter/certificate' },
    });
  });

  test('may set every option, with numbers as numbers or as text', () => {
    const { environment, createSecret } = parseTrustSettings({
      ...LEAST,
      createSecret: true,
      port: 9443,
      apiUrl: '/AttestationService/resources',
      authTimeout: '90.5',
      requestCount: '50',
      pollTimeout: 12.5,
      parallelPolls: 4,
      recheck: 0,
      fleetSize: 20_000,
      maxHosts: 30_000,
      hostPattern: '^compute-\\d+$',
    });
    expect(createSecret).toBe(true);
    expect(environment).toEqual({
      ATTESTATION_SERVER: 'oat.example.net',
      ATTESTATION_SECRET_ID: 'filter/certificate',
      ATTESTATION_PORT: '9443',
      ATTESTATION_API_URL: '/AttestationService/resources',
      ATTESTATION_AUTH_TIMEOUT: '90.5',
      ATTESTATION_REQUEST_COUNT: '50',
      ATTESTATION_POLL_TIMEOUT: '12.5',
      ATTESTATION_PARALLEL_POLLS: '4',
      ATTESTATION_RECHECK: '0',
      ATTESTATION_FLEET_SIZE: '20000',
      ATTESTATION_MAX_HOSTS: '30000',
      ATTESTATION_HOST_PATTERN: '^compute-\\d+$',
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
      createSecret: 'yes',
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
      'trust.hostPattern must be',
      'trust.createSecret must be',
      'trust.attestation_server is not',
      'trust.recheckSeconds is not',
    ]);
    expect(faults).toContain('trust.port must be a port, 1 to 65535');
    expect(faults).toContain('trust.recheckSeconds is not a setting');
  });

  test.each([undefined, null, 'oat.example.net', ['oat.example.net'], 1])('must be an object, not %j', (trust) => {
    expect(faultsOf(trust)).toEqual(['trust must be an object with the settings in it']);
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
    const app = fileURLToPath(new URL('../../infra/app.ts', import.meta.url));
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
