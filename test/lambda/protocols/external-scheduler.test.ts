import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Reason, RequiredTrust } from '../../../lambda/trust/reason.ts';
import { InvalidRequestError, TooManyHostsError } from '../../../lambda/errors.ts';
import { externalScheduler } from '../../../lambda/protocols/external-scheduler.ts';
import type { Verdicts } from '../../../lambda/attestation/compute-attestation.ts';

const MAX_HOSTS = 1_000;
const TRUSTED = { 'trust:trusted_host': 'trusted' };

interface Sent {
  readonly host?: unknown;
  readonly hypervisor_hostname?: unknown;
}

const entry = (host: unknown, hypervisor_hostname: unknown): Sent => ({ host, hypervisor_hostname });

function spec(extra_specs: unknown, more: object = {}): object {
  return { 'nova_object.data': { flavor: { 'nova_object.data': { extra_specs } }, ...more } };
}

/** A request of the external scheduler's caller, with other members. */
function request(more: object = {}): unknown {
  return {
    spec: spec(TRUSTED),
    rebuild: false,
    resize: false,
    live: false,
    vmware: false,
    context: {},
    hosts: [entry('nova-compute-1', 'node1')],
    weights: { 'nova-compute-1': 1 },
    ...more,
  };
}

const parse = (body: unknown, maxHosts = MAX_HOSTS) => externalScheduler.parse(body, maxHosts);

function faultOf(body: unknown, maxHosts = MAX_HOSTS): unknown {
  try {
    parse(body, maxHosts);
  } catch (error) {
    return error;
  }
  return undefined;
}

/** What is answered where these hypervisors are trusted and all others are not. */
function answerTo(body: unknown, trusted: ReadonlySet<string> = new Set()): { hosts: string[] } {
  const parsed = parse(body);
  const { trust } = parsed;
  const verdicts: Verdicts =
    trust === undefined
      ? { reasons: undefined, passing: undefined, validUntil: undefined }
      : { reasons: parsed.hosts.map((host) => reasonOf(host, trusted)), passing: trust, validUntil: 1 };
  return externalScheduler.render(parsed, verdicts);
}

function reasonOf(host: string, trusted: ReadonlySet<string>): Reason {
  return trusted.has(host) ? 'trusted' : 'untrusted';
}

test('a request of the external scheduler has 8 seconds', () => {
  expect(externalScheduler.limitMs()).toBe(8_000);
});

describe('a request of the external scheduler', () => {
  test.each<[string, unknown, RequiredTrust | undefined]>([
    ['for trusted', TRUSTED, 'trusted'],
    ['for untrusted, by the other key', { trust: 'untrusted' }, 'untrusted'],
    ['for nothing, among other things', { 'hw:cpu_policy': 'dedicated' }, undefined],
    ['for nothing, with null', null, undefined],
    ['for nothing, without extra specs', undefined, undefined],
  ])('asks %s in the extra specs of its flavor', (_, extraSpecs, trust) => {
    expect(parse(request({ spec: spec(extraSpecs) })).trust).toBe(trust);
  });

  test('asks for nothing where its flavor has no member for extra specs', () => {
    const body = request({ spec: { 'nova_object.data': { flavor: { 'nova_object.data': {} } } } });
    expect(parse(body).trust).toBeUndefined();
    expect(answerTo(body)).toStrictEqual({ hosts: ['nova-compute-1'] });
  });

  test('has its hypervisors attested, not its compute services', () => {
    expect(parse(request()).hosts).toEqual(['node1']);
  });

  test('that asks for no trust has nothing attested', () => {
    expect(parse(request({ spec: spec({}) }))).toMatchObject({ trust: undefined, hosts: ['nova-compute-1'] });
  });

  test.each<[string, object, object | undefined]>([
    ['both', { instance_uuid: 'i-1', project_id: 'p-1' }, { instance_uuid: 'i-1', project_id: 'p-1' }],
    ['one', { instance_uuid: null, project_id: 'p-1' }, { project_id: 'p-1' }],
    ['neither', { instance_uuid: 7, project_id: '' }, undefined],
    ['both, fit for a log line', { project_id: `p\n${'x'.repeat(200)}` }, { project_id: `p\\u000a${'x'.repeat(98)}…` }],
  ])('names its workload by instance and project: %s', (_, more, workload) => {
    expect(parse(request({ spec: spec(TRUSTED, more) })).workload).toEqual(workload);
  });
});

describe('an answer to the external scheduler', () => {
  const hosts = [
    entry('b', 'b1'),
    entry('a', 'a1'),
    entry('c', 'c1'),
    entry('b', 'b2'),
    entry('a', 'a2'),
    entry('b', 'b1'),
  ];
  const all = new Set(['a1', 'a2', 'b1', 'b2', 'c1']);
  const without = (name: string) => new Set([...all].filter((other) => other !== name));

  test('names every compute service once, where it first stood, and holds nothing else', () => {
    expect(answerTo(request({ hosts }), all)).toStrictEqual({ hosts: ['b', 'a', 'c'] });
    expect(answerTo(request({ hosts, spec: spec({}) }))).toStrictEqual({ hosts: ['b', 'a', 'c'] });
  });

  test.each([
    ['the first', 'b1', ['a', 'c']],
    ['the second', 'b2', ['a', 'c']],
    ['the last', 'a2', ['b', 'c']],
    ['the only', 'c1', ['b', 'a']],
  ])('names no compute service of which %s hypervisor does not pass', (_, name, expected) => {
    expect(answerTo(request({ hosts }), without(name)).hosts).toEqual(expected);
  });

  test('names what is untrusted where that was asked for', () => {
    expect(answerTo(request({ hosts, spec: spec({ trust: 'untrusted' }) }), new Set(['a1', 'c1'])).hosts).toEqual([
      'b',
    ]);
  });

  test.each<[string, unknown]>([
    ['trusted', TRUSTED],
    ['what nobody can ask for', { trusted_host: 'yes' }],
  ])('to a rebuild names every compute service, whatever its flavor asks for: %s', (_, extraSpecs) => {
    const body = request({ hosts, spec: spec(extraSpecs), rebuild: true });
    expect(parse(body).trust).toBeUndefined();
    expect(answerTo(body).hosts).toEqual(['b', 'a', 'c']);
  });

  const HINT = { scheduler_hints: { _nova_check_type: ['rebuild'] } };
  test.each<[string, boolean, object]>([
    ['with the host that Nova forces', true, { ...HINT, force_hosts: ['b'], force_nodes: ['b1'] }],
    ['without hints', true, { scheduler_hints: {}, force_hosts: null }],
    ['by a hint alone', false, { ...HINT, force_hosts: null }],
    ['by a hint and a list of no hosts', false, { ...HINT, force_hosts: [] }],
  ])('knows a rebuild %s: %p', (_, isRebuild, more) => {
    const body = request({ hosts, spec: spec(TRUSTED, more), rebuild: true });
    expect(answerTo(body, new Set(['c1'])).hosts).toEqual(isRebuild ? ['b', 'a', 'c'] : ['c']);
  });

  test.each(['true', 1, null, {}])('is no answer to a rebuild where that is %j', (rebuild) => {
    expect(answerTo(request({ rebuild })).hosts).toEqual([]);
  });

  test.each<[string, unknown]>([
    ['strangers', { stranger: 1, b: 'x' }],
    ['null', null],
    ['a list', []],
  ])('does not heed weights, nor members that it does not know: %s', (_, weights) => {
    expect(answerTo(request({ hosts, weights, context: 7, unheard: [] }), all).hosts).toEqual(['b', 'a', 'c']);
  });

  const oddNames: [string, unknown][] = [
    ['missing', undefined],
    ['null', null],
    ['a number', 7],
    ['empty', ''],
    ['of 256 units', 'a'.repeat(256)],
    ['half a character', 'a\ud83d'],
  ];

  test.each(oddNames)('leaves out a compute service of which a hypervisor has a name that is %s', (_, odd) => {
    const trusted = new Set(['x1', 'x2', 'y1']);
    for (const entries of [
      [entry('x', odd)],
      [entry('x', odd), entry('x', 'x1')],
      [entry('x', 'x1'), entry('x', odd), entry('x', 'x2')],
    ]) {
      const body = request({ hosts: [...entries, entry('y', 'y1')] });
      expect(answerTo(body, trusted).hosts).toEqual(['y']);
    }
  });

  test.each(oddNames)('leaves out a compute service whose own name is %s, trust asked or not', (_, odd) => {
    const body = { hosts: [entry(odd, 'y1'), entry('y', 'y1')] };
    expect(answerTo(request(body), new Set(['y1'])).hosts).toEqual(['y']);
    expect(answerTo(request({ ...body, spec: spec({}) })).hosts).toEqual(['y']);
  });

  test.each(oddNames)('names every compute service where no trust is asked, its hypervisor %s', (_, odd) => {
    expect(answerTo(request({ hosts: [entry('x', odd)], spec: spec({}) })).hosts).toEqual(['x']);
  });

  test.each<unknown>([null, 'x', 7, ['x'], [['host', 'x']]])('leaves out an entry that is %j', (odd) => {
    expect(answerTo(request({ hosts: [odd, entry('y', 'y1')] }), new Set(['y1'])).hosts).toEqual(['y']);
  });

  test.each(['a'.repeat(255), '🚀'.repeat(127), '__proto__', 'a\n\0', ' ', 'e\u0301'])(
    'echoes the name %j code point for code point',
    (name) => {
      expect(answerTo(request({ hosts: [entry(name, name)] }), new Set([name])).hosts).toEqual([name]);
    },
  );

  test('to a request with any fault has no hosts', () => {
    expect(externalScheduler.renderFault()).toStrictEqual({ hosts: [] });
  });
});

describe('a request of the external scheduler has a fault', () => {
  const data = 'spec["nova_object.data"]';
  const flavor = `${data}.flavor["nova_object.data"]`;

  test.each<[string, unknown, string]>([
    ['as a list', [], 'The body must be a JSON object.'],
    ['as null', null, 'The body must be a JSON object.'],
    ['without a spec', request({ spec: undefined }), `"${data}" must be an object.`],
    ['with a spec without data', request({ spec: { flavor: {} } }), `"${data}" must be an object.`],
    ['without a flavor', request({ spec: { 'nova_object.data': {} } }), `"${flavor}" must be an object.`],
    [
      'with a flavor without data',
      request({ spec: { 'nova_object.data': { flavor: { extra_specs: TRUSTED } } } }),
      `"${flavor}" must be an object.`,
    ],
    ['with extra specs as a list', request({ spec: spec([]) }), `"${flavor}.extra_specs" must be an object or null.`],
    [
      'with a key that asks for nothing',
      request({ spec: spec({ trusted_host: 'trusted' }) }),
      `"${flavor}.extra_specs" has the key "trusted_host", which asks for nothing: the keys are "trust:trusted_host" and "trust".`,
    ],
    ['without hosts', request({ hosts: undefined }), '"hosts" must be an array.'],
    ['with hosts as a map', request({ hosts: { a: 'a' } }), '"hosts" must be an array.'],
    ['to rebuild, without hosts', request({ hosts: null, rebuild: true }), '"hosts" must be an array.'],
  ])('%s', (_, body, message) => {
    expect(faultOf(body)).toEqual(new InvalidRequestError(message));
  });

  test('with more hosts than configured, and not with as many', () => {
    const hosts = [entry('a', 'a'), entry('a', 'a'), null];
    expect(faultOf(request({ hosts: hosts.slice(0, 2) }), 2)).toBeUndefined();
    expect(faultOf(request({ hosts }), 2)).toEqual(
      new TooManyHostsError('"hosts" has 3 hosts; one request may have 2.'),
    );
  });
});

describe('whatever is sent', () => {
  const names = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'c', 'd', '__proto__') },
    { weight: 1, arbitrary: fc.constantFrom('', null, 7, undefined, '\ud83d', 'x'.repeat(256)) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
  );
  const entries = fc.array(
    fc.oneof(
      { weight: 9, arbitrary: fc.record({ host: names, hypervisor_hostname: names }) },
      { weight: 1, arbitrary: fc.constant(null) },
    ),
    { maxLength: 12 },
  );
  const isName = (name: unknown) => typeof name === 'string' && /^.{1,255}$/s.test(name) && name.isWellFormed();

  test('every name out was a name in, is out once, in the order in which they came in', () => {
    fc.assert(
      fc.property(entries, fc.subarray(['a', 'b', 'c', 'd', '__proto__']), fc.boolean(), (hosts, trusted, isAsked) => {
        const out = answerTo(request({ hosts, spec: spec(isAsked ? TRUSTED : {}) }), new Set(trusted)).hosts;
        const sent = hosts.map((sentEntry) => sentEntry?.host);
        const places = out.map((name) => sent.indexOf(name));
        expect(places).not.toContain(-1);
        expect(places).toEqual([...new Set(places)].sort((one, other) => one - other));
      }),
    );
  });

  test('a compute service is out exactly if it has a name and every hypervisor sent with it passes', () => {
    fc.assert(
      fc.property(entries, fc.subarray(['a', 'b', 'c', 'd', '__proto__']), (hosts, trusted) => {
        const out = new Set(answerTo(request({ hosts }), new Set(trusted)).hosts);
        for (const host of hosts.map((sentEntry) => sentEntry?.host)) {
          const hypervisors = hosts.filter((other) => other?.host === host).map((other) => other?.hypervisor_hostname);
          const isPassing = isName(host) && hypervisors.every((name) => (trusted as unknown[]).includes(name));
          expect(out.has(host as string)).toBe(isPassing);
        }
      }),
    );
  });
});
