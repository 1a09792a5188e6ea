/** Rule 6 through the bundle, in real time: what hosts that hang cost the healthy of a fleet that is asked about once a second. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { answerWith, Cloud } from '../fakes/cloud.ts';
import { answerOf, filterEvent } from '../fakes/events.ts';

const SECONDS = 120;
/** How long a fleet may take to find out who hangs. */
const LEARNING_SECONDS = 30;

let cloud: Cloud;

beforeAll(async () => {
  cloud = await Cloud.start();
});
afterAll(() => cloud.close());

/** The share of the healthy that pass, on average over all answers but those of the beginning. */
async function healthyPassing(
  fleet: number,
  sick: ReadonlySet<string>,
  hangs: (poll: number) => boolean,
): Promise<number> {
  const hosts = Array.from({ length: fleet }, (_, i) => `compute-${i}.example.com`);
  const polls = new Map<string, number>();
  const answer = answerWith(() => 'trusted');
  const oat = await cloud.oat((poll, response) => {
    const asked = poll.hosts.filter((host) => sick.has(host));
    for (const host of asked) polls.set(host, (polls.get(host) ?? 0) + 1);
    if (!asked.some((host) => hangs(polls.get(host) ?? 0))) void answer(poll, response);
  });
  const environment = await cloud.environment(cloud.env(oat, await cloud.table()));
  const begun = performance.now();
  const shares: number[] = [];
  for (let next = 0; next < SECONDS * 1_000; next += 1_000) {
    const pauseMs = begun + next - performance.now();
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    const isLearning = performance.now() - begun < LEARNING_SECONDS * 1_000;
    const passed = answerOf(await environment.invoke(filterEvent(hosts))).hosts.filter((host) => !sick.has(host));
    if (!isLearning) shares.push(passed.length / (fleet - sick.size));
    next = Math.max(next, Math.floor((performance.now() - begun) / 1_000) * 1_000);
  }
  expect(shares.length).toBeGreaterThan(2);
  return shares.reduce((a, b) => a + b) / shares.length;
}

test('one host of a hundred that hangs at every second poll', async () => {
  const share = await healthyPassing(100, new Set(['compute-17.example.com']), (poll) => poll % 2 === 1);
  expect(share).toBeGreaterThanOrEqual(0.99);
}, 200_000);
