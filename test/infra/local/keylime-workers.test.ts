import { Socket } from 'node:net';
import { expect, test } from '@jest/globals';
import { Workers } from '../../../infra/local/keylime-workers.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';

const COST = { workers: 2, requestMs: () => 5, agentMs: 0.7 };

/** When each of these requests was answered, in milliseconds; a request is a connection's number and how many agents it lists. */
async function answered(requests: readonly [number, number][], cost: typeof COST | null = COST): Promise<number[]> {
  const clock = new VirtualClock();
  const begun = clock.monotonic();
  const workers = new Workers(cost ?? undefined, clock);
  const sockets = requests.map(() => new Socket());
  const ends = requests.map(async ([connection, agents]) => {
    await workers.work(sockets[connection]!, agents);
    return clock.monotonic() - begun;
  });
  return clock.run(Promise.all(ends));
}

test('a worker answers one request after another, and the other one beside it', async () => {
  // prettier-ignore
  expect(await answered([[0, 0], [1, 0], [2, 0], [3, 0], [4, 0]])).toEqual([5, 5, 10, 10, 15]);
});

test('a connection stays with its worker', async () => {
  // prettier-ignore
  expect(await answered([[0, 0], [0, 0], [1, 0], [0, 0]])).toEqual([5, 10, 5, 15]);
});

test('while a worker lists its agents, the other requests of its connections wait', async () => {
  // prettier-ignore
  expect(await answered([[0, 1_000], [1, 0], [2, 0], [3, 0]])).toEqual([705, 5, 710, 10]);
});

test('without a cost nobody waits', async () => {
  // prettier-ignore
  expect(await answered([[0, 1_000], [0, 0]], null)).toEqual([0, 0]);
});
