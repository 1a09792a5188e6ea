/** Rule 6 through the bundle, in real time. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { answerWith, Cloud } from '../fakes/cloud.ts';
import { answerOf, filterEvent } from '../fakes/events.ts';

const ASKED_MS = 120_000;
/** How long a fleet may take to find out who hangs. */
const LEARNING_MS = 30_000;

let cloud: Cloud;

beforeAll(async () => {
  cloud = await Cloud.start();
});
afterAll(() => cloud.close());

test('a host that hangs at every second poll costs the 99 others less than 1 %, asked once a second for two minutes', async () => {
  const hosts = Array.from({ length: 100 }, (_, i) => `compute-${i}.example.com`);
  const sick = 'compute-17.example.com';
  const answer = answerWith(() => 'trusted');
  let polls = 0;
  const oat = await cloud.oat((poll, response) => {
    const isHanging = poll.hosts.includes(sick) && ++polls % 2 === 1;
    if (!isHanging) void answer(poll, response);
  });
  const environment = await cloud.environment(cloud.env(oat, await cloud.table()));
  const begun = performance.now();
  const shares: number[] = [];
  for (let askAt = begun; askAt < begun + ASKED_MS; askAt = Math.max(askAt + 1_000, performance.now())) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, askAt - performance.now())));
    const passed = answerOf(await environment.invoke(filterEvent(hosts))).hosts.filter((host) => host !== sick);
    if (askAt - begun > LEARNING_MS) shares.push(passed.length / 99);
  }
  // A request waits for the polls of its hosts, the sick one's too.
  expect(shares.length).toBeGreaterThan(30);
  expect(shares.reduce((a, b) => a + b) / shares.length).toBeGreaterThanOrEqual(0.99);
}, 200_000);
