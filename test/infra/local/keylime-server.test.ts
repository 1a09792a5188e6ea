import type { SecureVersion } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Client } from 'undici';
import { CertificateAuthority, type KeyPair, LOOPBACK_NAMES } from '../../../infra/local/certificates.ts';
import { type AgentRecord, agentRecord } from '../../../infra/local/keylime-agents.ts';
import { KeylimeServer, type KeylimeServerOptions, toJson } from '../../../infra/local/keylime-server.ts';
import { systemClock } from '../../../lambda/clock.ts';

const NOW = Date.UTC(2026, 10, 27, 10, 58, 20, 900);
const AGENTS = new Map<string, AgentRecord>([
  ['d432fbb3-d2f1-4a97-9ef7-75bd81c00000', agentRecord({ attestation_count: 1 })],
  ['compute-2.example.com', agentRecord({ attestation_count: 4 })],
]);
const CLIENT = { commonName: 'trusted-filter' };
const FORBIDDEN = { status: '403', title: 'Forbidden' };

let authority: CertificateAuthority;
let pair: KeyPair;
let operator: KeyPair;
let keylime: KeylimeServer;
const clients: Client[] = [];
/** Servers of one test. */
const others: KeylimeServer[] = [];

beforeAll(async () => {
  authority = await CertificateAuthority.create('verifiers');
  pair = await authority.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
  operator = await authority.client(CLIENT);
  keylime = await start();
});

afterEach(async () => {
  keylime.instead = () => false;
  await Promise.all(clients.splice(0).map((client) => client.destroy()));
  await Promise.all(others.splice(0).map((other) => other.close()));
});

afterAll(() => keylime.close());

function start(options: Partial<KeylimeServerOptions> = {}): Promise<KeylimeServer> {
  const clock = { ...systemClock, now: () => NOW };
  const fleet = { agent: (id: string) => AGENTS.get(id), ids: () => AGENTS.keys() };
  return KeylimeServer.start({ ...pair, ca: authority.cert, clock, ...fleet, ...options });
}

async function startOther(options: Partial<KeylimeServerOptions> = {}): Promise<KeylimeServer> {
  const other = await start(options);
  others.push(other);
  return other;
}

function connect(as: (KeyPair & { maxVersion?: SecureVersion }) | undefined = operator, { port } = keylime): Client {
  const client = new Client(`https://localhost:${port}`, { connect: { ca: authority.cert, ...as }, pipelining: 1 });
  clients.push(client);
  return client;
}

interface Got {
  readonly status: number;
  readonly reason: string;
  readonly headers: Record<string, unknown>;
  readonly body: string;
}

async function get(
  path: string,
  headers: Record<string, string> = {},
  client = connect(),
  body?: string,
): Promise<Got> {
  const answer = await client.request({ method: 'GET', path, headers, ...(body === undefined ? {} : { body }) });
  const { statusCode: status, statusText: reason } = answer;
  return { status, reason, headers: answer.headers, body: await answer.body.text() };
}

/** What an answer has for headers, beside its length. */
function headers(type: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    server: 'TornadoServer/6.6.1',
    date: 'Fri, 27 Nov 2026 10:58:20 GMT',
    'x-request-id': '',
    'content-type': type,
    'content-length': expect.any(String),
    ...more,
  };
}

const JSON_TYPE = 'application/json';
const FAULT_TYPE = 'application/json; charset=UTF-8';
const HTML = 'text/html; charset=UTF-8';

describe('An agent that is enrolled', () => {
  test('is answered with its record as Python writes it, and the headers of the verifier, no Connection among them', async () => {
    const { status, body, headers: got } = await get('/v2.1/agents/compute-2.example.com');
    expect(status).toBe(200);
    expect(got).toEqual(headers(JSON_TYPE, { etag: expect.stringMatching(/^"[0-9a-f]{40}"$/) }));
    expect(got['content-length']).toBe(String(body.length));
    expect(body).toMatch(
      /^\{"code": 200, "status": "Success", "results": \{"operational_state": 3, "v": null, "ip": "127/,
    );
    expect(JSON.parse(body)).toEqual({ code: 200, status: 'Success', results: AGENTS.get('compute-2.example.com') });
  });

  test.each([
    '/v2/agents/compute-2.example.com',
    '/v2.6/agents/compute-2.example.com/',
    '/v2.1/agents/compute-2.example.com?bulk=true',
  ])('is found at %s too', async (path) => {
    expect(JSON.parse((await get(path)).body)).toMatchObject({ results: { attestation_count: 4 } });
  });

  test('is answered with 304 to who has the answer already', async () => {
    const path = '/v2.1/agents/compute-2.example.com';
    const { etag } = (await get(path)).headers;
    const again = await get(path, { 'if-none-match': String(etag) });
    expect([again.status, again.body]).toEqual([304, '']);
    expect(again.headers).toEqual({ ...headers(''), etag, 'content-type': undefined, 'content-length': undefined });
  });

  test('is that of the time of the clock', async () => {
    const times: number[] = [];
    const other = await startOther({
      agent: (_, now) => {
        times.push(now);
        return undefined;
      },
    });
    await get('/v2.1/agents/x', {}, connect(operator, other));
    expect(times).toEqual([Math.floor(NOW / 1000)]);
  });
});

describe('A list', () => {
  test.each([
    '?bulk=true',
    '?bulk=false',
    '?bulk=0',
    '?bulk=true&verifier=',
    '?verifier=default&bulk=true',
    '?bulk=&bulk=1',
  ])('%s has the record of every agent', async (query) => {
    const { status, body } = await get(`/v2.1/agents/${query}`);
    expect([status, JSON.parse(body)]).toEqual([
      200,
      { code: 200, status: 'Success', results: Object.fromEntries(AGENTS) },
    ]);
  });

  test.each(['', '?bulk', '?bulk=', '?other=true'])('%s has ids alone, each in a list of its own', async (query) => {
    const uuids = [['compute-2.example.com'], ['d432fbb3-d2f1-4a97-9ef7-75bd81c00000']];
    const { status, body } = await get(`/v2.1/agents/${query}`);
    expect([status, JSON.parse(body)]).toEqual([200, { code: 200, status: 'Success', results: { uuids } }]);
  });

  test('of an unknown verifier is empty', async () => {
    expect(await get('/v2.1/agents/?bulk=true&verifier=nosuch')).toMatchObject({
      status: 200,
      body: '{"code": 200, "status": "Success", "results": {}}',
    });
  });

  test('needs no slash at its end', async () => {
    expect(JSON.parse((await get('/v2.1/agents')).body)).toMatchObject({ results: { uuids: expect.any(Array) } });
  });

  test('is not compressed, whatever the client takes', async () => {
    const { headers: got } = await get('/v2.1/agents/?bulk=true', { 'accept-encoding': 'gzip' });
    expect(got).not.toHaveProperty('content-encoding');
  });
});

describe('A request for nothing that is there', () => {
  test.each(['/v2.1/agents/nobody', '/v2.1/agents/COMPUTE-2.example.com', `/v2.1/agents/${'x'.repeat(100)}`])(
    '%s is an agent that is unknown',
    async (path) => {
      const answer = await get(path);
      expect(answer).toMatchObject({ status: 404, headers: headers(JSON_TYPE, { 'content-length': '60' }) });
      expect(answer.body).toBe('{"code": 404, "status": "agent id not found", "results": {}}');
      expect(answer.headers).not.toHaveProperty('etag');
    },
  );

  test.each([
    '/v2.7/agents/',
    '/v9.9/agents/',
    '/v1.0/agents/',
    '/agents/',
    '/v2.1/nothing',
    '/v2.1//agents/',
    '/V2.1/agents/',
    '/v2.1/agents/a/b',
    '/OpenAttestationWebServices/V1.0/PollHosts',
  ])('%s is no path, and its answer is empty', async (path) => {
    expect(await get(path)).toEqual({
      status: 404,
      reason: 'Not Found',
      headers: headers(HTML, { 'content-length': '0' }),
      body: '',
    });
  });

  test.each(['a%20b', 'a%2Fb', '%63ompute-2.example.com', '%C3%BC', 'a@b'])(
    '%s is no id: the verifier decodes none',
    async (id) => {
      const answer = await get(`/v2.1/agents/${id}`);
      expect(answer).toMatchObject({ status: 400, reason: 'Bad Request', headers: headers(JSON_TYPE) });
      expect(answer.body).toBe('{"code": 400, "status": "agent_id not not valid", "results": {}}');
    },
  );

  test.each(['/v3.0/agents/', '/v3.0/agents/x'])('%s is not implemented', async (path) => {
    expect(await get(path)).toMatchObject({ status: 500, headers: headers(HTML), body: '' });
  });
});

describe('A request that is refused', () => {
  test.each(['application/json', 'application/json; charset=utf-8', 'application/vnd.api+json'])(
    'says %s and has no body',
    async (type) => {
      for (const path of ['compute-2.example.com', '?bulk=true', '']) {
        expect(await get(`/v2.1/agents/${path}`, { 'content-type': type })).toEqual({
          status: 400,
          reason: 'Malformed Request Parameter',
          headers: headers(HTML, { 'content-length': '0' }),
          body: '',
        });
      }
    },
  );

  test('is none with a body, or with another type', async () => {
    const path = '/v2.1/agents/compute-2.example.com';
    expect(await get(path, { 'content-type': 'text/plain' })).toMatchObject({ status: 200 });
    expect(await get(path, { 'content-type': 'application/json' }, connect(), '{}')).toMatchObject({ status: 200 });
  });

  test.each([
    ['Bearer abc', 'Invalid authentication token'],
    ['Bearer a b', 'Invalid authentication token'],
    ['Bearer', 'Invalid Authorization header format'],
    ['Basic abc', 'Invalid Authorization header format'],
  ])('shows %p beside a good certificate', async (authorization, detail) => {
    const answer = await get('/v2.1/agents/compute-2.example.com', { authorization });
    expect(answer).toMatchObject({ status: 401, headers: headers(FAULT_TYPE) });
    expect(JSON.parse(answer.body)).toEqual({ errors: [{ status: '401', title: 'Unauthorized', detail }] });
  });

  test('is none with an empty login, or with the auth blob of OpenAttestation', async () => {
    const path = '/v2.1/agents/compute-2.example.com';
    expect(await get(path, { authorization: '' })).toMatchObject({ status: 200 });
    expect(await get(path, { 'x-auth-blob': 'abc' })).toMatchObject({ status: 200 });
  });

  test('is none where there is no such path: that is seen first', async () => {
    expect(await get('/nowhere', { authorization: 'Bearer abc' })).toMatchObject({ status: 404, body: '' });
  });

  test('has another method', async () => {
    const { statusCode, body } = await connect().request({ method: 'PUT', path: '/v2.1/agents/x' });
    expect([statusCode, await body.text()]).toEqual([405, '']);
  });
});

describe('A client certificate', () => {
  test.each<[string, () => Promise<KeyPair | undefined>]>([
    ['that is not there', () => Promise.resolve({ cert: '', key: '' })],
    ['without a common name', () => authority.client({ commonName: '' })],
  ])('%s is forbidden what only an administrator may', async (_, make) => {
    const client = connect(await make());
    const list = await get('/v2.1/agents/?bulk=true', {}, client);
    expect(list).toMatchObject({ status: 403, headers: headers(FAULT_TYPE) });
    const detail = 'Action list_agents requires admin authentication (mTLS certificate)';
    expect(JSON.parse(list.body)).toEqual({ errors: [{ ...FORBIDDEN, detail }] });
    const one = await get('/v2.1/agents/compute-2.example.com', {}, client);
    expect(JSON.parse(one.body)).toEqual({
      errors: [{ ...FORBIDDEN, detail: 'Action read_agent requires authentication' }],
    });
    expect(await get('/v2.1/agents/a%20b', {}, client)).toMatchObject({ status: 403 });
    expect(await get('/nowhere', {}, client)).toMatchObject({ status: 404 });
  });

  test.each<[string, () => Promise<KeyPair>]>([
    ['of another authority', async () => (await CertificateAuthority.create('others')).client(CLIENT)],
    ['for servers alone', () => Promise.resolve(pair)],
    ['that has ended', () => authority.client({ ...CLIENT, notAfter: new Date(Date.now() - 1_000) })],
  ])('%s gets no answer', async (_, make) => {
    const before = { ...keylime.counts };
    await expect(get('/versions', {}, connect(await make()))).rejects.toThrow();
    expect(keylime.counts).toEqual(before);
  });

  test('is taken over TLS 1.2 too', async () => {
    expect(await get('/v2.1/agents/nobody', {}, connect({ ...operator, maxVersion: 'TLSv1.2' }))).toMatchObject({
      status: 404,
    });
  });

  test('is not needed to learn the versions', async () => {
    const { status, body } = await get('/versions', {}, connect({ cert: '', key: '' }));
    expect(status).toBe(200);
    expect(body).toBe(
      '{"code": 200, "status": "Success", "results": {"current_version": "2.6", "supported_versions": ["1.0", "2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "3.0"]}}',
    );
  });
});

describe('The server', () => {
  test('keeps a connection', async () => {
    const client = connect();
    let connections = 0;
    client.on('connect', () => connections++);
    for (let i = 0; i < 3; i++) await get('/v2.1/agents/nobody', {}, client);
    expect(connections).toBe(1);
  });

  test('counts requests by what they ask for, and those that are there at once', async () => {
    const other = await startOther();
    const third = Promise.withResolvers<boolean>();
    let begun = 0;
    other.instead = () => {
      if (++begun === 3) third.resolve(false);
      return third.promise;
    };
    await Promise.all([1, 2, 3].map(() => get('/v2.1/agents/x', {}, connect(operator, other))));
    const one = connect(operator, other);
    for (const path of ['/v2.1/agents/?bulk=true', '/v2.1/agents/', '/versions', '/nowhere']) await get(path, {}, one);
    expect(other.counts).toEqual({ agent: 3, bulk: 1, ids: 1, versions: 1, nothing: 1 });
    expect(other.mostAtOnce).toBe(3);
  });

  test('answers otherwise where it is made to, and as ever where not', async () => {
    keylime.instead = ({ id }, response) => {
      if (id === 'bad') response.writeHead(500).end('no JSON');
      else if (id === 'reset') response.destroy();
      else return false;
      return true;
    };
    expect(await get('/v2.1/agents/bad')).toMatchObject({ status: 500, body: 'no JSON' });
    await expect(get('/v2.1/agents/reset')).rejects.toThrow(/closed|ECONNRESET/);
    expect(await get('/v2.1/agents/nobody')).toMatchObject({ status: 404 });
  });

  test('leaves a request open where it is made to answer nothing', async () => {
    const limit = new AbortController();
    keylime.instead = () => {
      setImmediate(() => limit.abort());
      return true;
    };
    const asked = connect().request({ method: 'GET', path: '/v2.1/agents/x', signal: limit.signal });
    await expect(asked).rejects.toThrow(/abort/);
  });
});

test('JSON has nothing but ASCII, as Python writes it', () => {
  expect(toJson({ 'ü"\n': ['😀', 1, null], a: {} })).toBe('{"\\u00fc\\"\\n": ["\\ud83d\\ude00", 1, null], "a": {}}');
  expect(toJson('\u007f~')).toBe('"\\u007f~"');
});
