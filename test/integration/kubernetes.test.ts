import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readFixtures } from '../../infra/local/fixtures.ts';
import { answerFromFleet } from '../../infra/local/fleet.ts';
import { MESSAGES } from '../../lambda/protocols/messages.ts';
import { Cloud } from '../fakes/cloud.ts';
import { extenderAnswerOf, fixture } from '../fakes/events.ts';
import type { LambdaEnvironment } from '../fakes/lambda-environment.ts';

let cloud: Cloud;
let environment: LambdaEnvironment;
/** The hosts of all polls so far. */
const polled: string[] = [];

beforeAll(async () => {
  cloud = await Cloud.start();
  const oat = await cloud.oat((poll, response) => {
    polled.push(...poll.hosts);
    return answerFromFleet(poll, response);
  });
  environment = await cloud.environment(cloud.env(oat, await cloud.table()));
});
afterAll(() => cloud.close());

/** What a fixture sent. */
function bodyOf(name: string): Record<string, unknown> {
  return JSON.parse((fixture(name) as { body: string }).body) as Record<string, unknown>;
}

const GOOD = ['node-1.example.com', 'node-2.example.com'];
const BAD = 'untrusted-1.example.com';
const STRANGER = 'stranger.example.com';
const ALL = ['node-1.example.com', BAD, STRANGER, 'node-2.example.com'];
const NOTHING = { FailedNodes: {}, FailedAndUnresolvableNodes: {}, Error: '' };
const TRUSTED = {
  NodeNames: GOOD,
  FailedNodes: { [STRANGER]: MESSAGES.unknown },
  FailedAndUnresolvableNodes: { [BAD]: MESSAGES.untrusted },
};
const TOO_LONG = { ['x'.repeat(256)]: 'The name of the node is too long to be one.' };

async function expectFault(where: LambdaEnvironment, name: string, fault: RegExp): Promise<void> {
  const { statusCode, body } = await where.invoke(fixture(name));
  expect(statusCode).toBe(200);
  expect(JSON.parse(body ?? '')).toStrictEqual({
    Nodes: null,
    NodeNames: null,
    ...NOTHING,
    Error: expect.stringMatching(fault),
  });
}

/** What each fixture with names is answered. */
const ANSWERS: Readonly<Record<string, object>> = {
  annotation: TRUSTED,
  'node-selector': TRUSTED,
  affinity: TRUSTED,
  'all-agree': TRUSTED,
  'lower-case-keys': TRUSTED,
  'label-untrusted': {
    NodeNames: [BAD],
    FailedNodes: { [STRANGER]: MESSAGES.unknown },
    FailedAndUnresolvableNodes: Object.fromEntries(GOOD.map((name) => [name, MESSAGES.trusted])),
  },
  'no-trust': { NodeNames: ALL },
  'no-nodes': { NodeNames: [] },
  duplicates: { ...TRUSTED, NodeNames: ['node-1.example.com', 'node-1.example.com'] },
  'odd-names': { ...TRUSTED, NodeNames: ['node-1.example.com'], FailedNodes: TOO_LONG },
  'hostile-names': {
    NodeNames: ['node-1.example.com', 'node-"quoted"', 'node-e\u0301', 'node-\u00e9'],
    FailedNodes: Object.fromEntries(
      ['__proto__', 'constructor', '../../PollHosts?x=#', 'toString'].map((name) => [name, MESSAGES.unknown]),
    ),
  },
};

/** What each fixture with whole nodes is answered: which of its items pass, by their place. */
const WHOLE: Readonly<Record<string, readonly [number[], object]>> = {
  'full-nodes': [[0, 3], TRUSTED],
  'full-nodes-no-trust': [[0, 1, 2, 3], {}],
  'nodes-without-name': [[0], { FailedAndUnresolvableNodes: TRUSTED.FailedAndUnresolvableNodes }],
  nulls: [[], {}],
};

/** The fault that each fixture with one is answered. */
const FAULTS: Readonly<Record<string, RegExp>> = {
  'conflict-annotation-label': /"trusted" by its annotation and for "untrusted" by its label/,
  'conflict-annotation-affinity': /"trusted" by its annotation and for "untrusted" by its node affinity/,
  'value-unknown': /annotation asks for "unknown"/,
  'affinity-not-in': /operator "NotIn"/,
  'affinity-two-values': /"In" with one value/,
  'affinity-terms-differ': /term without "trust\/trusted-host"/,
  'no-pod': /"Pod" must be an object/,
  'neither-nodes-nor-names': /either "NodeNames" or "Nodes"/,
  'malformed-json': /not JSON/,
};
const FIVE_THOUSAND = 'five-thousand-names';

describe('the fixtures of Kubernetes', () => {
  test.each(Object.entries(ANSWERS))(
    '%s names the nodes that pass and says why the others do not',
    async (name, told) => {
      const { statusCode, headers, body } = await environment.invoke(fixture(`kubernetes-${name}`));
      expect([statusCode, headers]).toMatchObject([200, { 'content-type': 'application/json' }]);
      expect(JSON.parse(body ?? '')).toStrictEqual({ Nodes: null, ...NOTHING, ...told });
    },
  );

  test.each(Object.entries(WHOLE))('%s has the nodes that pass as they came', async (name, [places, told]) => {
    const result = await environment.invoke(fixture(`kubernetes-${name}`));
    const Nodes = bodyOf(`kubernetes-${name}`)['Nodes'] as { items: unknown[] | null };
    const items = places.map((place) => Nodes.items?.[place]);
    expect(result.statusCode).toBe(200);
    expect(extenderAnswerOf(result)).toStrictEqual({
      ...NOTHING,
      ...told,
      Nodes: { ...Nodes, items },
      NodeNames: null,
    });
  });

  test.each(Object.entries(FAULTS))('%s is an error with status 200, and has no nodes', async (name, fault) => {
    await expectFault(environment, `kubernetes-${name}`, fault);
    expect(await environment.lastLine()).toMatchObject({ status: 200, message: 'request refused', level: 'WARN' });
  });

  test('five-thousand-names passes all of them, in order, each polled once, and in few polls', async () => {
    const before = polled.length;
    const result = await environment.invoke(fixture(`kubernetes-${FIVE_THOUSAND}`));
    const sent = bodyOf(`kubernetes-${FIVE_THOUSAND}`)['NodeNames'] as string[];
    expect(extenderAnswerOf(result)).toStrictEqual({ Nodes: null, NodeNames: sent, ...NOTHING });
    const line = await environment.lastLine();
    expect(line).toMatchObject({ hosts: 5000, passed: 5000, from_poll: 5000 });
    expect(polled.slice(before).sort()).toEqual(sent.toSorted());
    // Full polls of a hundred, but for the rest of what was claimed when a shard was slower than the others.
    expect(line['polls']).toBeLessThan(60);
  });

  test('are each one of these', () => {
    const names = readFixtures().flatMap(({ name }) => (name.startsWith('kubernetes-') ? [name.slice(11)] : []));
    const tested = [...Object.keys(ANSWERS), ...Object.keys(WHOLE), ...Object.keys(FAULTS), FIVE_THOUSAND];
    expect(names.sort()).toEqual(tested.sort());
  });
});

test('the line of a request names its pod', async () => {
  await environment.invoke(fixture('kubernetes-annotation'));
  expect(await environment.lastLine()).toMatchObject({
    route: 'POST /kubernetes/filter',
    required_trust: 'trusted',
    workload: {
      namespace: 'payments',
      name: 'ledger-6f7d9c5b8-x2x7k',
      uid: '0f8f5a2e-6a0c-4a53-9d1e-1f1c9a3b7c55',
    },
    hosts: 4,
    passed: 2,
    rejected: { untrusted: 1, unknown: 1 },
  });
});

test('the key is the one that is configured', async () => {
  const oat = await cloud.oat(answerFromFleet);
  const env = { ...cloud.env(oat, await cloud.table()), ATTESTATION_KUBERNETES_KEY: 'example.com/trust' };
  const other = await cloud.environment(env);
  // The fixture asks with that key, and all others with the key that is the default.
  expect(extenderAnswerOf(await other.invoke(fixture('kubernetes-no-trust')))).toMatchObject(TRUSTED);
  expect(extenderAnswerOf(await other.invoke(fixture('kubernetes-annotation')))).toMatchObject({ NodeNames: ALL });
});

test('faults of size and of the configuration are errors with status 200, too', async () => {
  const oat = await cloud.oat(answerFromFleet);
  const small = await cloud.environment({ ...cloud.env(oat, await cloud.table()), ATTESTATION_MAX_HOSTS: '3' });
  const broken = await cloud.environment({ ATTESTATION_PORT: '0' });
  for (const [where, fault] of [
    [small, /has 4 nodes; one request may have 3/],
    [broken, /ATTESTATION_PORT.*ATTESTATION_SERVER|ATTESTATION_SERVER.*ATTESTATION_PORT/],
  ] as const) {
    for (const name of ['kubernetes-annotation', 'kubernetes-no-trust', 'kubernetes-full-nodes']) {
      await expectFault(where, name, fault);
    }
  }
});

test('an answer that is larger than Lambda can give is an error with status 200', async () => {
  const event = fixture('kubernetes-no-trust') as { body: string };
  const answerTo = async (count: number) => {
    const NodeNames = Array.from({ length: count }, (_, i) => `${i}`.padEnd(200, '-'));
    const body = JSON.stringify({ ...bodyOf('kubernetes-no-trust'), NodeNames });
    const result = await environment.invoke({ ...event, body });
    expect(result.statusCode).toBe(200);
    return extenderAnswerOf(result);
  };
  expect((await answerTo(30_000)).NodeNames).toHaveLength(30_000);
  expect(await answerTo(31_000)).toStrictEqual({
    Nodes: null,
    NodeNames: null,
    ...NOTHING,
    Error: 'The answer about these 31000 hosts is larger than AWS Lambda can give: send fewer.',
  });
});

test('nodes without an answer within four seconds fail for now, and the others are answered', async () => {
  const slow = await cloud.oat(async (poll, response) => {
    if (!poll.hosts.some((host) => host.startsWith('stranger'))) await answerFromFleet(poll, response);
  });
  const env = { ...cloud.env(slow, await cloud.table()), ATTESTATION_REQUEST_COUNT: '1' };
  const waiting = await cloud.environment(env);
  const begun = performance.now();
  const result = await waiting.invoke(fixture('kubernetes-annotation'));
  expect(performance.now() - begun).toBeLessThan(4_500);
  expect(extenderAnswerOf(result)).toMatchObject({ ...TRUSTED, FailedNodes: { [STRANGER]: MESSAGES.pending } });
}, 30_000);

describe('a pod that asks for no trust', () => {
  let server: Server;
  let connections = 0;
  let quiet: LambdaEnvironment;

  beforeAll(async () => {
    // Stands for all that the function could turn to.
    server = createServer((socket) => {
      connections++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    quiet = await cloud.environment({
      ...cloud.env({ port }, 'table'),
      AWS_ENDPOINT_URL_DYNAMODB: `http://127.0.0.1:${port}`,
      AWS_ENDPOINT_URL_SECRETS_MANAGER: `http://127.0.0.1:${port}`,
      ATTESTATION_SERVER: '127.0.0.1',
    });
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  test('passes every node, and nothing is asked of anything', async () => {
    expect(extenderAnswerOf(await quiet.invoke(fixture('kubernetes-no-trust'))).NodeNames).toEqual(ALL);
    const whole = extenderAnswerOf(await quiet.invoke(fixture('kubernetes-full-nodes-no-trust')));
    expect(whole.Nodes?.items.map(({ metadata }) => metadata.name)).toEqual(ALL);
    expect(connections).toBe(0);
  });

  test('whereas one that does makes connections, and passes none without them', async () => {
    expect(extenderAnswerOf(await quiet.invoke(fixture('kubernetes-annotation'))).NodeNames).toEqual([]);
    expect(connections).toBeGreaterThan(0);
  }, 30_000);
});
