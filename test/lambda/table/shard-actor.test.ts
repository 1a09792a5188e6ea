import { describe, expect, test } from '@jest/globals';
import { Counts } from '../../../lambda/log/counts.ts';
import type { Change } from '../../../lambda/table/shard-actor.ts';
import { ShardTable } from '../../../lambda/table/shard-table.ts';
import { Shards } from '../../../lambda/table/shards.ts';
import type { Entry } from '../../../lambda/trust/entry.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';
import { NOW, SECOND, TIMING } from '../builders.ts';

const HOST = 'compute-1';

function setUp() {
  const clock = new VirtualClock(NOW);
  const counts = new Counts();
  const dynamodb = new MemoryDynamoDb(clock);
  const parts = { clock, counts, timing: TIMING };
  const table = new ShardTable({ ...parts, client: dynamodb.client, name: 'table', shardCount: 1 });
  const shard = new Shards({ ...parts, table }).of(HOST);
  return { clock, counts, dynamodb, shard };
}

function claiming(owner: string): Change {
  const claim: Entry['claim'] = { owner, since: NOW, until: NOW + 20 * SECOND };
  return { hosts: [HOST], apply: (_host, known) => ({ ...known, claim }), until: NOW + 12 * SECOND };
}

describe('memory serves', () => {
  test('for five seconds from when a look began, however long it took', async () => {
    const { clock, dynamodb, shard } = setUp();
    dynamodb.weather = (command) => ({ latencyMs: command === 'BatchGetItem' ? SECOND : 0 });
    await clock.run(shard.look('eventual', NOW + 12 * SECOND));
    expect(clock.now()).toBe(NOW + 2 * SECOND);
    expect(shard.serves(NOW + 5 * SECOND - 1)).toBe(true);
    expect(shard.serves(NOW + 5 * SECOND)).toBe(false);
  });
});

describe('a read that began before a write of the same environment', () => {
  test.each(['eventual', 'strong'] as const)(
    'and comes back after it with the older state does not replace what was written (%s)',
    async (consistency) => {
      const { clock, counts, dynamodb, shard } = setUp();
      await clock.run(shard.write(claiming('first')));
      dynamodb.weather = (command) => (command === 'BatchGetItem' ? { latencyMs: SECOND } : {});
      const look = shard.look(consistency, NOW + 12 * SECOND);
      // It was read by now, and its answer is on the way.
      await clock.advance(1.5 * SECOND);
      await clock.run(shard.write(claiming('second')));
      expect(clock.now()).toBeLessThan(NOW + 2 * SECOND);
      await clock.run(look);
      expect(shard.stored(HOST)?.claim?.owner).toBe('second');
      await clock.run(shard.write(claiming('third')));
      expect(shard.stored(HOST)?.claim?.owner).toBe('third');
      // Had the older state come back, the third write would have met the second's version.
      expect(counts.take()).toEqual({ values: new Map(), faults: [] });
    },
  );
});
