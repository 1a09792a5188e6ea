import type { IncomingHttpHeaders } from 'node:http';
import { randomUUID } from 'node:crypto';
import { TLSSocket } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { uuid5 } from '../../lambda/service/keylime/agent-ids.ts';
import { lateAfter } from '../../lambda/trust/try.ts';
import type { Reason } from '../../lambda/trust/reason.ts';
import { SECRET_ID } from '../fakes/cloud.ts';
import { answerOf, filterEvent, reasonsOf } from '../fakes/events.ts';
import { answering, type Behaviour, type Exchange, FaultyServer, flood } from '../fakes/faulty-server.ts';
import type { LambdaEnvironment } from '../fakes/lambda-environment.ts';
import {
  type AgentRecord,
  recordAt,
  type RecordedAnswer,
  recorded,
  send,
  textOf,
  withResults,
} from '../fakes/recorded-answers.ts';
import { recordSecrets } from '../reporters/record.ts';
import { connectionFaults, tlsFaults } from './connection-faults.ts';
import { type Fault, FaultStage, HTML, HTML_BODY, JSON_BODY, LATER_MS, MEGABYTE, MOST_MS } from './fault-stage.ts';

/** That of DNS names. */
const NAMESPACE = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
/** Reading all agents is worth it for eleven hosts. */
const FLEET_SIZE = '60';
const HOUR = 3_600;

const stage: FaultStage = new FaultStage({
  healthy,
  variables: { ATTESTATION_SERVICE: 'keylime', ATTESTATION_FLEET_SIZE: FLEET_SIZE },
});
const { answer, expectToPass, mutualTls, newcomer, raw, talk } = stage;
/** Where redirects lead: a verifier that vouches for everybody. */
let elsewhere: FaultyServer;

/** Half of a payload's key, and agents that nobody asked for: in what the verifier says, and nobody's to see. */
const HALF_KEY = randomUUID();
const STRANGERS = [randomUUID(), randomUUID()];
/** The agents that the verifier has, beside those. */
const agents = new Set<string>();
/** What was sent with the GETs of the test. */
const shown: IncomingHttpHeaders[] = [];

beforeAll(async () => {
  recordSecrets(JSON.stringify({ v: HALF_KEY }));
  for (const agent_id of STRANGERS) recordSecrets(JSON.stringify({ agent_id }));
  await stage.start();
  elsewhere = await FaultyServer.start(healthy());
});
afterAll(async () => {
  await elsewhere.shut();
  await stage.close();
});
afterEach(() => {
  for (const headers of shown.splice(0)) {
    expect(headers).not.toHaveProperty('authorization');
    expect(headers).not.toHaveProperty('content-type');
    expect(headers).not.toHaveProperty('x-auth-blob');
  }
});

function idOf(host: string): string {
  return uuid5(host, NAMESPACE);
}

function newHost(kind: string): string {
  const host = stage.newHost(kind);
  agents.add(idOf(host));
  return host;
}

/** Hosts whose agents are all that the verifier has, beside those that nobody asks for. */
function newHosts(count: number): string[] {
  agents.clear();
  return Array.from({ length: count }, () => newHost('compute'));
}

/** The verifier's clock, in whole seconds, as its records and headers have it. */
function seconds(): number {
  return Math.floor((Date.now() + stage.clockMs) / 1000);
}

function dateOf(at: number): string {
  return new Date(at * 1000).toUTCString();
}

/** A record whose last good quote came a second ago. */
function good(changes: AgentRecord = {}): AgentRecord {
  return recordAt(seconds() - 1, { v: HALF_KEY, meta_data: JSON.stringify({ key: HALF_KEY }), ...changes });
}

function agentAnswer(results: unknown): RecordedAnswer {
  return withResults(recorded('agent-7.14.3'), results);
}

function bulkAnswer(results: AgentRecord): RecordedAnswer {
  return withResults(recorded('bulk'), results);
}

function allGood(ids: Iterable<string> = agents): AgentRecord {
  return Object.fromEntries([...STRANGERS, ...ids].map((id) => [id, good()]));
}

function isBulk({ request }: Exchange): boolean {
  return request.url === '/v2.1/agents/?bulk=true';
}

/** The agent that a GET asks about. */
function askedFor({ request }: Exchange): string {
  return decodeURIComponent(request.url?.replace('/v2.1/agents/', '') ?? '');
}

function say({ response }: Exchange, said: RecordedAnswer, date: string | undefined = dateOf(seconds())): void {
  send(response, said, date);
}

/** What a verifier says with which nothing is wrong. */
function sayGood(exchange: Exchange): void {
  shown.push(exchange.request.headers);
  say(exchange, isBulk(exchange) ? bulkAnswer(allGood()) : agentAnswer(good()));
}

function healthy(): Behaviour {
  return answering(mutualTls(), sayGood);
}

/** A verifier that says of some agents, by their ids, what it does not say of others. */
function sayingOf(odd: ReadonlyMap<string, (exchange: Exchange) => void>): Behaviour {
  return answering(mutualTls(), (exchange) => {
    (odd.get(askedFor(exchange)) ?? sayGood)(exchange);
  });
}

/** Such an answer, of which nothing is shown but what it is. */
function fixtureFault(name: string, reason: Reason, cause: RegExp): Fault {
  const { body, status } = recorded(name);
  const said = typeof body === 'string' ? (body === '' ? 'nothing' : body) : `\`${wordOf(body)}\``;
  const release = name.endsWith('7.12.1') ? ', as 7.12.1 says it' : '';
  const environment = status === 401 || status === 403 ? { environment: newcomer } : {};
  return {
    fault: `${status} with ${said}${release}`,
    reason,
    behaviour: talk((exchange) => say(exchange, recorded(name))),
    cause,
    ...environment,
  };
}

function wordOf(body: unknown): string {
  const { errors, status } = body as { errors?: { detail: string }[]; status?: string };
  return errors?.[0]?.detail ?? status ?? '';
}

describe('The connection', () => stage.testFaults(connectionFaults(stage)));

describe('TLS', () => stage.testFaults(tlsFaults(stage)));

describe('The HTTP status', () => {
  const redirect = (status: number): Fault => ({
    fault: `${status} with the address of another verifier, which would vouch for the host`,
    reason: 'unreachable',
    behaviour: () => answer(status, { location: `https://localhost:${elsewhere.port}/v2.1/agents/1` })(),
    cause: new RegExp(`HTTP status ${status}`),
    end: () => expect(elsewhere.connections).toHaveLength(0),
  });
  const status = (code: number, what: string, headers: Record<string, string> = {}, body = ''): Fault => ({
    fault: `${code} with ${what}`,
    reason: 'unreachable',
    behaviour: answer(code, headers, body),
    environment: code === 401 || code === 403 ? newcomer : () => stage.patient,
    cause: new RegExp(`HTTP status ${code}`),
  });
  const perfect = (code: number): Fault => ({
    ...status(code, 'a body that vouches for the host'),
    behaviour: talk((exchange) => say(exchange, { ...agentAnswer(good()), status: code })),
  });
  const advice = (code: number): RegExp => new RegExp(`HTTP status ${code}.*: there is no verifier at apiUrl`);
  const wantsCommonName = (code: number): RegExp =>
    new RegExp(`HTTP status ${code}.*: the client certificate needs a CN`);
  stage.testFaults([
    ...[301, 302, 303, 307, 308].map(redirect),
    status(304, 'nothing'),
    fixtureFault('wrong-path', 'unreachable', advice(404)),
    status(404, 'HTML', HTML_BODY, HTML),
    perfect(404),
    fixtureFault('wrong-version-7.12.1', 'unreachable', advice(400)),
    fixtureFault('list-without-slash-7.12.1', 'unreachable', advice(405)),
    fixtureFault('bad-agent-id', 'refused', /HTTP status 400, "agent_id not not valid"/),
    {
      ...fixtureFault('content-type-without-body', 'refused', /HTTP status 400/),
      fault: '400 with nothing but a phrase',
    },
    fixtureFault('token', 'unreachable', wantsCommonName(401)),
    {
      ...status(401, 'a challenge', { 'www-authenticate': 'Basic realm="verifier"' }),
      cause: /HTTP status 401: it asks for a login, as no verifier does, and none is sent/,
    },
    fixtureFault('no-common-name', 'unreachable', wantsCommonName(403)),
    status(403, 'HTML', HTML_BODY, HTML),
    status(429, 'a time after which to come back', { 'retry-after': '3600' }),
    fixtureFault('fault', 'unreachable', /HTTP status 500/),
    perfect(500),
    status(502, 'HTML', HTML_BODY, HTML),
    status(503, 'HTML', HTML_BODY, HTML),
    status(503, 'JSON', JSON_BODY, '{"code":503,"status":"Service Unavailable","results":{}}'),
    status(503, 'nothing'),
    perfect(503),
    {
      ...status(503, '100 MB'),
      behaviour: talk(({ response }) => flood(response.writeHead(503), 100 * MEGABYTE)),
      mostBytes: 20 * MEGABYTE,
    },
    {
      fault: '101, a change of protocols that nobody asked for',
      reason: 'unreachable',
      behaviour: raw('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n'),
      cause: /upgrade/,
    },
    {
      fault: '100, which nobody asked for',
      reason: 'unreachable',
      behaviour: raw('HTTP/1.1 100 Continue\r\n\r\n'),
      cause: /UND_ERR_SOCKET/,
    },
    {
      fault: '103, and no status after it',
      reason: 'pending',
      behaviour: talk(({ response }) => void response.socket?.write('HTTP/1.1 103 Early Hints\r\n\r\n')),
      environment: () => stage.hasty,
      cause: /no complete answer in its time/,
    },
    {
      fault: '204, and so no body',
      reason: 'bad-reply',
      behaviour: answer(204),
      counted: 'HostFaults',
      cause: /answer of 0 bytes is not JSON/,
    },
    {
      fault: 'none: what comes is not HTTP',
      reason: 'unreachable',
      behaviour: raw('SSH-2.0-OpenSSH_9.9\r\n'),
      cause: /HTTPParserError/,
    },
    {
      fault: '200 with headers of 100 KB',
      reason: 'unreachable',
      behaviour: raw(`HTTP/1.1 200 OK\r\nx-long: ${'x'.repeat(100_000)}\r\ncontent-length: 2\r\n\r\n{}`),
      cause: /OVERFLOW/,
    },
  ]);
});

describe('The body of a success', () => {
  const body = (what: string, make: () => string | Buffer, cause = /is not JSON$|an object "results"$/): Fault => ({
    fault: what,
    reason: 'bad-reply',
    behaviour: () => answer(200, { ...JSON_BODY, date: dateOf(seconds()) }, make())(),
    counted: 'HostFaults',
    cause,
  });
  const valid = (changes: AgentRecord = {}): string => textOf(agentAnswer(good(changes)));
  const deep = 30_000;
  stage.testFaults([
    body('it is empty', () => ''),
    body('it is cut off', () => valid().slice(0, -10)),
    body('it is HTML', () => HTML),
    body('it is two answers', () => valid() + valid()),
    body('it is in UTF-16', () => Buffer.from(valid(), 'utf16le')),
    body('it has bytes that are no UTF-8', () => Buffer.from(valid({ meta_data: '\xff' }), 'latin1')),
    body('it is `null`', () => 'null'),
    body('it is a text', () => '"Success"'),
    body('it is a list around the object', () => `[${valid()}]`),
    body('it is a record without an object around it', () => JSON.stringify(good())),
    body('its `code` is 404', () => JSON.stringify({ code: 404, status: 'Success', results: good() })),
    body('its `code` is a text', () => JSON.stringify({ code: '200', status: 'Success', results: good() })),
    body('it has no `code`', () => JSON.stringify({ status: 'Success', results: good() })),
    body('it has no `results`', () => '{"code":200,"status":"Success"}'),
    body('its `results` are `null`', () => textOf(agentAnswer(null))),
    body('its `results` are a list', () => textOf(agentAnswer([good()]))),
    body('its `results` are a text', () => textOf(agentAnswer(JSON.stringify(good())))),
    body('it has all of it in `__proto__`', () => `{"__proto__":${valid()}}`),
    body('it is an opening bracket, 30,000 times', () => '['.repeat(deep)),
    {
      ...body('it is gzip, although `identity` was asked for', () => '', /encoded although only "identity"/),
      behaviour: () => answer(200, { ...JSON_BODY, 'content-encoding': 'gzip' }, gzipSync(valid()))(),
    },
    body('it is gzip, and says so nowhere', () => gzipSync(valid())),
    {
      ...body('it has 100 MB', () => '', /larger than \d+ bytes/),
      behaviour: talk(({ response }) => {
        flood(response.writeHead(200, { 'content-length': 100 * MEGABYTE }), 100 * MEGABYTE);
      }),
      mostBytes: 20 * MEGABYTE,
    },
    {
      ...body('it has 100 MB, in chunks that do not say how many will come', () => '', /larger than \d+ bytes/),
      behaviour: talk(({ response }) => flood(response.writeHead(200), 100 * MEGABYTE)),
      mostBytes: 20 * MEGABYTE,
    },
    {
      ...body(
        'it is a good answer behind 1 MB of spaces',
        () => ' '.repeat(MEGABYTE) + valid(),
        /larger than \d+ bytes/,
      ),
      mostBytes: 2 * MEGABYTE,
    },
  ]);
});

interface HostFault {
  readonly fault: string;
  readonly sees: Reason | 'the host passes';
  /** What the verifier says of the host, beside the good word on a neighbour. */
  readonly said: (exchange: Exchange) => void;
  readonly counts?: Readonly<Record<string, number>>;
  readonly cause?: RegExp;
}

/** A fault that concerns one host of a poll: it is rejected, and its neighbour passes. */
async function expectHostFault({ sees, said, counts, cause }: HostFault): Promise<void> {
  const [sick, neighbour] = [newHost('sick'), newHost('neighbour')];
  stage.server.behave(sayingOf(new Map([[idOf(sick), said]])));
  const result = await stage.patient.invoke(filterEvent([sick, neighbour]));
  const passes = sees === 'the host passes';
  expect(result.statusCode).toBe(200);
  expect(answerOf(result).hosts).toEqual(passes ? [sick, neighbour] : [neighbour]);
  expect(reasonsOf(result)).toEqual(passes ? {} : { [sick]: sees });
  const line = await stage.patient.lastLine();
  expect(line).toMatchObject({ passed: passes ? 2 : 1, rejected: passes ? {} : { [sees]: 1 } });
  if (counts !== undefined) expect(line['counts']).toMatchObject(counts);
  if (cause !== undefined) expect(JSON.stringify(line['faults'])).toMatch(cause);
  if (!passes && sees !== 'untrusted') {
    const untrusted = await stage.patient.invoke(filterEvent([sick], 'untrusted'));
    expect(answerOf(untrusted).hosts).toEqual([]);
  }
  await expectToPass(stage.patient, [sick, neighbour]);
}

function testHostFaults(faults: readonly HostFault[]): void {
  test.each([...faults])('$fault → $sees', expectHostFault);
}

/** A record that differs from a good one in this. */
function differing(fault: string, sees: HostFault['sees'], changes: AgentRecord | (() => AgentRecord)): HostFault {
  const said = (exchange: Exchange): void =>
    say(exchange, agentAnswer(good(typeof changes === 'function' ? changes() : changes)));
  return { fault, sees, said };
}

/** A good answer, with other bytes in the place of some. */
function replacing(
  fault: string,
  sees: HostFault['sees'],
  old: string | RegExp,
  by: (text: string) => string,
): HostFault {
  const said = (exchange: Exchange): void =>
    say(exchange, { ...agentAnswer(good()), body: textOf(agentAnswer(good())).replace(old, by) });
  return { fault, sees, said };
}

describe('What the verifier says of one host among others', () => {
  const answered = (fault: string, sees: Reason, name: string, more: Partial<HostFault> = {}): HostFault => {
    const said = (exchange: Exchange): void => say(exchange, recorded(name));
    return { fault, sees, said, ...more };
  };
  testHostFaults([
    answered('404 with `agent id not found`', 'unknown', 'unknown-agent'),
    answered('404 with nothing', 'unreachable', 'wrong-path', { counts: { HostFaults: 1 }, cause: /404: there is no/ }),
    answered('400 with `agent_id not not valid`', 'refused', 'bad-agent-id', {
      counts: { HostFaults: 1 },
      cause: /HTTP status 400, .*agent_id not not valid/,
    }),
    answered('500 with nothing', 'refused', 'fault', { counts: { HostFaults: 1 }, cause: /HTTP status 500/ }),
    {
      fault: 'a word of 3,000 characters, some of them line breaks, beside status 400',
      sees: 'refused',
      said: (exchange) =>
        say(exchange, { ...recorded('bad-agent-id'), body: { status: `\n\u202e${'x'.repeat(3_000)}` } }),
      cause: /HTTP status 400, \\"\\\\u000a\\\\u202ex{98}…\\"/,
    },
    {
      fault: 'a body that is not JSON',
      sees: 'bad-reply',
      said: (exchange) => say(exchange, { ...agentAnswer({}), body: HTML }),
      counts: { HostFaults: 1 },
      cause: /answer of \d+ bytes is not JSON/,
    },
    {
      fault: 'nothing: its connection is reset',
      // A verifier that others reach may mean to refuse the certificate: another is waited for, as long as there is time.
      sees: 'pending',
      said: ({ socket }) => void socket.resetAndDestroy(),
      counts: { HostFaults: 1 },
      cause: /no complete answer in its time/,
    },
    answered('the ids of all agents', 'bad-reply', 'ids-alone'),
    answered('what there is to say of all agents', 'bad-reply', 'bulk'),
    answered('nothing, in empty `results`', 'bad-reply', 'bulk-of-no-verifier'),
  ]);
});

describe('What a record says of its host', () => {
  const state = (operational_state: unknown): AgentRecord => ({ operational_state });
  const failedBy = (last_event_id: string): AgentRecord => ({ operational_state: 7, last_event_id, severity_level: 6 });
  const quoted = (s: number): AgentRecord => ({ last_received_quote: seconds(), last_successful_attestation: s });
  const unchecked = { has_runtime_policy: 0 };
  const policy = (tpm_policy: unknown): AgentRecord => ({ ...unchecked, tpm_policy });
  const push = (attestation_status: unknown, changes: AgentRecord = {}): AgentRecord => ({
    ip: null,
    port: null,
    attestation_status,
    ...changes,
  });
  const without = (member: string) => (): AgentRecord => ({ [member]: undefined });
  testHostFaults([
    ...[0, 2].map((number) => differing(`state ${number}: it is enrolled`, 'pending', state(number))),
    differing('state 1, and never a quote', 'pending', { ...state(1), attestation_count: 0 }),
    differing('state 1 after quotes: the verifier starts anew', 'not-in-reply', state(1)),
    ...[4, 5, 6].map((number) => differing(`state ${number}, with a good quote`, 'the host passes', state(number))),
    differing('state 3 and PASS, and never a quote', 'pending', {
      attestation_count: 0,
      last_received_quote: 0,
      last_successful_attestation: 0,
    }),
    differing('state 3 and PASS, and the last quote is a bad one', 'untrusted', () => quoted(seconds() - 10)),
    differing('state 7: the agent is silent', 'timeout', failedBy('internal.verifier.not_reachable')),
    differing(
      'state 7: the agent is silent, as it was from the first',
      'timeout',
      failedBy('internal.verifier.not_reachable_v'),
    ),
    differing('state 7 for a fault of the agent', 'unknown', failedBy('internal.verifier.exception')),
    differing('state 7, and the last quote is a bad one', 'untrusted', () => ({
      ...failedBy('internal.verifier.exception'),
      ...quoted(seconds() - 10),
    })),
    differing('state 8: it is being deleted', 'unknown', state(8)),
    differing('state 9: a quote is bad', 'untrusted', () => ({ ...state(9), ...quoted(seconds() - 10) })),
    differing('state 9, with quotes of an hour ago', 'untrusted', () => ({
      ...state(9),
      last_received_quote: seconds() - HOUR,
      last_successful_attestation: seconds() - HOUR - 2,
    })),
    differing('state 10: the operator has stopped it', 'unknown', state(10)),
    differing('state 3, with the event and severity of an earlier failure', 'the host passes', {
      severity_level: 6,
      last_event_id: 'pcr_validation.invalid_pcr_11',
    }),
    replacing('state `3.0`', 'the host passes', '"operational_state":3', () => '"operational_state":3.0'),
    replacing(
      'state 3, and in the same record 9',
      'untrusted',
      '"operational_state":3',
      () => '"operational_state":3,"operational_state":9',
    ),
    ...[11, -1, 3.5, '3', true, [3], {}].map((value) =>
      differing(`a state that is \`${JSON.stringify(value)}\``, 'bad-reply', state(value)),
    ),
    replacing('a state of `1e999`', 'bad-reply', '"operational_state":3', () => '"operational_state":1e999'),
    differing('no state', 'bad-reply', without('operational_state')),
    replacing(
      'its state in `__proto__`',
      'bad-reply',
      '"operational_state":3',
      () => '"__proto__":{"operational_state":3}',
    ),
    differing('no count', 'bad-reply', without('attestation_count')),
    differing('a count of `-1`', 'bad-reply', { attestation_count: -1 }),
    differing('a count in a text', 'bad-reply', { attestation_count: '4' }),
    differing('that nothing is checked', 'unchecked', unchecked),
    differing('a policy of IMA, with `true` for 1', 'unchecked', { has_runtime_policy: true }),
    differing('a policy of PCRs with a mask alone', 'unchecked', policy('{"mask": "0x400"}')),
    differing('a policy of a PCR without values', 'unchecked', policy('{"11": [], "mask": "0x800"}')),
    differing('a policy that is not JSON', 'unchecked', policy('{"11": ["')),
    differing('a policy that is an opening bracket, 30,000 times', 'unchecked', policy('['.repeat(30_000))),
    differing('a policy that is an object and no text', 'unchecked', policy({ 11: ['00'] })),
    differing('a policy of a PCR with a value', 'the host passes', policy('{"11": ["00"], "mask": "0x800"}')),
    differing('a policy of the boot log', 'the host passes', { ...unchecked, has_mb_refstate: 1 }),
    differing('PASS of an agent that reports by itself', 'the host passes', push('PASS')),
    differing('PASS of such an agent, with state 1', 'the host passes', push('PASS', state(1))),
    differing('PASS of such an agent, an hour ago', 'timeout', () =>
      push('PASS', { last_successful_attestation: seconds() - HOUR }),
    ),
    differing('FAIL of such an agent', 'untrusted', push('FAIL')),
    differing('TIMEOUT of such an agent', 'timeout', push('TIMEOUT')),
    differing('PENDING of such an agent', 'pending', push('PENDING')),
    ...['pass', 'PASS ', true, null, ['PASS'], 'constructor'].map((value) =>
      differing(`\`${JSON.stringify(value)}\` of such an agent`, 'bad-reply', push(value)),
    ),
    {
      fault: 'what 7.12.1 says, without a status',
      sees: 'the host passes',
      said: (exchange) => {
        const { results } = recorded('agent-7.12.1').body as { results: AgentRecord };
        const at = seconds() - 1;
        const times = { last_received_quote: at, last_successful_attestation: at };
        say(exchange, agentAnswer({ ...results, ...times, has_runtime_policy: 1 }));
      },
    },
    differing('more than is known of records', 'the host passes', { trust_lvl: 'untrusted', results: null }),
    {
      ...differing('a period of which the validity is not twice', 'the host passes', { attestation_period: '60s' }),
      counts: { ShortValidity: 1 },
      cause: /authTimeout must be at least 120/,
    },
  ]);
});

describe('The times in a record', () => {
  const at = (last_successful_attestation: unknown): AgentRecord => ({ last_successful_attestation });
  const bad = (what: string, value: unknown): HostFault => differing(what, 'bad-reply', at(value));
  const instead = (what: string, text: string, sees: HostFault['sees'] = 'bad-reply'): HostFault =>
    replacing(what, sees, /"last_successful_attestation":\d+/, () => `"last_successful_attestation":${text}`);
  testHostFaults([
    differing('the last good quote has none', 'bad-reply', { last_successful_attestation: undefined }),
    differing('the last quote has none', 'bad-reply', { last_received_quote: undefined }),
    differing('`null`: never', 'pending', at(null)),
    differing('0: never', 'pending', at(0)),
    bad('empty', ''),
    bad('a text', '1795738272'),
    bad('a time as OpenAttestation writes it', '2026-11-27T09:12:30Z'),
    bad('an object', {}),
    bad('a list', [1795738272]),
    bad('negative', -1),
    bad('with a fraction', 1795738272.5),
    bad('in milliseconds', 1795738272000_000),
    instead('`1e999`', '1e999'),
    instead('`1e300`', '1e300'),
    replacing(
      'with a fraction of zero',
      'the host passes',
      /("last_successful_attestation":\d+)/,
      (time) => `${time}.0`,
    ),
    differing('of an hour ago, and PASS: they stand still', 'timeout', () => ({
      last_received_quote: seconds() - HOUR,
      last_successful_attestation: seconds() - HOUR,
    })),
    differing('a few seconds ahead', 'the host passes', () => ({
      last_received_quote: seconds() + 5,
      last_successful_attestation: seconds() + 5,
    })),
    differing('an hour ahead', 'bad-vtime', () => ({
      last_received_quote: seconds() + HOUR,
      last_successful_attestation: seconds() + HOUR,
    })),
  ]);
});

describe('The verifier’s clock', () => {
  const byClock = (fault: string, sees: HostFault['sees'], ahead: number): HostFault => ({
    fault,
    sees,
    said: (exchange) => {
      const at = seconds() + ahead;
      say(exchange, agentAnswer(recordAt(at - 1)), dateOf(at));
    },
  });
  const stopped = (fault: string, ahead: number): HostFault => ({
    fault,
    sees: 'timeout',
    said: (exchange) => {
      const at = seconds() + ahead;
      say(exchange, agentAnswer(recordAt(at - HOUR)), dateOf(at));
    },
  });
  const dated = (fault: string, sees: HostFault['sees'], date: () => string | undefined, more = {}): HostFault => ({
    fault,
    sees,
    said: (exchange) => {
      for (const [name, value] of Object.entries(more)) exchange.response.setHeader(name, value as string);
      send(exchange.response, agentAnswer(good()), date());
    },
  });
  testHostFaults([
    byClock('it is an hour ahead', 'the host passes', HOUR),
    byClock('it is an hour behind', 'the host passes', -HOUR),
    stopped('it is an hour ahead, and the last quote came an hour ago', HOUR),
    stopped('it is an hour behind, and the last quote came an hour ago', -HOUR),
    dated('an answer has no `Date`', 'the host passes', () => undefined),
    {
      fault: 'an answer has no `Date`, and the last quote came an hour ago',
      sees: 'timeout',
      said: ({ response }) => send(response, agentAnswer(recordAt(seconds() - HOUR)), undefined),
    },
    dated('a `Date` is a word', 'the host passes', () => 'now'),
    dated('a `Date` is as C writes it', 'the host passes', () => 'Sun Nov  6 08:49:37 1994'),
    dated('a `Date` is as ISO 8601 has it', 'the host passes', () => '1994-11-06T08:49:37Z'),
    dated('a `Date` is as RFC 850 has it', 'the host passes', () => {
      const [day, date, month, year, time] = dateOf(seconds()).split(/,? /);
      return `${day}day, ${date}-${month}-${year?.slice(2)} ${time} GMT`;
    }),
    dated('a `Date` is of the year 9999', 'timeout', () => 'Fri, 31 Dec 9999 23:59:59 GMT'),
    dated('a `Date` is an hour behind the record', 'bad-vtime', () => dateOf(seconds() - HOUR)),
    dated('there are two, and one is of the year 9999', 'the host passes', () => undefined, {
      date: [dateOf(seconds()), 'Fri, 31 Dec 9999 23:59:59 GMT'],
    }),
    {
      fault: 'a cache gives the answer of an hour ago, and says so (`Age`)',
      sees: 'timeout',
      said: ({ response }) => {
        const then = seconds() - HOUR;
        send(response.setHeader('age', String(HOUR)), agentAnswer(recordAt(then - 1)), dateOf(then));
      },
    },
  ]);
});

describe('An answer about all agents, where many hosts are asked for', () => {
  interface BulkFault {
    readonly fault: string;
    readonly bulk: (exchange: Exchange) => void;
    readonly cause: RegExp;
    readonly environment?: Readonly<Record<string, string>>;
  }
  const whole = (fault: string, cause: RegExp, bulk: (exchange: Exchange) => void): BulkFault => ({
    fault,
    cause,
    bulk,
  });
  const like = (fault: string, name: string, cause: RegExp): BulkFault =>
    whole(fault, cause, (exchange) => say(exchange, recorded(name)));
  const text = (fault: string, cause: RegExp, body: () => string): BulkFault =>
    whole(fault, cause, (exchange) => say(exchange, { ...recorded('bulk'), body: body() }));
  test.each<BulkFault>([
    { ...whole('it never comes', /no complete answer/, () => {}), environment: { ATTESTATION_POLL_TIMEOUT: '2' } },
    whole('its connection is reset', /could not be reached/, ({ socket }) => void socket.resetAndDestroy()),
    like('500 with nothing', 'fault', /HTTP status 500 about all agents/),
    like('404 with nothing', 'wrong-path', /HTTP status 404 about all agents/),
    like('405, as 7.12.1 says it without the slash', 'list-without-slash-7.12.1', /HTTP status 405 about all agents/),
    like('403, which the one for a single agent is not', 'bulk-no-common-name', /HTTP status 403 about all agents/),
    like('the ids alone', 'ids-alone', /ids alone/),
    text('it is not JSON', /is not JSON/, () => HTML),
    text('it is cut off', /is not JSON/, () => textOf(bulkAnswer(allGood())).slice(0, -10)),
    text('its `results` are a list', /an object \\?"results/, () => textOf(agentAnswer(Object.entries(allGood())))),
    text('it is too large', /larger than \d+ bytes/, () => textOf(bulkAnswer({ x: 'x'.repeat(MEGABYTE) }))),
    whole('it has 100 MB', /larger than \d+ bytes/, ({ response }) => flood(response.writeHead(200), 100 * MEGABYTE)),
  ])(
    '$fault: each is asked for → the hosts pass',
    async ({ bulk, cause, environment = {} }) => {
      const hosts = newHosts(20);
      const asked = await stage.cloud.environment({ ...stage.variables, ...environment });
      asked.turnClock(stage.clockMs);
      stage.server.behave(answering(mutualTls(), (exchange) => (isBulk(exchange) ? bulk : sayGood)(exchange)));
      const result = await asked.invoke(filterEvent(hosts));
      expect(answerOf(result)).toMatchObject({ hosts, rejected: [] });
      const line = await asked.lastLine();
      expect(line).toMatchObject({ passed: 20, rejected: {}, counts: { BulkFaults: 1 } });
      expect(JSON.stringify(line['faults'])).toMatch(cause);
      await asked.stop();
    },
    MOST_MS,
  );

  /** An environment in which no such answer has failed. */
  let reader: LambdaEnvironment | undefined;

  interface RecordFault {
    readonly fault: string;
    readonly sees: Reason;
    /** What all records are, given the good ones and the id of the sick host's agent. */
    readonly records: (all: AgentRecord, sick: string) => AgentRecord;
  }
  const one = (fault: string, sees: Reason, record: () => unknown): RecordFault => ({
    fault,
    sees,
    records: (all, sick) => ({ ...all, [sick]: record() }),
  });
  test.each<RecordFault>([
    one('one record is a text', 'bad-reply', () => 'nonsense'),
    one('one record is `null`', 'bad-reply', () => null),
    one('one record is a list', 'bad-reply', () => [good()]),
    one('one record has no state', 'bad-reply', () => ({ ...good(), operational_state: undefined })),
    one('one record is of state 9', 'untrusted', () => good({ operational_state: 9 })),
    one('one record says PASS, with times that stand still', 'timeout', () => recordAt(seconds() - HOUR)),
    {
      fault: 'one agent is missing',
      sees: 'unknown',
      records: (all, sick) => Object.fromEntries(Object.entries(all).filter(([id]) => id !== sick)),
    },
    {
      fault: 'one agent’s id is written in upper case',
      sees: 'unknown',
      records: (all, sick) =>
        Object.fromEntries(Object.entries(all).map(([id, of]) => [id === sick ? id.toUpperCase() : id, of])),
    },
    {
      fault: 'one record is in the `__proto__` of all',
      sees: 'unknown',
      records: (all, sick) => {
        const others = Object.entries(all).filter(([id]) => id !== sick);
        return Object.fromEntries([...others, ['__proto__', { [sick]: good() }]]);
      },
    },
  ])('$fault → $sees', async ({ sees, records }) => {
    const hosts = newHosts(20);
    const [sick = '', ...others] = hosts;
    reader ??= await newcomer();
    reader.turnClock(stage.clockMs);
    stage.server.behave(
      answering(mutualTls(), (exchange) => {
        expect(isBulk(exchange)).toBe(true);
        say(exchange, bulkAnswer(records(allGood(), idOf(sick))));
      }),
    );
    const result = await reader.invoke(filterEvent(hosts));
    expect(answerOf(result).hosts).toEqual(others);
    expect(reasonsOf(result)).toEqual({ [sick]: sees });
    expect(await reader.lastLine()).toMatchObject({ passed: 19, rejected: { [sees]: 1 } });
    await expectToPass(reader, hosts);
  });
});

describe('One host among many that are asked for one by one', () => {
  const many = async (
    odd: (exchange: Exchange) => void,
    run: (asked: LambdaEnvironment, hosts: readonly string[]) => Promise<void>,
  ): Promise<void> => {
    const hosts = newHosts(30);
    const asked = await stage.cloud.environment({ ...stage.variables, ATTESTATION_FLEET_SIZE: '1000' });
    asked.turnClock(stage.clockMs);
    stage.server.behave(sayingOf(new Map([[idOf(hosts[3]!), odd]])));
    await run(asked, hosts);
    await expectToPass(asked, hosts);
    await asked.stop();
  };

  test.each<[string, Reason, (exchange: Exchange) => void, Record<string, number>]>([
    ['the body about it is not one', 'bad-reply', ({ response }) => void response.end('{'), { HostFaults: 1 }],
    ['the verifier fails of it', 'refused', (exchange) => say(exchange, recorded('fault')), { HostFaults: 1 }],
  ])('%s → %s, and the others pass', async (_fault, reason, odd, counts) => {
    await many(odd, async (asked, hosts) => {
      const result = await asked.invoke(filterEvent(hosts));
      expect(reasonsOf(result)).toEqual({ [hosts[3]!]: reason });
      expect(await asked.lastLine()).toMatchObject({ passed: 29, rejected: { [reason]: 1 }, counts });
    });
  });

  test.each<[string, (exchange: Exchange) => void]>([
    ['it gets no answer', () => {}],
    ['an answer begins and does not go on', ({ response }) => void response.writeHead(200).write('{"code":')],
  ])('%s → pending, and the others pass in the same answer', async (_fault, odd) => {
    await many(odd, async (asked, hosts) => {
      const begun = performance.now();
      const result = await asked.invoke(filterEvent(hosts));
      const tookMs = performance.now() - begun;
      expect(reasonsOf(result)).toEqual({ [hosts[3]!]: 'pending' });
      const line = await asked.lastLine();
      expect(line).toMatchObject({ passed: 29, rejected: { pending: 1 }, counts: { HostFaults: 1 } });
      expect(JSON.stringify(line['faults'])).toMatch(/no complete answer in its time/);
      // Long before the poll's time is over.
      expect(tookMs).toBeLessThan(3 * lateAfter(0));
    });
  });
});

describe('A verifier that starts anew', () => {
  test('what it said before holds, and nothing of the host is known when that ends → not-in-reply', async () => {
    const host = newHost('compute');
    const ask = async () => reasonsOf(await stage.patient.invoke(filterEvent([host])));
    stage.server.behave(healthy());
    expect(await ask()).toEqual({});
    const restarted = sayingOf(
      new Map([[idOf(host), (exchange: Exchange) => say(exchange, agentAnswer(good({ operational_state: 1 })))]]),
    );
    stage.server.behave(restarted);
    for (const afterMs of [40_000, 15_000]) {
      stage.clockMs += afterMs;
      stage.patient.turnClock(stage.clockMs);
      expect(await ask()).toEqual({});
    }
    stage.clockMs += 10_000;
    stage.patient.turnClock(stage.clockMs);
    expect(await ask()).toEqual({ [host]: 'not-in-reply' });
    await expectToPass(stage.patient, [host]);
  });

  test('it is gone, and what it said before has not ended → the host passes', async () => {
    const host = newHost('compute');
    const ask = async () => reasonsOf(await stage.patient.invoke(filterEvent([host])));
    stage.server.behave(healthy());
    expect(await ask()).toEqual({});
    await stage.server.shut();
    stage.clockMs += 50_000;
    stage.patient.turnClock(stage.clockMs);
    expect(await ask()).toEqual({});
    stage.clockMs += 15_000;
    stage.patient.turnClock(stage.clockMs);
    expect(await ask()).toEqual({ [host]: 'unreachable' });
    await stage.server.open();
    await expectToPass(stage.patient, [host]);
  });
});

describe('Hosts with names that mean something to JavaScript, and are the ids of their agents', () => {
  const HOSTS = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', '__defineGetter__', 'results'];
  const MORE = ['a', 'b', 'c', 'd'];
  const named = async (run: (asked: LambdaEnvironment) => Promise<void>): Promise<void> => {
    const asked = await stage.cloud.environment({ ...stage.variables, ATTESTATION_KEYLIME_AGENT_IDS: 'name' });
    stage.clockMs += LATER_MS;
    asked.turnClock(stage.clockMs);
    for (const id of [...HOSTS, ...MORE]) agents.add(id);
    await run(asked);
    await asked.stop();
  };

  test('none of them has an agent → unknown', () =>
    named(async (asked) => {
      stage.server.behave(talk((exchange) => say(exchange, recorded('unknown-agent')))());
      expect(answerOf(await asked.invoke(filterEvent(HOSTS)))).toMatchObject({
        hosts: [],
        rejected: [{ reason: 'unknown', hosts: HOSTS }],
      });
      await expectToPass(asked, HOSTS);
    }));

  test('one of them is untrusted → untrusted, and the others pass', () =>
    named(async (asked) => {
      const failed = (exchange: Exchange): void => say(exchange, agentAnswer(good({ operational_state: 9 })));
      stage.server.behave(sayingOf(new Map([['__proto__', failed]])));
      const result = await asked.invoke(filterEvent(HOSTS));
      expect(answerOf(result).hosts).toEqual(HOSTS.slice(1));
      expect(answerOf(result).rejected).toMatchObject([{ reason: 'untrusted', hosts: ['__proto__'] }]);
      await expectToPass(asked, HOSTS);
    }));

  test('an answer about all agents has none of them → unknown, and the others pass', () =>
    named(async (asked) => {
      stage.server.behave(talk((exchange) => say(exchange, bulkAnswer(allGood(MORE))))());
      const result = await asked.invoke(filterEvent([...HOSTS, ...MORE]));
      expect(answerOf(result)).toMatchObject({ hosts: MORE, rejected: [{ reason: 'unknown', hosts: HOSTS }] });
      await expectToPass(asked, [...HOSTS, ...MORE]);
    }));

  test('they are such as no agent can have → unknown, and nobody is asked', () =>
    named(async (asked) => {
      const odd = ['a b', '..', 'ü', 'a/b', '?bulk=true', 'x'.repeat(81)];
      stage.server.behave(healthy());
      expect(new Set(Object.values(reasonsOf(await asked.invoke(filterEvent(odd)))))).toEqual(new Set(['unknown']));
      expect(stage.server.connections).toEqual([]);
    }));
});

describe('Around a good answer', () => {
  const expectGood = async (behaviour: Behaviour): Promise<void> => {
    const host = newHost('compute');
    stage.server.behave(behaviour);
    expect(answerOf(await stage.patient.invoke(filterEvent([host]))).hosts).toEqual([host]);
  };
  test('103 goes before it → the host passes', () =>
    expectGood(
      talk((exchange) => {
        exchange.response.socket?.write('HTTP/1.1 103 Early Hints\r\n\r\n');
        sayGood(exchange);
      })(),
    ));
  test('it begins with a byte order mark → the host passes', () =>
    expectGood(
      talk((exchange) => say(exchange, { ...agentAnswer({}), body: `\ufeff${textOf(agentAnswer(good()))}` }))(),
    ));
  test('its status is 201 and its content type a text’s → the host passes', () =>
    expectGood(talk((exchange) => say(exchange, { ...agentAnswer(good()), status: 201, headers: HTML_BODY }))()));
  test('it comes in chunks of a byte → the host passes', () =>
    expectGood(
      talk(({ response }) => {
        response.sendDate = false;
        response.setHeader('date', dateOf(seconds())).writeHead(200, JSON_BODY);
        for (const byte of textOf(agentAnswer(good()))) response.write(byte);
        response.end();
      })(),
    ));
});

describe('The client’s certificate is replaced', () => {
  test('the verifier takes the one before alone, with 403 for others → the hosts pass', async () => {
    const { authority, secretsManager } = stage.cloud;
    const before = secretsManager.secrets.get(SECRET_ID)!;
    const next = await authority.client({ commonName: 'renewed' });
    const old = stage.cloud.client.cert.trim();
    const onlyOld = answering(mutualTls(), (exchange) => {
      const { socket } = exchange.request;
      const pem = socket instanceof TLSSocket ? socket.getPeerX509Certificate()?.toString().trim() : undefined;
      if (pem === old) sayGood(exchange);
      else say(exchange, recorded('no-common-name'));
    });
    const { ca } = JSON.parse(before) as { ca: string };
    secretsManager.secrets.set(SECRET_ID, JSON.stringify({ ...next, ca }));
    const asked = await stage.cloud.environment({ ...stage.variables, ATTESTATION_FLEET_SIZE: '1000' });
    asked.turnClock(stage.clockMs);
    const hosts = newHosts(30);
    stage.server.behave(onlyOld);
    expect(answerOf(await asked.invoke(filterEvent(hosts)))).toMatchObject({ hosts, rejected: [] });
    const { counts } = await asked.lastLine();
    expect(counts).toMatchObject({ CertificateRefusals: expect.any(Number) });
    expect(counts).not.toHaveProperty('HostFaults');
    secretsManager.secrets.delete(SECRET_ID);
    secretsManager.secrets.set(SECRET_ID, before);
    await asked.stop();
  });
});

describe('The clock of an environment', () => {
  test.each([
    ['an hour ahead', 3_600_000],
    ['an hour behind', -3_600_000],
  ])('it is %s when it polls → the host passes, and others see when it really was attested', async (_, wrongMs) => {
    const host = newHost('clock');
    stage.server.behave(healthy());
    const [wrong, right] = [await newcomer(), await newcomer()];
    wrong.setClockWrong(wrongMs);
    expect(answerOf(await wrong.invoke(filterEvent([host]))).hosts).toEqual([host]);
    const line = await wrong.lastLine();
    expect(line['counts']).toHaveProperty('ClockFaults');
    const { ClockDifference } = line['measures'] as { ClockDifference: number };
    expect(Math.abs(ClockDifference - wrongMs)).toBeLessThan(3_000);
    expect(answerOf(await right.invoke(filterEvent([host])))).toMatchObject({ hosts: [host] });
    expect(await right.lastLine()).toMatchObject({ polls: 0, from_table: 1 });
    await Promise.all([wrong.stop(), right.stop()]);
  });

  test('it is an hour behind, and the record stands still since an hour ago → timeout', async () => {
    const host = newHost('clock');
    const frozen = (exchange: Exchange): void => say(exchange, agentAnswer(recordAt(seconds() - HOUR)));
    stage.server.behave(talk(frozen)());
    const wrong = await newcomer();
    wrong.setClockWrong(-3_600_000);
    expect(reasonsOf(await wrong.invoke(filterEvent([host])))).toEqual({ [host]: 'timeout' });
    await wrong.stop();
  });
});
