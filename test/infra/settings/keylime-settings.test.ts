import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseTrustSettings, type TrustSettings, TrustSettingsError } from '../../../infra/settings/trust-settings.ts';

const LEAST = { server: 'verifier.example.net', secretName: 'filter/certificate', service: 'keylime' };
const OF_LEAST = {
  ATTESTATION_SERVER: 'verifier.example.net',
  ATTESTATION_SECRET_ID: 'filter/certificate',
  ATTESTATION_SERVICE: 'keylime',
};
const DOMAIN = {
  domain: {
    name: 'trust.example.net',
    certificateArn: 'arn:aws:acm:eu-west-1:123456789012:certificate/0a1b2c3d',
    truststore: 's3://trust-stores/verifiers.pem',
  },
  clients: ['CN=nova'],
};
const NAMESPACE = '6ba7b811-9dad-11d1-80b4-00c04fd430c8';

function parse(keylime: unknown, more: object = {}): TrustSettings {
  return parseTrustSettings({ ...LEAST, keylime, ...more });
}

function faultsOf(keylime: unknown, more: object = {}): readonly string[] {
  try {
    parse(keylime, more);
  } catch (error) {
    if (error instanceof TrustSettingsError) return error.faults;
    throw error;
  }
  return [];
}

let folder: string;
/** Writes a file, and says where it is as cdk.json would: from where the app runs. */
function write(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return relative(process.cwd(), path);
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'keylime-settings-'));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('the context trust.keylime', () => {
  test('need not be there where the service is Keylime, whose defaults are the function’s own', () => {
    for (const keylime of [undefined, {}]) {
      expect(parse(keylime)).toMatchObject({ environment: OF_LEAST, filterEnvironment: {}, agentIds: undefined });
      expect(Object.keys(parse(keylime).environment)).toHaveLength(3);
    }
  });

  test('becomes the variables of both functions, the server’s name beside it', () => {
    const keylime = { agentIds: 'uuid5', namespace: NAMESPACE, policyRequired: false };
    expect(parse(keylime, { serverName: 'localhost' }).environment).toEqual({
      ...OF_LEAST,
      ATTESTATION_SERVER_NAME: 'localhost',
      ATTESTATION_KEYLIME_AGENT_IDS: 'uuid5',
      ATTESTATION_KEYLIME_NAMESPACE: NAMESPACE,
      ATTESTATION_KEYLIME_POLICY_REQUIRED: 'false',
    });
  });

  test('may name the server’s name with the other service, too', () => {
    const { environment } = parseTrustSettings({ ...LEAST, service: 'oat', serverName: 'oat.example.net' });
    expect(environment).toMatchObject({ ATTESTATION_SERVICE: 'oat', ATTESTATION_SERVER_NAME: 'oat.example.net' });
  });

  test.each([true, false, 'true', 'false'])('may require a policy, %j, as a boolean or as text', (policyRequired) => {
    expect(parse({ policyRequired }).environment).toMatchObject({
      ATTESTATION_KEYLIME_POLICY_REQUIRED: String(policyRequired),
    });
  });

  test('may name verifiers, of which the filter alone is told', () => {
    const { environment, filterEnvironment } = parse({ verifiers: ['CN=verifier,O=example'] }, DOMAIN);
    expect(filterEnvironment).toEqual({
      ATTESTATION_CLIENTS: '["CN=nova"]',
      ATTESTATION_KEYLIME_VERIFIERS: '["CN=verifier,O=example"]',
    });
    expect(environment).toEqual(OF_LEAST);
  });

  test('counts empty text as unset', () => {
    expect(parse({ agentIds: '', namespace: '', policyRequired: '' }).environment).toEqual(OF_LEAST);
  });

  test('has all its faults named at once, each by its name in the context, beside those of the rest', () => {
    const keylime = { agentIds: 7, namespace: 'dns', policyRequired: 'yes', verifiers: ['verifier'], foo: 1 };
    expect(faultsOf(keylime, { port: 0, authTimeout: 0, bar: 2 })).toEqual([
      'trust.port must be a port, 1 to 65535',
      'trust.keylime.agentIds must be uuid5, name, or the path of a JSON file of host → agent id that ends in .json',
      'trust.keylime.namespace must be the UUID of the namespace in which agent ids are computed from host names',
      'trust.keylime.policyRequired must be true or false',
      expect.stringMatching(/^trust\.keylime\.verifiers must be a JSON array .*; "verifier" is none$/),
      'trust.keylime.foo is not a setting',
      'trust.keylime.verifiers needs trust.domain: without it, API Gateway checks who asks',
      'trust.authTimeout must be more than 0 where trust.service is keylime: a quote is some seconds old when it is read',
      'trust.bar is not a setting',
    ]);
  });

  test.each([null, 'name', ['name'], 1, true])('must be an object, not %j', (keylime) => {
    expect(faultsOf(keylime)).toEqual(['trust.keylime must be an object']);
  });

  test.each([{ service: 'oat' }, { service: undefined }])('is a fault where the service is another, %j', (other) => {
    expect(faultsOf({}, other)).toEqual(['trust.keylime needs trust.service to be keylime']);
  });

  test.each<[string, object, object, RegExp]>([
    ['a member that is no word', { agentIds: true }, {}, /^trust\.keylime\.agentIds must be uuid5, name, or /],
    [
      'a namespace for names',
      { agentIds: 'name', namespace: NAMESPACE },
      {},
      /^trust\.keylime\.namespace is of use only/,
    ],
    ['a number for a policy', { policyRequired: 1 }, {}, /^trust\.keylime\.policyRequired must be true or false$/],
    ['verifiers as a text', { verifiers: 'CN=verifier' }, DOMAIN, /^trust\.keylime\.verifiers must be a JSON array/],
    ['no verifier in the list', { verifiers: [] }, DOMAIN, /^trust\.keylime\.verifiers must be a JSON array/],
    ['verifiers and no domain', { verifiers: ['CN=verifier'] }, {}, /^trust\.keylime\.verifiers needs trust\.domain/],
    ['a service that is none', {}, { service: 'keylime2', keylime: undefined }, /^trust\.service must be the kind/],
    ['its members beside it', {}, { 'keylime.agentIds': 'name' }, /^trust\.keylime\.agentIds is not a setting$/],
    ['the server’s URL for its name', {}, { serverName: 'https://a' }, /^trust\.serverName must be/],
  ])('is refused with %s', (_, keylime, more, fault) => {
    expect(faultsOf(keylime, more)).toEqual([expect.stringMatching(fault)]);
  });

  test('is refused with a validity in which no quote could hold, which another service may have', () => {
    for (const authTimeout of [0, '0', '0.000']) {
      expect(faultsOf({}, { authTimeout })).toEqual([
        expect.stringMatching(/^trust\.authTimeout must be more than 0 where trust\.service is keylime/),
      ]);
      expect(faultsOf(undefined, { authTimeout, service: 'oat' })).toEqual([]);
    }
    expect(faultsOf({}, { authTimeout: 0.001 })).toEqual([]);
  });

  test('leaves the rules of a schedule as they are', () => {
    expect(faultsOf({}, { refresh: 5 })).toEqual([expect.stringMatching(/^trust\.authTimeout must be at least 600 /)]);
    expect(faultsOf({}, { refresh: 5, authTimeout: 600 })).toEqual([]);
  });

  test('may be no larger than what Lambda takes in variables, verifiers and all', () => {
    const verifiers = Array.from({ length: 90 }, (_, i) => `CN=keylime-verifier-${i},O=Example Clouds,C=DE`);
    expect(faultsOf({ verifiers }, DOMAIN)).toEqual([
      expect.stringMatching(/^trust is too large: .* \(ATTESTATION_KEYLIME_VERIFIERS alone has \d{4}\)$/),
    ]);
    expect(faultsOf({ verifiers: verifiers.slice(0, 40) }, DOMAIN)).toEqual([]);
  });
});

describe('a table of agent ids in the context', () => {
  test('is read at synth, from where the app runs, and is elsewhere for the functions', () => {
    const agentIds = write('ids.json', '\uFEFF{"compute-1":"D432FBB3","compute-2":"a9"}');
    const settings = parse({ agentIds });
    expect(settings.environment).toEqual({ ...OF_LEAST, ATTESTATION_KEYLIME_AGENT_IDS: '/opt/agent-ids.json' });
    expect([...(settings.agentIds ?? [])]).toEqual([
      ['compute-1', 'D432FBB3'],
      ['compute-2', 'a9'],
    ]);
  });

  test('has every fault named, each as one of the context', () => {
    const agentIds = write('faulty.json', '{"a":"x1","b":"X1","c":"../agents","d\\u0007":7}');
    const start = `trust.keylime.agentIds: "${agentIds}" has`;
    expect(faultsOf({ agentIds, foo: 1 })).toEqual([
      `${start} the same agent id for "a" and "b": each host needs one of its own`,
      `${start} for "c" no agent id: 1 to 80 letters, digits, "_", "." and "-"`,
      `${start} for "d\\u0007" no agent id: 1 to 80 letters, digits, "_", "." and "-"`,
      'trust.keylime.foo is not a setting',
    ]);
  });

  test('is a fault where it is not there, can’t be read or is none', () => {
    expect(faultsOf({ agentIds: 'no/such.json' })).toEqual(['trust.keylime.agentIds: "no/such.json" is not there']);
    expect(faultsOf({ agentIds: `${write('a.json', '')}/b.json` })).toEqual([
      expect.stringMatching(/^trust\.keylime\.agentIds: ".*" can't be read \(ENOTDIR\)$/),
    ]);
    expect(faultsOf({ agentIds: write('none.json', 'compute-1') })).toEqual([expect.stringMatching(/" is not JSON$/)]);
  });

  test('has no use for a namespace', () => {
    const agentIds = write('good.json', '{"a":"b"}');
    expect(faultsOf({ agentIds, namespace: NAMESPACE })).toEqual([
      'trust.keylime.namespace is of use only where trust.keylime.agentIds is uuid5',
    ]);
  });
});
