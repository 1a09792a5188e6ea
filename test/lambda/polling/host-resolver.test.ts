/** What the shell does with what `next-steps` decides: that it is done at all, and seen by others. */
import { expect, test } from '@jest/globals';
import { Attester } from '../../fakes/attester.ts';
import { FilterEnvironment } from '../../fakes/filter-environment.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';

test('the claim on a host whose turn did not come ends with the request, and others poll it at once', async () => {
  const clock = new VirtualClock();
  const attester = new Attester(clock);
  const dynamodb = new MemoryDynamoDb(clock);
  const shared = { clock, dynamodb, connection: attester, shardCount: 1, requestCount: 1, parallelPolls: 1 };
  const environment = new FilterEnvironment(shared);
  const other = new FilterEnvironment(shared);

  // Both hosts are claimed, one is polled, and the other waits for its turn.
  attester.latencyMs = 60_000;
  const left = await clock.run(environment.ask(['compute-1', 'compute-2'], 'trusted', 4_000));
  expect(left.passed).toEqual([]);
  expect(attester.polls).toHaveLength(1);
  const [host = ''] = left.hosts.filter((each) => attester.pollsOf(each) === 0);

  attester.latencyMs = 100;
  const asked = await clock.run(other.ask([host], 'trusted', 4_000));
  expect(asked.passed).toEqual([host]);
  expect(asked.invocation.polls).toBe(1);
});
