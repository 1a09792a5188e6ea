import { describe, expect, test } from '@jest/globals';
import { Counts } from '../../../lambda/log/counts.ts';
import type { Change } from '../../../lambda/table/change.ts';
import { ShardTable } from '../../../lambda/table/shard-table.ts';
import { Shards } from '../../../lambda/table/shards.ts';
import type { Entry } from '../../../lambda/trust/entry.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';
import { HOUR, NOW, SECOND, TIMING } from '../builders.ts';

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
  return { hosts: [HOST], apply: (_host, known) => ({ ...known, claim }), until: 12 * SECOND };
}

describe('memory serves', () => {
  test('for five seconds from when a look began, however long it took', async () => {
    const { clock, dynamodb, shard } = setUp();
    dynamodb.weather = (command) => ({ latencyMs: command === 'BatchGetItem' ? SECOND : 0 });
    await clock.run(shard.look('eventual', 12 * SECOND));
    expect(clock.now()).toBe(NOW + 2 * SECOND);
    await clock.advance(3 * SECOND - 1);
    expect(shard.serves()).toBe(true);
    await clock.advance(1);
    expect(shard.serves()).toBe(false);
  });
});

describe('a read that began before a write of the same environment', () => {
  test.each(['eventual', 'strong'] as const)(
    'and comes back after it with the older state does not replace what was written (%s)',
    async (consistency) => {
      const { clock, counts, dynamodb, shard } = setUp();
      await clock.run(shard.write(claiming('first')));
      dynamodb.weather = (command) => (command === 'BatchGetItem' ? { latencyMs: SECOND } : {});
      const look = shard.look(consistency, 12 * SECOND);
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

describe('a write', () => {
  test.each([
    ['ahead', HOUR],
    ['back', -HOUR],
  ])('reads the table first where the clock was set %s since the last look', async (_, ms) => {
    const world = new VirtualClock(NOW);
    let wrongMs = 0;
    const dynamodb = new MemoryDynamoDb(world);
    const parts = { clock: world.skewed(() => wrongMs), counts: new Counts(), timing: TIMING };
    const table = new ShardTable({ ...parts, client: dynamodb.client, name: 'table', shardCount: 1 });
    const shard = new Shards({ ...parts, table }).of(HOST);
    await world.run(shard.write(claiming('first')));
    await world.run(shard.write(claiming('second')));
    const names = (): string[] => dynamodb.calls.splice(0).map(({ name }) => name);
    expect(names()).toEqual(['BatchGetItem', 'PutLayout', 'PutItem', 'PutItem']);
    wrongMs = ms;
    await world.run(shard.write(claiming('third')));
    expect(names()).toEqual(['BatchGetItem', 'PutItem']);
  });

  test('reads it again where the clock was set while that was read', async () => {
    const world = new VirtualClock(NOW);
    let wrongMs = 0;
    const dynamodb = new MemoryDynamoDb(world);
    dynamodb.weather = () => ({ latencyMs: SECOND });
    const parts = { clock: world.skewed(() => wrongMs), counts: new Counts(), timing: TIMING };
    const table = new ShardTable({ ...parts, client: dynamodb.client, name: 'table', shardCount: 1 });
    const shard = new Shards({ ...parts, table }).of(HOST);
    const written = shard.write(claiming('first'));
    await world.advance(SECOND);
    wrongMs = HOUR;
    await world.run(written);
    expect(dynamodb.calls.map(({ name }) => name)).toEqual(['BatchGetItem', 'PutLayout', 'BatchGetItem', 'PutItem']);
  });
});
