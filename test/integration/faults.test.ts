import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type OatServer, reply } from '../../infra/local/oat-server.ts';
import type { Reason } from '../../lambda/trust/reason.ts';
import { answerWith } from '../fakes/cloud.ts';
import { answerOf, filterEvent, reasonsOf } from '../fakes/events.ts';
import { answering, type Behaviour, flood } from '../fakes/faulty-server.ts';
import { connectionFaults, tlsFaults } from './connection-faults.ts';
import { type Fault, FaultStage, HTML, HTML_BODY, JSON_BODY, LATER_MS, MEGABYTE } from './fault-stage.ts';

const stage: FaultStage = new FaultStage({ healthy });
const { answer, expectToPass, mutualTls, newcomer, newHost, raw, talk } = stage;
/** Where redirects lead: a server that vouches for everybody. */
let elsewhere: OatServer;

beforeAll(async () => {
  await stage.start();
  elsewhere = await stage.cloud.oat(answerWith(() => 'trusted'));
});
afterAll(() => stage.close());

function vtime(agoMs = 0): string {
  return new Date(Date.now() + stage.clockMs - agoMs).toISOString();
}

function trusted(host: string): { host_name: string; trust_lvl: string; vtime: string } {
  return { host_name: host, trust_lvl: 'trusted', vtime: vtime() };
}

function healthy(): Behaviour {
  return answering(mutualTls(), ({ hosts, response }) => reply(response, hosts.map(trusted)));
}

const OAT_ERROR = '{"error_code":"1006","error_message":"Internal error"}';

describe('The connection', () => stage.testFaults(connectionFaults(stage)));

describe('TLS', () => stage.testFaults(tlsFaults(stage)));

describe('The HTTP status', () => {
  const toElsewhere = (): Record<string, string> => ({
    location: `https://localhost:${elsewhere.port}/OpenAttestationWebServices/V1.0/PollHosts`,
  });
  const redirect = (status: number): Fault => ({
    fault: `${status} with the address of another server, which would vouch for the host`,
    reason: 'unreachable',
    behaviour: () => answer(status, toElsewhere())(),
    cause: new RegExp(`HTTP status ${status}`),
    end: () => expect(elsewhere.polls).toHaveLength(0),
  });
  const status = (code: number, what: string, headers: Record<string, string> = {}, body = ''): Fault => ({
    fault: `${code} with ${what}`,
    reason: code === 400 || code === 500 ? 'refused' : 'unreachable',
    behaviour: answer(code, headers, body),
    environment: code === 401 || code === 403 ? newcomer : () => stage.patient,
    cause: new RegExp(`HTTP status ${code}`),
  });
  const perfect = (code: number): Fault => ({
    ...status(code, 'a body that vouches for the host'),
    behaviour: talk(({ hosts, response }) => {
      response.writeHead(code, JSON_BODY).end(JSON.stringify({ hosts: hosts.map(trusted) }));
    }),
  });
  stage.testFaults([
    ...[301, 302, 303, 307, 308].map(redirect),
    status(304, 'nothing'),
    status(401, 'JSON', JSON_BODY, OAT_ERROR),
    status(401, 'a challenge', { 'www-authenticate': 'Basic realm="attestation"' }),
    status(403, 'HTML', HTML_BODY, HTML),
    status(404, 'HTML', HTML_BODY, HTML),
    perfect(404),
    status(429, 'a time after which to come back', { 'retry-after': '3600' }),
    status(502, 'HTML', HTML_BODY, HTML),
    status(503, 'HTML', HTML_BODY, HTML),
    status(503, 'JSON', JSON_BODY, OAT_ERROR),
    status(503, 'nothing'),
    perfect(503),
    {
      ...status(503, '100 MB'),
      behaviour: talk(({ response }) => flood(response.writeHead(503), 100 * MEGABYTE)),
      mostBytes: 20 * MEGABYTE,
    },
    status(400, 'JSON, of a host that is polled alone', JSON_BODY, OAT_ERROR),
    status(400, 'nothing, of a host that is polled alone'),
    status(500, 'JSON, of a host that is polled alone', JSON_BODY, OAT_ERROR),
    status(500, 'HTML, of a host that is polled alone', HTML_BODY, HTML),
    perfect(500),
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
  const body = (what: string, text: string | Buffer, cause = /is not JSON$|an array "hosts"/): Fault => ({
    fault: what,
    reason: 'bad-reply',
    behaviour: answer(200, JSON_BODY, text),
    cause,
  });
  const valid = (): string => JSON.stringify({ hosts: [trusted('compute-1.example.com')] });
  stage.testFaults([
    body('it is empty', ''),
    body('it is cut off', valid().slice(0, -10)),
    body('it is HTML', HTML),
    body('it is two replies', valid() + valid()),
    body('it is in UTF-16', Buffer.from(valid(), 'utf16le')),
    body('it has bytes that are no UTF-8', Buffer.from(`{"hosts":[],"name":"\xff"}`, 'latin1')),
    body('it is `null`', 'null'),
    body('it is a text', '"trusted"'),
    body('it is a list without an object around it', `[${JSON.stringify(trusted('compute-1.example.com'))}]`),
    body('it is an error of OpenAttestation', OAT_ERROR),
    body('it is an object without `hosts`', '{}'),
    body('it has `hosts` as a map', '{"hosts":{"compute-1.example.com":{"trust_lvl":"trusted"}}}'),
    body('it has `hosts` in `__proto__`', '{"__proto__":{"hosts":[]}}'),
    {
      ...body('it is gzip, although `identity` was asked for', ''),
      behaviour: answer(200, { ...JSON_BODY, 'content-encoding': 'gzip' }, gzipSync(valid())),
      cause: /encoded although only "identity"/,
    },
    body('it is gzip, and says so nowhere', gzipSync(valid())),
    {
      ...body('it has 100 MB', '', /larger than \d+ bytes/),
      behaviour: talk(({ response }) => {
        flood(response.writeHead(200, { 'content-length': 100 * MEGABYTE }), 100 * MEGABYTE);
      }),
      mostBytes: 20 * MEGABYTE,
    },
    {
      ...body('it has 100 MB, in chunks that do not say how many will come', '', /larger than \d+ bytes/),
      behaviour: talk(({ response }) => flood(response.writeHead(200), 100 * MEGABYTE)),
      mostBytes: 20 * MEGABYTE,
    },
    {
      ...body('it is a good reply behind 1 MB of spaces', '', /larger than \d+ bytes/),
      behaviour: talk(({ hosts, response }) => {
        response.end(' '.repeat(MEGABYTE) + JSON.stringify({ hosts: hosts.map(trusted) }));
      }),
      mostBytes: 2 * MEGABYTE,
    },
  ]);
});

interface HostFault {
  readonly fault: string;
  readonly sees: Reason | 'the host passes';
  /** What the reply says beside the good word on a neighbour. */
  readonly entries: (host: string) => readonly unknown[];
  readonly counts?: Readonly<Record<string, number>>;
  readonly cause?: RegExp;
}

/** A fault that concerns one host of a poll: it is rejected, and its neighbour passes. */
async function expectHostFault({ sees, entries, counts, cause }: HostFault): Promise<void> {
  const sick = newHost('sick');
  const neighbour = newHost('neighbour');
  stage.server.behave(
    answering(mutualTls(), ({ response }) => reply(response, [...entries(sick), trusted(neighbour)])),
  );
  const result = await stage.patient.invoke(filterEvent([sick, neighbour]));
  const passes = sees === 'the host passes';
  expect(result.statusCode).toBe(200);
  expect(answerOf(result).hosts).toEqual(passes ? [sick, neighbour] : [neighbour]);
  expect(reasonsOf(result)).toEqual(passes ? {} : { [sick]: sees });
  const line = await stage.patient.lastLine();
  expect(line['rejected']).toEqual(passes ? {} : { [sees]: 1 });
  if (counts !== undefined) expect(line['counts']).toMatchObject(counts);
  if (cause !== undefined) expect(JSON.stringify(line['faults'])).toMatch(cause);
  await expectToPass(stage.patient, [sick, neighbour]);
}

function testHostFaults(faults: readonly HostFault[]): void {
  test.each([...faults])('$fault → $sees', expectHostFault);
}

describe('What a reply says of one host', () => {
  const without = (member: string) => (host: string) => [
    Object.fromEntries(Object.entries(trusted(host)).filter(([name]) => name !== member)),
  ];
  const level = (trust_lvl: unknown) => (host: string) => [{ ...trusted(host), trust_lvl }];
  testHostFaults([
    { fault: 'nothing', sees: 'not-in-reply', entries: () => [] },
    {
      fault: 'nothing, and something of hosts that nobody asked for',
      sees: 'not-in-reply',
      entries: () => ['stranger-1', 'stranger-2'].map(trusted),
      counts: { UnaskedAnswers: 2 },
    },
    {
      fault: 'its name is written in upper case',
      sees: 'not-in-reply',
      entries: (host) => [trusted(host.toUpperCase())],
      counts: { UnaskedAnswers: 1, NamesInOtherCase: 1 },
      cause: /another case/,
    },
    { fault: 'its name has a space at its end', sees: 'not-in-reply', entries: (host) => [trusted(`${host} `)] },
    { fault: 'its name has a dot at its end', sees: 'not-in-reply', entries: (host) => [trusted(`${host}.`)] },
    {
      fault: 'its name is in a list',
      sees: 'not-in-reply',
      entries: (host) => [{ ...trusted(host), host_name: [host] }],
    },
    { fault: 'no `host_name`', sees: 'not-in-reply', entries: without('host_name'), counts: { UnaskedAnswers: 1 } },
    { fault: 'entries that are `null`, numbers and texts', sees: 'not-in-reply', entries: (host) => [null, 1, host] },
    {
      fault: 'everything, in the `__proto__` of an entry',
      sees: 'not-in-reply',
      entries: (host) => [JSON.parse(`{"__proto__":${JSON.stringify(trusted(host))}}`) as unknown],
    },
    { fault: 'no `trust_lvl`', sees: 'bad-reply', entries: without('trust_lvl') },
    {
      fault: 'its `trust_lvl` in `__proto__`, `constructor` and `toString`',
      sees: 'bad-reply',
      entries: (host) => [
        JSON.parse(
          `{"host_name":"${host}","__proto__":{"trust_lvl":"trusted"},"constructor":{"trust_lvl":"trusted"},` +
            `"toString":"trusted","vtime":"${vtime()}"}`,
        ) as unknown,
      ],
    },
    { fault: '`trust_lvl` in another case', sees: 'bad-reply', entries: level('Trusted') },
    { fault: '`trust_lvl` with a space', sees: 'bad-reply', entries: level('trusted ') },
    { fault: '`trust_lvl` that is `true`', sees: 'bad-reply', entries: level(true) },
    { fault: '`trust_lvl` that is a list', sees: 'bad-reply', entries: level(['trusted']) },
    { fault: '`trust_lvl` that is `constructor`', sees: 'bad-reply', entries: level('constructor') },
    { fault: '`trust_lvl` of `untrusted`', sees: 'untrusted', entries: level('untrusted') },
    { fault: '`trust_lvl` of `unknown`', sees: 'unknown', entries: level('unknown') },
    { fault: '`trust_lvl` of `timeout`', sees: 'timeout', entries: level('timeout') },
    { fault: '`trust_lvl` of `pending`', sees: 'pending', entries: level('pending') },
    {
      fault: 'the same twice',
      sees: 'the host passes',
      entries: (host) => {
        const said = trusted(host);
        return [said, said];
      },
    },
    {
      fault: 'two levels',
      sees: 'bad-reply',
      entries: (host) => [trusted(host), { ...trusted(host), trust_lvl: 'untrusted' }],
    },
    {
      fault: 'one level at two times',
      sees: 'bad-reply',
      entries: (host) => [trusted(host), { ...trusted(host), vtime: vtime(1_000) }],
    },
    {
      fault: 'more than was asked for, in members that nobody knows',
      sees: 'the host passes',
      entries: (host) => [{ ...trusted(host), pcr_values: ['0'.repeat(40)], report_is_valid: 'true', url: null }],
    },
  ]);
});

describe('The time (`vtime`) in what a reply says of one host', () => {
  const time = (fault: string, of: () => unknown): HostFault => ({
    fault,
    sees: 'bad-vtime',
    entries: (host) => [{ ...trusted(host), vtime: of() }],
  });
  const like = (change: (good: string) => string) => () => change(vtime());
  testHostFaults([
    {
      fault: 'missing',
      sees: 'bad-vtime',
      entries: (host) => [{ host_name: host, trust_lvl: 'trusted' }],
    },
    time('`null`', () => null),
    time('empty', () => ''),
    time('a word', () => 'now'),
    time('an object', () => ({ time: vtime() })),
    time('a list', () => [vtime()]),
    time('a negative number', () => -1),
    time('a number with a fraction', () => Date.now() + 0.5),
    time('a number beyond every calendar', () => 1e300),
    time(
      'a date without a time',
      like((good) => good.slice(0, 10)),
    ),
    time(
      'a time with a space for its `T`',
      like((good) => good.replace('T', ' ')),
    ),
    time(
      'a zone by its name',
      like((good) => good.replace('Z', ' CET')),
    ),
    time(
      'a day that the month does not have',
      like((good) => `${good.slice(0, 4)}-02-30${good.slice(10)}`),
    ),
    time(
      'hour 24',
      like((good) => `${good.slice(0, 11)}24:00:00Z`),
    ),
    time('`09/09/12`', () => '09/09/12'),
    time('a C time with a zone by its name', () => 'Tue Dec 3 09:12:30 CET 2013'),
    time(
      'a line break after it',
      like((good) => `${good}\n`),
    ),
    {
      ...time('a number of milliseconds', () => Date.now() + stage.clockMs),
      sees: 'the host passes',
    },
    {
      ...time('a number of milliseconds as a text', () => String(Date.now() + stage.clockMs)),
      sees: 'the host passes',
    },
    {
      ...time(
        'a time without a zone',
        like((good) => good.slice(0, -1)),
      ),
      sees: 'the host passes',
      counts: { ZonelessVtimes: 1 },
    },
    {
      ...time('a C time, which has no zone, with the month for its minutes', () => 'Tue Dec 3 09:12:30 2013'),
      sees: 'the host passes',
      counts: { ZonelessVtimes: 1 },
    },
    {
      ...time('older than the validity', () => vtime(LATER_MS)),
      sees: 'the host passes',
      counts: { LateVtimes: 1 },
    },
    {
      ...time('in the future', () => vtime(-LATER_MS)),
      sees: 'the host passes',
      counts: { FutureVtimes: 1 },
    },
  ]);
});

describe('An answer that is older than the validity when it comes, when it has served', () => {
  test('the next is on its way, longer than the request has time → late', async () => {
    const host = newHost('late');
    const answerLate = (ms: number): Behaviour =>
      answering(mutualTls(), ({ hosts, response }) => {
        const entries = hosts.map((name) => ({ ...trusted(name), vtime: vtime(LATER_MS) }));
        setTimeout(() => reply(response, entries), ms);
      });
    stage.server.behave(answerLate(0));
    expect(answerOf(await stage.patient.invoke(filterEvent([host]))).hosts).toEqual([host]);
    stage.clockMs += 6_000;
    const other = await newcomer();
    stage.patient.turnClock(stage.clockMs);
    stage.server.behave(answerLate(3_000));
    const polling = stage.patient.invoke(filterEvent([host]));
    while (stage.server.connections.length === 0) await new Promise(setImmediate);
    const result = await other.invoke(filterEvent([host]), 1_500);
    expect(answerOf(result).hosts).toEqual([]);
    expect(reasonsOf(result)).toEqual({ [host]: 'late' });
    expect(await other.lastLine()).toMatchObject({ passed: 0, polls: 0, rejected: { late: 1 } });
    expect(answerOf(await polling).hosts).toEqual([host]);
    await expectToPass(other, [host]);
    await other.stop();
  });
});

describe('Hosts with names that mean something to JavaScript', () => {
  const HOSTS = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', '__defineGetter__', 'hosts'];
  test('nothing is said of them → not-in-reply', async () => {
    stage.server.behave(answering(mutualTls(), ({ response }) => reply(response, [])));
    const result = await stage.patient.invoke(filterEvent(HOSTS));
    expect(answerOf(result)).toMatchObject({ hosts: [], rejected: [{ reason: 'not-in-reply', hosts: HOSTS }] });
    await expectToPass(stage.patient, HOSTS);
  });

  test('one of them is untrusted → untrusted, and the others pass', async () => {
    stage.clockMs += LATER_MS;
    stage.patient.turnClock(stage.clockMs);
    stage.server.behave(
      answering(mutualTls(), ({ hosts, response }) => {
        const entries = hosts.map(trusted);
        reply(
          response,
          entries.map((entry) => (entry.host_name === '__proto__' ? { ...entry, trust_lvl: 'untrusted' } : entry)),
        );
      }),
    );
    const result = await stage.patient.invoke(filterEvent(HOSTS));
    expect(answerOf(result).hosts).toEqual(HOSTS.slice(1));
    expect(answerOf(result).rejected).toMatchObject([{ reason: 'untrusted', hosts: ['__proto__'] }]);
    await expectToPass(stage.patient, HOSTS);
  });
});

describe('Around a good answer', () => {
  const expectGood = async (behaviour: Behaviour): Promise<void> => {
    const host = newHost('compute');
    stage.server.behave(behaviour);
    expect(answerOf(await stage.patient.invoke(filterEvent([host]))).hosts).toEqual([host]);
  };
  test('103 goes before it → the host passes', () =>
    expectGood(
      talk(({ hosts, response }) => {
        response.socket?.write('HTTP/1.1 103 Early Hints\r\n\r\n');
        reply(response, hosts.map(trusted));
      })(),
    ));
  test('it begins with a byte order mark → the host passes', () =>
    expectGood(
      talk(({ hosts, response }) => void response.end(`\ufeff${JSON.stringify({ hosts: hosts.map(trusted) })}`))(),
    ));
  test('its status is 201 and its content type a text’s → the host passes', () =>
    expectGood(
      talk(({ hosts, response }) => {
        response.writeHead(201, HTML_BODY).end(JSON.stringify({ hosts: hosts.map(trusted) }));
      })(),
    ));
});

describe('The clock of an environment', () => {
  test.each([
    ['an hour ahead', 3_600_000],
    ['an hour behind', -3_600_000],
  ])('it is %s when it polls → the host passes, and others see when it really was attested', async (_, wrongMs) => {
    const host = newHost('clock');
    stage.server.behave(answering(mutualTls(), ({ hosts, response }) => reply(response, hosts.map(trusted))));
    const [wrong, right] = [await newcomer(), await newcomer()];
    wrong.setClockWrong(wrongMs);
    const { body = '' } = await wrong.invoke(filterEvent([host]));
    expect(body).toContain(host);
    const line = await wrong.lastLine();
    expect(line['counts']).toHaveProperty('ClockFaults');
    const { ClockDifference } = line['measures'] as { ClockDifference: number };
    expect(Math.abs(ClockDifference - wrongMs)).toBeLessThan(3_000);
    const ask = async () => answerOf(await right.invoke(filterEvent([host])));
    expect(await ask()).toMatchObject({ hosts: [host] });
    expect(await right.lastLine()).toMatchObject({ polls: 0, from_table: 1 });
    await Promise.all([wrong.stop(), right.stop()]);
  });

  test('it is an hour behind, and the service says otherwise since the attestation ended → untrusted', async () => {
    const host = newHost('clock');
    let level = 'trusted';
    stage.server.behave(
      answering(mutualTls(), ({ hosts, response }) => {
        const entries = hosts.map((name) => ({ ...trusted(name), trust_lvl: level }));
        reply(response, entries);
      }),
    );
    const [right, wrong] = [await newcomer(), await newcomer()];
    expect(answerOf(await right.invoke(filterEvent([host]))).hosts).toEqual([host]);
    level = 'untrusted';
    wrong.turnClock(stage.clockMs + LATER_MS);
    wrong.setClockWrong(-3_600_000);
    expect(reasonsOf(await wrong.invoke(filterEvent([host])))).toEqual({ [host]: 'untrusted' });
    await Promise.all([right.stop(), wrong.stop()]);
  });
});
