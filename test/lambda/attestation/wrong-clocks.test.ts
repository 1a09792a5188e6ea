/** Environments whose clocks are wrong, or are set while they work: what passes then, and what others make of it. */
import { beforeEach, describe, expect, test } from '@jest/globals';
import { type Entry, NO_ENTRY } from '../../../lambda/trust/entry.ts';
import { shardKey } from '../../../lambda/table/shard.ts';
import { packShard, unpackShard } from '../../../lambda/table/shard-format.ts';
import { Attester } from '../../fakes/attester.ts';
import { FilterEnvironment, type FilterEnvironmentOptions } from '../../fakes/filter-environment.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';
import { attestation, failedTry, HOUR, SECOND, TIMING } from '../builders.ts';

const HOST = 'compute-1.example.com';
const OTHER = 'compute-2.example.com';
const MINUTE = 60 * SECOND;
const KEY = shardKey(0, 1);

let clock: VirtualClock;
let dynamodb: MemoryDynamoDb;
let attester: Attester;
let level: string;
let wrongMs: number;
let frozenMs: number;

beforeEach(() => {
  clock = new VirtualClock();
  dynamodb = new MemoryDynamoDb(clock);
  attester = new Attester(clock);
  level = 'trusted';
  attester.level = () => level;
  wrongMs = 0;
  frozenMs = 0;
});

function environment(options: Partial<FilterEnvironmentOptions> = {}): FilterEnvironment {
  return new FilterEnvironment({ clock, dynamodb, connection: attester, shardCount: 1, ...options });
}

/** An environment with a clock of its own. */
function wrongEnvironment(options: Partial<FilterEnvironmentOptions> = {}): FilterEnvironment {
  const own = clock.skewed(
    () => wrongMs,
    () => frozenMs,
  );
  return environment({ clock: own, ...options });
}

function storedEntry(host = HOST): Entry | undefined {
  const packed = dynamodb.items.get(KEY)?.['entries']?.B;
  return packed === undefined ? undefined : unpackShard(packed, TIMING).get(host);
}

async function passes(asked: FilterEnvironment, host = HOST, limitMs?: number): Promise<boolean> {
  return (await clock.run(asked.ask([host], 'trusted', limitMs))).passed.length > 0;
}

describe('an environment whose clock is wrong', () => {
  test.each([2 * MINUTE, HOUR])(
    'and %d ms ahead as it polls leaves nothing that passes when its time has come',
    async (aheadMs) => {
      wrongMs = aheadMs;
      const startedAt = clock.now();
      expect(await passes(wrongEnvironment())).toBe(true);
      level = 'untrusted';
      await clock.advance(startedAt + aheadMs - clock.now());
      expect(await passes(environment())).toBe(false);
      expect(attester.polls).toHaveLength(2);
    },
  );

  test.each([10 * SECOND, MINUTE, HOUR])('and %d ms behind passes nobody on what has ended', async (behindMs) => {
    wrongMs = -behindMs;
    const behind = wrongEnvironment();
    expect(await passes(environment())).toBe(true);
    level = 'untrusted';
    const calls = dynamodb.calls.length;
    await clock.advance(MINUTE + SECOND);
    expect(await passes(behind)).toBe(false);
    expect(behind.counted()).toEqual({ Polls: 1, ClockFaults: dynamodb.calls.length - calls });
  });

  test('writes times that others can go by, once each', async () => {
    wrongMs = -HOUR;
    expect(await passes(wrongEnvironment())).toBe(true);
    expect(await passes(environment())).toBe(true);
    expect(attester.polls).toHaveLength(1);
    expect(Math.abs(storedEntry()!.attestation!.receivedAt - attester.polls[0]!.endedAt!)).toBeLessThan(SECOND);
  });

  test('is answered in time although that is set right on the way', async () => {
    attester.latencyMs = MINUTE;
    for (const ms of [HOUR, -HOUR]) {
      wrongMs = ms;
      const startedAt = clock.now();
      expect(await passes(wrongEnvironment(), HOST, 4_000)).toBe(false);
      expect(clock.now() - startedAt).toBeLessThan(4_000);
    }
  });

  test('forgets what it remembers from before that is set right', async () => {
    const denied = { fault: Object.assign(new Error('no'), { name: 'AccessDeniedException' }) };
    const wrong = wrongEnvironment();
    expect(await passes(wrong)).toBe(true);
    await clock.advance(MINUTE + SECOND);
    dynamodb.weather = () => denied;
    wrongMs = 2 * MINUTE;
    const startedAt = clock.now();
    expect(await passes(wrong)).toBe(true);
    dynamodb.weather = () => ({});
    await clock.advance(6 * SECOND);
    await clock.run(wrong.cache.hostsAskedAbout(clock.monotonic() + SECOND));
    dynamodb.weather = () => denied;
    level = 'untrusted';
    await clock.advance(startedAt + 2 * MINUTE - clock.now());
    expect(await passes(wrong)).toBe(false);
  });

  test('takes hosts over that are handed over now, though they seem to have waited for an hour', async () => {
    wrongMs = HOUR;
    const wrong = wrongEnvironment();
    const takeOver = (at: number) => clock.run(wrong.refresher().takeOver({ hosts: [HOST], at }));
    expect(await takeOver(clock.now())).toMatchObject({ attested: 1, renewed: 1 });
    expect(await takeOver(clock.now() - MINUTE)).toMatchObject({ attested: 0, due: 1 });
    expect(attester.polls).toHaveLength(1);
  });

  test('has a purge count from when it was', async () => {
    wrongMs = -HOUR;
    const wrong = wrongEnvironment();
    expect(await passes(environment())).toBe(true);
    await clock.run(wrong.cache.purge([HOST], clock.monotonic() + 10 * SECOND));
    level = 'untrusted';
    expect(await passes(environment())).toBe(false);
  });
});

describe('a clock that is set back', () => {
  test.each([2, 3, 10, 600])('by %d s while a request waits has it wait no longer', async (seconds) => {
    attester.latencyMs = MINUTE;
    const startedAt = clock.now();
    const asked = wrongEnvironment().ask([HOST], 'trusted', 4_000);
    await clock.advance(SECOND);
    wrongMs = -seconds * SECOND;
    await clock.run(asked);
    expect(clock.now() - startedAt).toBeLessThan(4_000);
  });

  test('has memory serve no longer than five seconds after a look', async () => {
    const set = wrongEnvironment({ validityMs: 2 * HOUR });
    expect(await passes(set)).toBe(true);
    wrongMs = HOUR;
    await clock.advance(6 * SECOND);
    expect(await passes(set)).toBe(true);
    wrongMs = 0;
    level = 'untrusted';
    await clock.run(
      environment({ validityMs: 2 * HOUR })
        .refresher()
        .round(),
    );
    await clock.advance(5 * SECOND);
    expect(await passes(set)).toBe(false);
  });

  test('has the table be down for no longer than five seconds', async () => {
    const fault = Object.assign(new Error('no'), { name: 'AccessDeniedException' });
    wrongMs = HOUR;
    const set = wrongEnvironment();
    dynamodb.weather = () => ({ fault });
    await clock.run(set.ask([HOST]));
    dynamodb.weather = () => ({});
    wrongMs = 0;
    await clock.advance(6 * SECOND);
    set.counted();
    await clock.run(set.ask([OTHER]));
    expect(set.counted()).toEqual({ Polls: 1 });
  });
});

describe('a freeze that stops the monotonic clock', () => {
  test('makes neither memory nor an attestation young', async () => {
    const frozen = wrongEnvironment();
    expect(await passes(frozen)).toBe(true);
    level = 'untrusted';
    await clock.advance(MINUTE);
    frozenMs = MINUTE;
    expect(await passes(frozen)).toBe(false);
  });
});

describe('what is found in the table with times that lie ahead', () => {
  /** As an environment leaves it that goes by its own clock alone. */
  function writeAhead(entry: Partial<Entry>): void {
    const item = dynamodb.items.get(KEY)!;
    const entries = unpackShard(item['entries']!.B!, TIMING);
    entries.set(HOST, { ...NO_ENTRY, definite: true, asked: Math.floor(clock.now() / HOUR), ...entry });
    dynamodb.items.set(KEY, { ...item, version: { S: 'of a wrong clock' }, entries: { B: packShard(entries) } });
  }
  const ahead = (): Partial<Entry> => ({
    attestation: attestation({ sentAt: clock.now() + 2 * MINUTE, vtime: clock.now() + 2 * MINUTE }),
    lastTry: failedTry({ sentAt: clock.now() + 2 * MINUTE }),
  });

  test('does not count to whoever has seen it, when its time has come either', async () => {
    const warm = environment();
    await passes(warm, OTHER);
    writeAhead(ahead());
    await clock.advance(6 * SECOND);
    await clock.run(warm.ask([OTHER]));
    level = 'untrusted';
    await clock.advance(2 * MINUTE - 6 * SECOND);
    dynamodb.weather = () => ({ fault: Object.assign(new Error('no'), { name: 'AccessDeniedException' }) });
    expect(await passes(warm)).toBe(false);
  });

  /** Environments that know the shard, and look at it anew after something was written to it that lies ahead. */
  async function lookers(count: number, options: Partial<FilterEnvironmentOptions> = {}): Promise<FilterEnvironment[]> {
    const warm = Array.from({ length: count }, () => wrongEnvironment(options));
    for (const each of warm) await passes(each, OTHER);
    writeAhead(ahead());
    await clock.advance(6 * SECOND);
    dynamodb.calls.splice(0);
    return warm;
  }
  const puts = (): number => dynamodb.calls.filter(({ name }) => name === 'PutItem').length;
  const askAll = async (asked: readonly FilterEnvironment[]): Promise<void> => {
    await clock.run(Promise.all(asked.map((each) => each.ask([OTHER]))));
  };

  test('does not count to anybody when its time has come, once somebody has seen it', async () => {
    const warm = await lookers(1);
    await askAll(warm);
    expect(storedEntry()).toMatchObject({ attestation: undefined, lastTry: undefined, definite: true });
    expect(dynamodb.calls.map(({ name, isStrong }) => [name, isStrong])).toEqual([
      ['BatchGetItem', false],
      ['BatchGetItem', true],
      ['PutItem', true],
    ]);
    level = 'untrusted';
    await clock.advance(2 * MINUTE - 6 * SECOND);
    for (const each of [...warm, environment()]) expect(await passes(each)).toBe(false);
  });

  test('is written away by one of all who see it at once, and by nobody after that', async () => {
    const warm = await lookers(10);
    await askAll(warm);
    const conflicts = warm.map((each) => each.counted()['TableConflicts'] ?? 0);
    expect(puts()).toBe(1 + conflicts.reduce((sum, count) => sum + count));
    expect(Math.max(...conflicts)).toBe(1);
    dynamodb.calls.splice(0);
    await clock.advance(6 * SECOND);
    await askAll(warm);
    expect(puts()).toBe(0);
  });

  test('keeps nobody waiting where the table can be read, and not be written', async () => {
    const [warm] = await lookers(1);
    dynamodb.weather = (name) => (name === 'PutItem' ? { latencyMs: HOUR } : {});
    const startedAt = clock.now();
    expect(await passes(warm!, OTHER)).toBe(true);
    expect(clock.now() - startedAt).toBeLessThan(SECOND);
  });

  test('is left to others where the table refuses the write: no sooner than its next look does anybody try again', async () => {
    const warm = await lookers(1);
    const fault = Object.assign(new Error('no'), { name: 'AccessDeniedException' });
    let tries = 0;
    dynamodb.weather = (name) => (name === 'PutItem' ? { fault: (tries++, fault) } : {});
    for (let i = 0; i < 10; i++) {
      await askAll(warm);
      await clock.advance(SECOND);
    }
    expect(tries).toBe(2);
    dynamodb.weather = () => ({});
    await askAll(warm);
    expect(storedEntry()?.attestation).toBeUndefined();
  });

  test.each([2_400, HOUR])('is never what a right clock wrote, to one that is %d ms behind', async (behindMs) => {
    // Not at a turn of the hour, when it is stamped that hosts are asked about.
    await clock.advance(MINUTE);
    wrongMs = -behindMs;
    const behind = wrongEnvironment();
    await passes(behind, OTHER);
    await clock.advance(6 * SECOND);
    await passes(environment());
    dynamodb.calls.splice(0);
    await passes(behind, OTHER);
    expect(dynamodb.calls.map(({ name }) => name)).toEqual(['BatchGetItem']);
    expect(storedEntry()?.attestation).toBeDefined();
  });

  test('is not what seems to be ahead while the first answer was too slow to set a clock right', async () => {
    await passes(environment());
    dynamodb.calls.splice(0);
    wrongMs = -HOUR;
    let calls = 0;
    dynamodb.weather = () => ({ latencyMs: calls++ === 0 ? 1.5 * SECOND : 1 });
    expect(await passes(wrongEnvironment())).toBe(true);
    expect(puts()).toBe(0);
    expect(attester.polls).toHaveLength(1);
  });

  test('is gone with the first write of the shard, whoever it is for', async () => {
    await passes(environment(), OTHER);
    writeAhead(ahead());
    await clock.advance(MINUTE);
    await passes(environment(), OTHER);
    expect(storedEntry()).toMatchObject({ attestation: undefined, lastTry: undefined, definite: true });
  });

  test('leaves a purge standing', async () => {
    await passes(environment(), OTHER);
    const purgedAt = clock.now();
    writeAhead({ ...ahead(), purgedAt });
    await passes(environment(), 'compute-3.example.com');
    expect(storedEntry()).toMatchObject({ attestation: undefined, purgedAt });
  });
});
