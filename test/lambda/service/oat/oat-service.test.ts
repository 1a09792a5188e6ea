import { describe, expect, test } from '@jest/globals';
import { inspect } from 'node:util';
import fc from 'fast-check';
import type { AnswerLimits, Connection, HttpAnswer } from '../../../../lambda/service/connection.ts';
import { OatService } from '../../../../lambda/service/oat/oat-service.ts';
import { PollError } from '../../../../lambda/errors.ts';
import { arbitraryBytes, ASKED, unfounded } from './arbitrary-replies.ts';
import { NOW, SECOND, StoppedClock } from '../../builders.ts';

/** Takes a second to answer everything with the same, and remembers what it was asked. */
class FakeConnection implements Pick<Connection, 'post'> {
  readonly posts: { path: string; body: string; limits: AnswerLimits }[] = [];
  readonly #clock: StoppedClock;
  readonly #answer: () => HttpAnswer;

  constructor(clock: StoppedClock, answer: () => HttpAnswer) {
    this.#clock = clock;
    this.#answer = answer;
  }

  post(path: string, body: string, limits: AnswerLimits): Promise<HttpAnswer> {
    this.posts.push({ path, body, limits });
    this.#clock.time += SECOND;
    return new Promise((resolve) => resolve(this.#answer()));
  }
}

const OAT_ENTRY = { host_name: 'compute-1', trust_lvl: 'trusted', vtime: '2026-11-23T16:00:00.500+0000' };
const signal = new AbortController().signal;

function serviceThat(answer: () => HttpAnswer, apiUrl = '/OpenAttestationWebServices/V1.0') {
  const clock = new StoppedClock();
  const connection = new FakeConnection(clock, answer);
  return { service: new OatService(connection, apiUrl, clock), connection };
}

function answers(body: string | Uint8Array, status = 200): () => HttpAnswer {
  return () => ({ status, body: typeof body === 'string' ? Buffer.from(body) : body });
}

async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('a poll', () => {
  test.each([
    [['compute-1'], '{"count":1,"hosts":["compute-1"]}'],
    [['b', 'a', '1'], '{"count":3,"hosts":["b","a","1"]}'],
    [['ü🚀"\\\n', '__proto__'], '{"count":2,"hosts":["ü🚀\\"\\\\\\n","__proto__"]}'],
  ])('of %j sends exactly what every dialect accepts, in one request', async (hosts, body) => {
    const { service, connection } = serviceThat(answers('{"hosts":[]}'));
    await service.doAttestation(hosts, signal);
    expect(connection.posts).toEqual([
      {
        path: '/OpenAttestationWebServices/V1.0/PollHosts',
        body,
        limits: { signal, maxBytes: 64 * 1024 + 16 * 1024 * hosts.length },
      },
    ]);
    expect(connection.posts[0]?.limits.signal).toBe(signal);
  });

  test.each([
    ['', '/PollHosts'],
    ['/AttestationService/resources', '/AttestationService/resources/PollHosts'],
  ])('goes, with the path prefix %j, to %s', async (apiUrl, path) => {
    const { service, connection } = serviceThat(answers('{"hosts":[]}'), apiUrl);
    await service.doAttestation(['compute-1'], signal);
    expect(connection.posts[0]?.path).toBe(path);
  });

  test.each([200, 201, 202, 204, 299])('takes HTTP status %d for success', async (status) => {
    const { service } = serviceThat(answers(JSON.stringify({ hosts: [OAT_ENTRY] }), status));
    const result = await service.doAttestation(['compute-1'], signal);
    expect(result.answers.get('compute-1')?.level).toBe('trusted');
  });

  test('says when it was sent and when its answer was complete, and what that says', async () => {
    const stranger = { ...OAT_ENTRY, host_name: 'somebody-else' };
    const late = { ...OAT_ENTRY, host_name: 'compute-2', vtime: '2026-11-23T16:00:01.001+0000' };
    const { service } = serviceThat(answers(JSON.stringify({ hosts: [OAT_ENTRY, stranger, late] })));
    expect(await service.doAttestation(['compute-1', 'compute-2', 'compute-3'], signal)).toEqual({
      answers: new Map([
        ['compute-1', { level: 'trusted', reason: 'trusted', vtime: NOW + 500 }],
        ['compute-2', { level: 'trusted', reason: 'trusted', vtime: NOW + SECOND + 1 }],
      ]),
      unasked: 1,
      otherCase: 0,
      futureVtimes: 1,
      zonelessVtimes: 0,
      newestVtime: NOW + SECOND + 1,
      sentAt: NOW,
      receivedAt: NOW + SECOND,
    });
  });

  test.each([
    [100, 'unreachable'],
    [199, 'unreachable'],
    [300, 'unreachable'],
    [302, 'unreachable'],
    [400, 'refused'],
    [401, 'unreachable'],
    [403, 'unreachable'],
    [404, 'unreachable'],
    [499, 'unreachable'],
    [500, 'refused'],
    [502, 'unreachable'],
    [503, 'unreachable'],
  ])('of one host with HTTP status %d fails as %s', async (status, reason) => {
    const { service } = serviceThat(answers(JSON.stringify({ hosts: [OAT_ENTRY] }), status));
    const error = await errorOf(service.doAttestation(['compute-1'], signal));
    expect(error).toBeInstanceOf(PollError);
    expect(error).toMatchObject({ reason, message: `the attestation service answered with HTTP status ${status}` });
  });

  test.each([400, 500])('of several hosts with HTTP status %d refuses none of them', async (status) => {
    const { service } = serviceThat(answers('', status));
    const error = await errorOf(service.doAttestation(['compute-1', 'compute-2'], signal));
    expect(error).toBeInstanceOf(PollError);
    expect((error as PollError).reason).not.toBe('refused');
  });

  test.each<[string, string | Uint8Array]>([
    ['nothing', ''],
    ['HTML', '<html>hunter2</html>'],
    ['JSON that was cut off', '{"hosts":[{"host_name":"hunter2"'],
    ['two replies', '{"hosts":[]}{"hosts":["hunter2"]}'],
    ['JSON that is not UTF-8', Buffer.from('{"hosts":[{"host_name":"hunter2\xff"}]}', 'latin1')],
    ['JSON in UTF-16', Buffer.from('{"hosts":[],"x":"hunter2"}', 'utf16le')],
    ['JSON of another shape', '{"error_code":"1006","error_message":"hunter2"}'],
    ['hosts as a map', '{"hosts":{"hunter2":{"trust_lvl":"trusted"}}}'],
  ])('that is answered with %s fails as a bad reply, and shows nothing of it', async (_, body) => {
    const { service } = serviceThat(answers(body));
    const error = await errorOf(service.doAttestation(['compute-1'], signal));
    expect(error).toBeInstanceOf(PollError);
    expect(error).toMatchObject({ reason: 'bad-reply' });
    expect(inspect(error, { depth: Infinity, showHidden: true })).not.toMatch(/hunter2|html|host_name/);
  });

  test('that is answered with any bytes at all fails as a bad reply, or yields only levels that they say', async () => {
    let body: Uint8Array = new Uint8Array();
    const { service } = serviceThat(() => ({ status: 200, body }));
    const seen = { levels: 0, errors: 0 };
    await fc.assert(
      fc.asyncProperty(arbitraryBytes, async (bytes) => {
        body = bytes;
        try {
          const result = await service.doAttestation([...ASKED], signal);
          for (const { level } of result.answers.values()) if (level !== 'unknown') seen.levels++;
          const faults = unfounded(result, JSON.parse(Buffer.from(bytes).toString()));
          if (faults.length > 0) throw new Error(faults.join('; '));
        } catch (error) {
          if (!(error instanceof PollError) || error.reason !== 'bad-reply') throw error;
          seen.errors++;
        }
      }),
      { numRuns: 20_000 },
    );
    // Otherwise nothing was shown.
    expect(seen.levels).toBeGreaterThan(3_000);
    expect(seen.errors).toBeGreaterThan(3_000);
  });

  test('fails as its connection does', async () => {
    const fault = new PollError('pending', 'the poll got no complete answer in its time');
    const { service } = serviceThat(() => {
      throw fault;
    });
    expect(await errorOf(service.doAttestation(['compute-1'], signal))).toBe(fault);
  });
});
