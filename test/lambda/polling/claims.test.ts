import { describe, expect, test } from '@jest/globals';
import { Counts } from '../../../lambda/log/counts.ts';
import { type ClaimOptions, Claims } from '../../../lambda/polling/claims.ts';
import { ShardTable } from '../../../lambda/table/shard-table.ts';
import { Shards } from '../../../lambda/table/shards.ts';
import { type Entry, withAttestation } from '../../../lambda/trust/entry.ts';
import { hourOf } from '../../../lambda/trust/time.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';
import { attestation, NOW, SECOND, TIMING } from '../builders.ts';

const LIMIT_MS = 20 * SECOND;
const HOSTS = ['a', 'b', 'c'];
const ALL: ClaimOptions = { isNeeded: () => true, isAsked: () => false, until: 10 * SECOND };

/** Environments that share a table, whose hosts are all in one shard. */
function setUp() {
  const clock = new VirtualClock(NOW);
  const dynamodb = new MemoryDynamoDb(clock);
  const environment = () => {
    const parts = { clock, counts: new Counts(), timing: TIMING };
    const table = new ShardTable({ ...parts, client: dynamodb.client, name: 'table', shardCount: 1 });
    const shard = new Shards({ ...parts, table }).of('a');
    const claims = new Claims(table, LIMIT_MS);
    const take = (options: Partial<ClaimOptions> = {}) => {
      const hosts = HOSTS.map((host) => ({ host, most: 10 }));
      return clock.run(claims.take({ shard, hosts }, { ...ALL, ...options }));
    };
    const write = (outcome: (host: string, entry: Entry, now: number) => Entry) => {
      const places = HOSTS.map((host) => ({ shard, host }));
      return clock.run(claims.write(places, outcome, clock.monotonic() + 10 * SECOND));
    };
    return { claims, shard, take, write, claimOf: (host: string) => shard.stored(host)?.claim };
  };
  return { clock, dynamodb, environment };
}

const hostsOf = ({ targets }: { targets: readonly { host: string }[] }): string[] => targets.map(({ host }) => host);

describe('claiming', () => {
  test('marks hosts as polled by this environment, for the longest poll and the difference of clocks', async () => {
    const { environment } = setUp();
    const { claims, take, claimOf } = environment();
    const claimed = await take();
    expect(hostsOf(claimed)).toEqual(HOSTS);
    expect(claimOf('a')).toMatchObject({ owner: claims.owner, until: claimed.until });
    expect(claimed.until! - claimOf('a')!.since).toBe(LIMIT_MS + 2 * SECOND);
  });

  test('leaves out what others have claimed, until that has ended', async () => {
    const { clock, environment } = setUp();
    await environment().take({ isNeeded: (host) => host === 'b' });
    const second = environment();
    expect(hostsOf(await second.take())).toEqual(['a', 'c']);
    await clock.advance(22 * SECOND);
    expect(hostsOf(await second.take({ until: clock.monotonic() + SECOND }))).toEqual(HOSTS);
  });

  test('leaves out what turns out not to be needed, and stamps what a request asks about', async () => {
    const { environment } = setUp();
    const { take, shard } = environment();
    expect(hostsOf(await take({ isNeeded: (host) => host !== 'c', isAsked: (host) => host === 'a' }))).toEqual([
      'a',
      'b',
    ]);
    expect(HOSTS.map((host) => shard.stored(host)?.asked)).toEqual([hourOf(NOW), 0, undefined]);
  });

  test('says so where the table takes no claim, and does not ask a table that is down', async () => {
    const { dynamodb, environment } = setUp();
    dynamodb.weather = () => ({ fault: Object.assign(new Error('no'), { name: 'AccessDeniedException' }) });
    const { take } = environment();
    expect(await take()).toMatchObject({ until: undefined, targets: HOSTS.map((host) => ({ host })) });
    let calls = 0;
    dynamodb.weather = () => ({ latencyMs: ++calls });
    expect((await take()).until).toBeUndefined();
    expect(calls).toBe(0);
  });
});

describe('a claim whose put was answered by nobody', () => {
  test('is known for one’s own, and written once', async () => {
    const { dynamodb, environment } = setUp();
    let puts = 0;
    dynamodb.weather = (name) => (name === 'PutItem' && ++puts === 1 ? { answerIsLost: true } : {});
    const { claims, take, claimOf } = environment();
    expect(hostsOf(await take())).toEqual(HOSTS);
    expect(claimOf('a')?.owner).toBe(claims.owner);
    // The first, and the SDK's second try of it, which met what the first had written.
    expect(puts).toBe(2);
  });

  test('that was left behind ends where the host is not needed any more', async () => {
    const { environment } = setUp();
    const { take, claimOf } = environment();
    await take();
    await take({ isNeeded: (host) => host !== 'b' });
    expect(HOSTS.map((host) => claimOf(host) === undefined)).toEqual([false, true, false]);
  });
});

describe('writing what came of hosts', () => {
  const said = attestation({ sentAt: NOW, receivedAt: NOW });

  test('ends this environment’s claims, and nobody else’s', async () => {
    const { environment } = setUp();
    const [first, second] = [environment(), environment()];
    await first.take({ isNeeded: (host) => host === 'b' });
    await second.take();
    await second.write((_host, known, now) => withAttestation(known, said, now));
    expect(HOSTS.map((host) => second.claimOf(host)?.owner)).toEqual([undefined, first.claims.owner, undefined]);
    expect(HOSTS.every((host) => second.shard.stored(host)?.attestation !== undefined)).toBe(true);
  });

  test('is at least remembered where the table does not take it', async () => {
    const { clock, dynamodb, environment } = setUp();
    const { write, shard } = environment();
    dynamodb.weather = () => ({ fault: Object.assign(new Error('no'), { name: 'AccessDeniedException' }) });
    await write((_host, known, now) => withAttestation(known, said, now));
    expect(shard.known('a', clock.now()).attestation).toEqual(said);
    expect(dynamodb.items.size).toBe(0);
  });
});
