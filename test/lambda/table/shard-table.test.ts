import { describe, expect, test } from '@jest/globals';
import { Counts } from '../../../lambda/log/counts.ts';
import { ShardTable } from '../../../lambda/table/shard-table.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';
import { NOW, SECOND, TIMING } from '../builders.ts';

const NOTHING_YET = { version: undefined, entries: new Map() };

/** A table in a DynamoDB that throttles every call for five seconds. */
function throttledTable() {
  const clock = new VirtualClock(NOW);
  const dynamodb = new MemoryDynamoDb(clock);
  const fault = Object.assign(new Error('slow down'), { name: 'ThrottlingException' });
  dynamodb.weather = () => (clock.now() < NOW + 5 * SECOND ? { fault } : {});
  const parts = { clock, counts: new Counts(), timing: TIMING };
  const table = new ShardTable({ ...parts, client: dynamodb.client, name: 'table', shardCount: 4 });
  return { clock, dynamodb, table };
}

describe('reads that go out together are tried until the last who asked has no more time', () => {
  const SOON = NOW + SECOND;
  const LATE = NOW + 12 * SECOND;

  test.each<[string, ...[index: number, until: number][]]>([
    ['of two shards, the hurried one first', [0, SOON], [1, LATE]],
    ['of two shards, the patient one first', [0, LATE], [1, SOON]],
    ['of one shard, the hurried one first', [0, SOON], [0, LATE]],
    ['of one shard, the patient one first', [0, LATE], [0, SOON]],
  ])('%s', async (_, ...asked) => {
    const { clock, dynamodb, table } = throttledTable();
    const reads = asked.map(([index, until]) => table.read(index, 'strong', until));
    await expect(clock.run(Promise.all(reads))).resolves.toEqual([NOTHING_YET, NOTHING_YET]);
    const keys = new Set(asked.map(([index]) => index)).size;
    expect(dynamodb.calls).toEqual([{ name: 'BatchGetItem', keys, isStrong: true }]);
  });

  test('and no longer', async () => {
    const { clock, table } = throttledTable();
    const reads = [NOW, SOON].map((until, index) => table.read(index, 'strong', until));
    const outcomes = await clock.run(Promise.allSettled(reads));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });
});
