/** Rule 6 through the bundle: what one host does to a batch, and what a service that hangs does to a fleet. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { OatServerOptions } from '../../infra/local/oat-server.ts';
import { answerWith, Cloud } from '../fakes/cloud.ts';
import { answerOf, filterEvent, reasonsOf } from '../fakes/events.ts';
import type { LambdaEnvironment } from '../fakes/lambda-environment.ts';

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `compute-${i}.example.com`);
const trusted = answerWith(() => 'trusted');
const PAUSE_MS = 6_000;

let cloud: Cloud;
beforeAll(async () => {
  cloud = await Cloud.start();
});
afterAll(() => cloud.close());

async function environmentFor(answer: OatServerOptions['answer']) {
  const oat = await cloud.oat(answer);
  const env = { ...cloud.env(oat, await cloud.table()), ATTESTATION_POLL_TIMEOUT: '0.5' };
  return { oat, environment: await cloud.environment(env) };
}

/** How many hosts pass in each of so many requests, one after the pause that follows the other. */
async function passing(environment: LambdaEnvironment, hosts: readonly string[], requests: number): Promise<number[]> {
  const counts: number[] = [];
  for (let i = 0; i < requests; i++) {
    environment.turnClock(i * PAUSE_MS);
    counts.push(answerOf(await environment.invoke(filterEvent(hosts))).hosts.length);
  }
  return counts;
}

test.each([
  ['one', 1, 8],
  ['five', 5, 12],
])(
  'of 100 hosts %s never answers: the others pass, and go on to pass',
  async (_, count, within) => {
    const hosts = names(100);
    const sick = new Set(hosts.filter((_host, i) => i % 20 === 7).slice(0, count));
    const { environment } = await environmentFor((poll, response) => {
      // A service that waits for the slowest host.
      if (!poll.hosts.some((host) => sick.has(host))) return trusted(poll, response);
    });
    const counts = await passing(environment, hosts, within + 4);
    expect(counts.slice(within - 1)).toEqual(Array(5).fill(100 - count));
  },
  30_000,
);

test('of 41 hosts one makes the service answer 500: 40 pass in the first request', async () => {
  const hosts = names(41);
  const { environment, oat } = await environmentFor((poll, response) => {
    if (!poll.hosts.includes(hosts[30]!)) return trusted(poll, response);
    response.writeHead(500, { 'content-type': 'application/json' }).end('{"error_code":"1","error_message":"no"}');
  });
  const result = await environment.invoke(filterEvent(hosts));
  expect(answerOf(result).hosts).toHaveLength(40);
  expect(reasonsOf(result)).toEqual({ [hosts[30]!]: 'refused' });
  expect(oat.polls.length).toBeLessThanOrEqual(17);
});

test('a service that hangs for two minutes is back: 1,000 hosts are attested with at most 40 polls', async () => {
  const hosts = names(1_000);
  let hangs = false;
  const { environment, oat } = await environmentFor((poll, response) => {
    if (!hangs) return trusted(poll, response);
  });
  await environment.invoke(filterEvent(hosts));
  hangs = true;
  for (let second = 61; second <= 181; second += 4) {
    environment.turnClock(second * 1_000);
    const result = await environment.invoke(filterEvent(hosts));
    expect(answerOf(result).hosts).toEqual([]);
    expect(new Set(Object.values(reasonsOf(result)))).toEqual(new Set(['pending']));
  }
  hangs = false;
  const before = oat.polls.length;
  let passed = 0;
  for (let second = 182; second < 300 && passed < hosts.length; second += 4) {
    environment.turnClock(second * 1_000);
    passed = answerOf(await environment.invoke(filterEvent(hosts))).hosts.length;
  }
  expect(passed).toBe(1_000);
  expect(oat.polls.length - before).toBeLessThanOrEqual(40);
}, 60_000);
