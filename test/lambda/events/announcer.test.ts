/** Changes of a host's level, from the write that found them to the event bus. */
import { beforeEach, describe, expect, test } from '@jest/globals';
import type { HostAnnouncement } from '../../../lambda/events/event-bus.ts';
import { shardKey, shardOf } from '../../../lambda/table/shard.ts';
import { unpackShard } from '../../../lambda/table/shard-format.ts';
import { toTrustEvent } from '../../../lambda/events/trust-event.ts';
import { Attester } from '../../fakes/attester.ts';
import { FilterEnvironment, type FilterEnvironmentOptions } from '../../fakes/filter-environment.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';
import { HOUR } from '../builders.ts';

const HOSTS = Array.from({ length: 20 }, (_, i) => `compute-${i}.example.com`);
const HOST = HOSTS[3]!;

interface Detail {
  readonly id: string;
  readonly host: string;
  readonly from?: string;
  readonly to?: string;
}

/** An event bus that keeps what it is sent, and may take none of it. */
class Bus {
  readonly events: { readonly type: string; readonly detail: Detail }[] = [];
  takes = true;
  /** Called before anything is taken. */
  onSend: () => void = () => {};

  async send<T extends HostAnnouncement>(announcements: readonly T[]): Promise<T[]> {
    this.onSend();
    await clock.wait(5);
    if (!this.takes) return [];
    for (const { host, announcement } of announcements) {
      const { DetailType, Detail } = toTrustEvent(host, announcement);
      this.events.push({ type: DetailType, detail: JSON.parse(Detail) as Detail });
    }
    return [...announcements];
  }

  /** The different events about a host. */
  of(host: string): Detail[] {
    const about = this.events.map(({ detail }) => detail).filter((detail) => detail.host === host);
    return [...new Map(about.map((detail) => [detail.id, detail])).values()];
  }
}

let clock: VirtualClock;
let dynamodb: MemoryDynamoDb;
let attester: Attester;
let bus: Bus;

beforeEach(() => {
  clock = new VirtualClock();
  dynamodb = new MemoryDynamoDb(clock);
  attester = new Attester(clock);
  attester.latencyMs = 500;
  bus = new Bus();
});

function environment(options: Partial<FilterEnvironmentOptions> = {}): FilterEnvironment {
  return new FilterEnvironment({ clock, dynamodb, connection: attester, bus, ...options });
}

function storedEntry(host: string) {
  const packed = dynamodb.items.get(shardKey(shardOf(host, 4), 4))?.['entries']?.B;
  return packed === undefined ? undefined : unpackShard(packed, { validityMs: 60_000, recheckMs: 5_000 }).get(host);
}

async function turn(level: string): Promise<void> {
  attester.level = (host) => (host === HOST ? level : 'trusted');
  await clock.advance(61_000);
}

describe('a host that turns untrusted', () => {
  test('is announced once, by whom it was found, before the request is answered', async () => {
    const asking = environment();
    await clock.run(asking.ask(HOSTS));
    expect(bus.events).toEqual([]);
    await turn('untrusted');
    await clock.run(asking.ask(HOSTS));
    expect(bus.of(HOST)).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f]{32}$/),
        host: HOST,
        from: 'trusted',
        to: 'untrusted',
        reason: 'untrusted',
        vtime: expect.any(String),
        polled_at: expect.any(String),
      },
    ]);
    expect(bus.events).toHaveLength(1);
    expect(storedEntry(HOST)?.unannounced).toBeUndefined();
  });

  test('gives one change and one id with eight environments that ask and a refresh that runs', async () => {
    const environments = Array.from({ length: 8 }, () => environment());
    await clock.run(Promise.all(environments.map((each) => each.ask(HOSTS))));
    await turn('untrusted');
    const asks = environments.map((each) => each.ask(HOSTS));
    await clock.run(Promise.all([...asks, environment().refresher().round()]));
    await clock.run(Promise.all(environments.map((each) => each.ask(HOSTS))));
    expect(bus.of(HOST)).toHaveLength(1);
    expect(bus.events.every(({ detail }) => detail.host === HOST)).toBe(true);
  });

  test('is announced by the next refresh when its finder crashes between write and send', async () => {
    const dying = environment();
    await clock.run(dying.ask(HOSTS));
    await turn('untrusted');
    bus.onSend = () => {
      dying.crash();
      bus.takes = false;
    };
    void dying.ask(HOSTS);
    while (storedEntry(HOST)?.unannounced === undefined) await clock.advance(100);
    await clock.advance(1_000);
    expect(bus.events).toEqual([]);
    bus.onSend = () => {};
    bus.takes = true;
    await clock.run(environment().refresher().round());
    expect(bus.of(HOST)).toMatchObject([{ from: 'trusted', to: 'untrusted' }]);
    expect(storedEntry(HOST)?.unannounced).toBeUndefined();
  });

  test('and back, while the bus takes nothing, loses neither change, and keeps their order', async () => {
    const asking = environment();
    await clock.run(asking.ask(HOSTS));
    bus.takes = false;
    for (const level of ['untrusted', 'trusted', 'unknown']) {
      await turn(level);
      await clock.run(asking.ask(HOSTS));
    }
    expect(bus.events).toEqual([]);
    bus.takes = true;
    await clock.run(environment().refresher().round());
    expect(bus.of(HOST).map(({ from, to }) => `${from} ${to}`)).toEqual([
      'trusted untrusted',
      'untrusted trusted',
      'trusted unknown',
    ]);
  });

  test('is not announced where there is no bus, and costs no room', async () => {
    const asking = new FilterEnvironment({ clock, dynamodb, connection: attester });
    await clock.run(asking.ask(HOSTS));
    await turn('untrusted');
    await clock.run(asking.ask(HOSTS));
    expect(storedEntry(HOST)?.unannounced).toBeUndefined();
  });

  test('does not delay its request beyond the deadline when the bus hangs', async () => {
    const hanging: Pick<FilterEnvironmentOptions, 'bus'> = { bus: { send: () => new Promise(() => {}) } };
    const asking = environment(hanging);
    await clock.run(asking.ask(HOSTS));
    await turn('untrusted');
    const from = clock.now();
    expect((await clock.run(asking.ask(HOSTS, 'trusted', 4_000))).reasons.get(HOST)).toBe('untrusted');
    expect(clock.now() - from).toBeLessThanOrEqual(4_000);
  });
});

describe('a host that is unknown for longer than the alarm', () => {
  const alarm = { unknownAlarmMs: HOUR };

  test.each([
    ['since the service says so', () => void (attester.level = (host) => (host === HOST ? 'unknown' : 'trusted'))],
    ['since no poll of it succeeds', () => void (attester.statusOf = (hosts) => (hosts.includes(HOST) ? 503 : 200))],
  ])('%s, is told of once', async (_, goWrong) => {
    await clock.run(environment(alarm).ask([HOST]));
    goWrong();
    await clock.advance(61_000);
    for (let i = 0; i < 12; i++) {
      await clock.run(environment(alarm).ask([HOST]));
      await clock.run(environment(alarm).refresher().round());
      const alarms = bus.events.filter(({ type }) => type === 'HostTrustUnknown');
      expect(alarms).toHaveLength(i >= 7 ? 1 : alarms.length);
      if (i < 5) expect(alarms).toHaveLength(0);
      await clock.advance(600_000);
    }
    const [told] = bus.events.filter(({ type }) => type === 'HostTrustUnknown');
    expect(told?.detail).toMatchObject({ host: HOST, unknown_since: expect.any(String) });
  });

  test('is told of again after it was trusted meanwhile', async () => {
    attester.level = () => 'trusted';
    await clock.run(environment(alarm).ask([HOST]));
    for (const level of ['unknown', 'trusted', 'unknown']) {
      attester.level = () => level;
      await clock.advance(61_000);
      for (let i = 0; i < 8; i++) {
        await clock.run(environment(alarm).ask([HOST]));
        await clock.run(environment(alarm).refresher().round());
        await clock.advance(600_000);
      }
    }
    expect(bus.events.filter(({ type }) => type === 'HostTrustUnknown')).toHaveLength(2);
  });
});

describe('an event', () => {
  const announcement = { from: 'trusted', to: 'untrusted', reason: 'untrusted', polledAt: 1_000, vtime: 900 } as const;

  test('says what changed, in times that people read', () => {
    expect(toTrustEvent('compute-1', announcement)).toEqual({
      Source: 'trusted-filter',
      DetailType: 'HostTrustChanged',
      Detail: JSON.stringify({
        id: (JSON.parse(toTrustEvent('compute-1', announcement).Detail) as Detail).id,
        host: 'compute-1',
        from: 'trusted',
        to: 'untrusted',
        reason: 'untrusted',
        vtime: '1970-01-01T00:00:00.900Z',
        polled_at: '1970-01-01T00:00:01.000Z',
      }),
    });
  });

  test('has the same id whoever sends it, and another for everything else', () => {
    const idOf = (host: string, more: object = {}): string =>
      (JSON.parse(toTrustEvent(host, { ...announcement, ...more }).Detail) as Detail).id;
    expect(idOf('compute-1')).toBe(idOf('compute-1'));
    const others = [idOf('compute-2'), idOf('compute-1', { polledAt: 1_001 }), idOf('compute-1', { to: 'unknown' })];
    expect(new Set([idOf('compute-1'), ...others]).size).toBe(4);
  });
});
