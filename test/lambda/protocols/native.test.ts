import { describe, expect, test } from '@jest/globals';
import { REASONS, type Reason, type RequiredTrust } from '../../../lambda/trust/reason.ts';
import { InvalidRequestError, TooManyHostsError } from '../../../lambda/errors.ts';
import { native } from '../../../lambda/protocols/native.ts';
import type { Verdicts } from '../../../lambda/attestation/compute-attestation.ts';
import { NOW } from '../builders.ts';

const MAX_HOSTS = 1_000;
const TRUSTED = { extra_specs: { 'trust:trusted_host': 'trusted' } };
const UNTRUSTED = { extra_specs: { trust: 'untrusted' } };

/** The example of the documentation, with other properties or hosts. */
function request({
  properties = { instance_type: TRUSTED },
  states = [{ host: 'nova-compute-1', nodename: 'compute-1' }],
}: {
  properties?: unknown;
  states?: unknown;
}): unknown {
  return { filter_properties: properties, host_states: states };
}

const parse = (body: unknown, maxHosts = MAX_HOSTS) => native.parse(body, maxHosts);

function faultOf(body: unknown, maxHosts = MAX_HOSTS): unknown {
  try {
    parse(body, maxHosts);
  } catch (error) {
    return error;
  }
  return undefined;
}

test('a native request has as many seconds as are configured', () => {
  expect(native.limitMs({ nativeDeadlineSeconds: 7.5 })).toBe(7_500);
});

describe('a native request', () => {
  test('is read for its hosts, the trust it asks for and its workload', () => {
    expect(parse(request({}))).toEqual({ hosts: ['compute-1'], trust: 'trusted', workload: undefined });
  });

  test.each<[string, object, RequiredTrust | undefined]>([
    ['an instance type', { instance_type: TRUSTED }, 'trusted'],
    ['a flavor', { flavor: UNTRUSTED }, 'untrusted'],
    ['a flavor beside an instance type that is null', { instance_type: null, flavor: TRUSTED }, 'trusted'],
    ['both, alike', { instance_type: TRUSTED, flavor: { extra_specs: { trust: 'trusted' } } }, 'trusted'],
    ['one of both', { instance_type: {}, flavor: TRUSTED }, 'trusted'],
    ['no extra specs in an instance type', { instance_type: {} }, undefined],
    ['no extra specs in a flavor', { flavor: {} }, undefined],
    ['extra specs that are null', { flavor: { extra_specs: null } }, undefined],
    ['extra specs of other things', { flavor: { extra_specs: { 'hw:cpu_policy': 'dedicated' } } }, undefined],
  ])('asks for trust with %s', (_, properties, trust) => {
    expect(parse(request({ properties })).trust).toBe(trust);
  });

  test.each([
    ['one unit', 'a'],
    ['255 units', 'a'.repeat(255)],
    ['255 units of 128 characters', `${'🚀'.repeat(127)}a`],
    ['names that mean something to JavaScript', '__proto__'],
    ['controls', 'a\n\0'],
    ['spaces', ' '],
    ['a letter in two code points', 'e\u0301'],
  ])('may have a host name of %s, kept code point for code point', (_, nodename) => {
    expect(parse(request({ states: [{ nodename }] })).hosts).toEqual([nodename]);
  });

  test('keeps the order of its hosts and every duplicate, and needs no service host', () => {
    const states = [{ nodename: 'b' }, { nodename: 'a', host: 7 }, { nodename: 'b', host: 'nova' }];
    expect(parse(request({ states })).hosts).toEqual(['b', 'a', 'b']);
  });

  test('may have no hosts', () => {
    expect(parse(request({ states: [] })).hosts).toEqual([]);
  });

  test.each<[string, object, object | undefined]>([
    [
      'from Mitaka on',
      { request_spec: { instance_uuid: 'i-1', project_id: 'p-1', instance_properties: { uuid: 'i-2' } } },
      { instance_uuid: 'i-1', project_id: 'p-1' },
    ],
    [
      'up to Liberty',
      { request_spec: { instance_properties: { uuid: 'i-2', project_id: 'p-2' } } },
      { instance_uuid: 'i-2', project_id: 'p-2' },
    ],
    ['of several instances', { request_spec: { instance_uuids: ['i-3', 'i-4'] } }, { instance_uuid: 'i-3' }],
    [
      'in the properties themselves',
      { instance_uuid: 'i-5', project_id: 'p-5' },
      { instance_uuid: 'i-5', project_id: 'p-5' },
    ],
    ['fit for a log line', { project_id: `p\n${'x'.repeat(200)}` }, { project_id: `p\\u000a${'x'.repeat(98)}…` }],
    ['unless it is odd', { request_spec: [7], instance_uuid: { secret: 1 }, project_id: '' }, undefined],
    ['unless its parts are odd', { request_spec: { instance_properties: 'x', instance_uuids: 'x' } }, undefined],
  ])('names its workload as Nova does, %s', (_, more, workload) => {
    expect(parse(request({ properties: { flavor: TRUSTED, ...more } })).workload).toEqual(workload);
  });
});

describe('a native request is refused', () => {
  const flavorRule = '"filter_properties" must have an object "instance_type" or "flavor".';

  test.each<[string, unknown, string]>([
    ['as a list', [], 'The body must be a JSON object.'],
    ['as a text', 'x', 'The body must be a JSON object.'],
    ['as null', null, 'The body must be a JSON object.'],
    ['without anything', {}, '"filter_properties" must be an object.'],
    ['with properties that are a list', request({ properties: [] }), '"filter_properties" must be an object.'],
    ['with properties that are null', request({ properties: null }), '"filter_properties" must be an object.'],
    ['without a flavor', request({ properties: {} }), flavorRule],
    ['with flavors that are null', request({ properties: { flavor: null, instance_type: null } }), flavorRule],
    [
      'with a flavor that is a text',
      request({ properties: { flavor: 'm1' } }),
      '"filter_properties.flavor" must be an object.',
    ],
    [
      'with an instance type that is a list, whatever the flavor',
      request({ properties: { flavor: TRUSTED, instance_type: [] } }),
      '"filter_properties.instance_type" must be an object.',
    ],
    [
      'with extra specs that are a list',
      request({ properties: { flavor: { extra_specs: [] } } }),
      '"filter_properties.flavor.extra_specs" must be an object or null.',
    ],
    [
      'asking for unknown',
      request({ properties: { flavor: { extra_specs: { trust: 'unknown' } } } }),
      '"filter_properties.flavor.extra_specs" asks for "unknown" with "trust": only "trusted" and "untrusted" can be asked for.',
    ],
    [
      'with a key that asks for nothing',
      request({ properties: { instance_type: { extra_specs: { trusted_host: 'trusted' } } } }),
      '"filter_properties.instance_type.extra_specs" has the key "trusted_host", which asks for nothing: the keys are "trust:trusted_host" and "trust".',
    ],
    [
      'with flavors that ask for different trust',
      request({ properties: { instance_type: TRUSTED, flavor: UNTRUSTED } }),
      '"filter_properties.instance_type" and "filter_properties.flavor" ask for different trust.',
    ],
    ['without hosts', { filter_properties: { flavor: {} } }, '"host_states" must be an array.'],
    ['with hosts as a map', request({ states: { 'compute-1': {} } }), '"host_states" must be an array.'],
  ])('%s', (_, body, message) => {
    expect(faultOf(body)).toEqual(new InvalidRequestError(message));
  });

  test.each<[string, unknown]>([
    ['that is missing', {}],
    ['that is null', { nodename: null }],
    ['that is a number', { nodename: 7 }],
    ['that is empty', { nodename: '' }],
    ['of 256 units', { nodename: 'a'.repeat(256) }],
    ['of 128 characters that are 256 units', { nodename: '🚀'.repeat(128) }],
    ['with half a character', { nodename: 'a\ud83d' }],
    ['with halves in the wrong order', { nodename: '\ude80\ud83d' }],
    ['under another name alone', { host: 'compute-1', hypervisor_hostname: 'compute-1' }],
    ['of a state that is a text', 'compute-1'],
    ['of a state that is null', null],
    ['of a state that is a list', ['compute-1']],
  ])('for the name of a host %s, naming its index', (_, state) => {
    const states = [{ nodename: 'good' }, { nodename: 'good' }, state, {}];
    expect(faultOf(request({ states }))).toEqual(
      new InvalidRequestError(
        '"host_states[2].nodename" must be a string of 1 to 255 UTF-16 units and well-formed Unicode.',
      ),
    );
  });

  test('with more hosts than configured, as too large, and not with as many', () => {
    const states = [{ nodename: 'a' }, { nodename: 'a' }, {}];
    expect(faultOf(request({ states: states.slice(0, 2) }), 2)).toBeUndefined();
    const fault = faultOf(request({ states }), 2);
    expect(fault).toBeInstanceOf(TooManyHostsError);
    expect(fault).toMatchObject({ status: 413, message: '"host_states" has 3 hosts; one request may have 2.' });
  });
});

describe('a native answer', () => {
  function render(
    hosts: string[],
    reasons: Reason[] | undefined,
    validUntil?: number,
    passing: RequiredTrust = 'trusted',
  ) {
    const verdicts: Verdicts = { reasons, passing: reasons === undefined ? undefined : passing, validUntil };
    const answer = native.render({ hosts, trust: passing, workload: undefined }, verdicts);
    return JSON.parse(JSON.stringify(answer)) as {
      hosts: string[];
      rejected: { reason: Reason; message: string; hosts: string[] }[];
    };
  }

  test('keeps the order of the hosts and every duplicate, and groups what was rejected by its reason', () => {
    const hosts = ['b', 'x', 'a', 'y', 'b', 'x', 'z'];
    const reasons: Reason[] = ['trusted', 'untrusted', 'trusted', 'pending', 'trusted', 'untrusted', 'untrusted'];
    expect(render(hosts, reasons, Date.UTC(2026, 10, 23, 16, 1))).toEqual({
      hosts: ['b', 'a', 'b'],
      rejected: [
        {
          reason: 'untrusted',
          message: 'The attestation service reports the host as untrusted.',
          hosts: ['x', 'x', 'z'],
        },
        { reason: 'pending', message: 'There is no complete answer about the host yet.', hosts: ['y'] },
      ],
      valid_until: '2026-11-23T16:01:00.000Z',
    });
  });

  test.each(REASONS)('rejects for the reason %s with one sentence that names no host and no time', (reason) => {
    const passing = reason === 'trusted' ? 'untrusted' : 'trusted';
    const { hosts, rejected } = render(['compute-1'], [reason], undefined, passing);
    expect(hosts).toEqual([]);
    expect(rejected).toEqual([{ reason, message: expect.stringMatching(/^[A-Z][a-z ]+\.$/), hosts: ['compute-1'] }]);
  });

  test('has a different sentence for each reason', () => {
    const { rejected } = render([...REASONS], [...REASONS], NOW, 'trusted');
    expect(new Set(rejected.map(({ message }) => message)).size).toBe(REASONS.length - 1);
  });

  test('passes what is untrusted where that was asked for', () => {
    const { hosts, rejected } = render(['a', 'b'], ['trusted', 'untrusted'], NOW, 'untrusted');
    expect(hosts).toEqual(['b']);
    expect(rejected.map(({ reason }) => reason)).toEqual(['trusted']);
  });

  test.each<[string, string[], Reason[] | undefined, object]>([
    ['no host passes', ['a'], ['pending'], { hosts: [], rejected: [expect.anything()] }],
    ['no trust was asked', ['b', 'a', 'b'], undefined, { hosts: ['b', 'a', 'b'], rejected: [] }],
    ['there are no hosts', [], [], { hosts: [], rejected: [] }],
  ])('has a list of what was rejected but no end of validity where %s', (_, hosts, reasons, expected) => {
    expect(render(hosts, reasons)).toStrictEqual(expected);
  });
});
