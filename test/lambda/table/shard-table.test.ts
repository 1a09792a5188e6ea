import { describe, expect, test } from '@jest/globals';
import { Counts } from '../../../lambda/log/counts.ts';
import { ShardTable, type StoredShard } from '../../../lambda/table/shard-table.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';
import { entry, NOW, SECOND, TIMING } from '../builders.ts';

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
  const SOON = SECOND;
  const LATE = 12 * SECOND;

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
    expect(dynamodb.calls).toEqual([
      { name: 'BatchGetItem', keys: keys + 1, isStrong: true },
      { name: 'PutLayout', keys: 1, isStrong: true },
    ]);
  });

  test('and no longer', async () => {
    const { clock, table } = throttledTable();
    const reads = [0, SOON].map((until, index) => table.read(index, 'strong', until));
    const outcomes = await clock.run(Promise.allSettled(reads));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });
});

test('a shard that was read over is closed to whoever read it before, and tells of the layout that holds', async () => {
  const clock = new VirtualClock(NOW);
  const dynamodb = new MemoryDynamoDb(clock);
  const parts = { clock, counts: new Counts(), timing: TIMING, client: dynamodb.client, name: 'table' };
  const old = new ShardTable({ ...parts, shardCount: 1 });
  const later = new ShardTable({ ...parts, shardCount: 2, deploymentMs: 0 });
  const until = 12 * SECOND;
  const read = (table: ShardTable): Promise<StoredShard> => clock.run(table.read(0, 'strong', until));
  const write = (table: ShardTable, known: StoredShard, next: string): Promise<boolean> =>
    clock.run(table.put(0, new Map([['a', entry()]]), { known, next }, until));

  const known = await read(old);
  await clock.advance(SECOND);
  const over = await read(later);
  // Whoever writes what was read over has it read anew.
  expect(await write(old, known, 'first')).toBe(true);
  expect(await write(later, over, 'second')).toBe(false);
  expect(await write(later, await read(later), 'second')).toBe(true);
  expect(await write(old, { ...known, version: 'first' }, 'third')).toBe(false);
  expect(old.era).toBe(0);
  await read(old);
  expect([old.era, old.count]).toEqual([1, 2]);
});

describe('a table that did not do what it was asked', () => {
  test.each([
    ['is down for five seconds', 0, 0],
    ['is so for no longer where the clock is set back', -3_600 * SECOND, 0],
    ['is so for no longer where a freeze stops the monotonic clock', 0, 4 * SECOND],
  ])('%s', async (_, backMs, stoppedMs) => {
    const world = new VirtualClock(NOW);
    let [wrongMs, frozenMs] = [0, 0];
    const clock = world.skewed(
      () => wrongMs,
      () => frozenMs,
    );
    const dynamodb = new MemoryDynamoDb(world);
    dynamodb.weather = () => ({ fault: Object.assign(new Error('no'), { name: 'AccessDeniedException' }) });
    const parts = { clock, counts: new Counts(), timing: TIMING };
    const table = new ShardTable({ ...parts, client: dynamodb.client, name: 'table', shardCount: 4 });
    await world.run(expect(table.read(0, 'strong', SECOND)).rejects.toThrow());
    [wrongMs, frozenMs] = [backMs, stoppedMs];
    await world.advance(5 * SECOND - 1);
    expect(table.isDown()).toBe(true);
    await world.advance(1);
    expect(table.isDown()).toBe(false);
  });

  test.each([
    [
      'since the request was signed by a wrong clock is asked again, with the time that it said',
      true,
      ['BatchGetItem', 'BatchGetItem', 'PutLayout'],
    ],
    ['since the signature is wrong is not asked again', undefined, ['BatchGetItem']],
  ])('%s', async (_, clockSkewCorrected, calls) => {
    const clock = new VirtualClock(NOW);
    const dynamodb = new MemoryDynamoDb(clock);
    const fault = Object.assign(new Error('Signature not yet current'), {
      name: 'InvalidSignatureException',
      $metadata: { clockSkewCorrected },
    });
    const asked: string[] = [];
    dynamodb.weather = (name) => (asked.push(name) === 1 ? { fault } : {});
    const parts = { clock, counts: new Counts(), timing: TIMING };
    const table = new ShardTable({ ...parts, client: dynamodb.client, name: 'table', shardCount: 4 });
    await clock.run(Promise.allSettled([table.read(0, 'strong', 12 * SECOND)]));
    expect(asked).toEqual(calls);
  });
});
