import { describe, expect, test } from '@jest/globals';
import { deflateSync, inflateSync } from 'node:zlib';
import fc from 'fast-check';
import { toAttestation } from '../../../lambda/trust/attestation.ts';
import type { Entry } from '../../../lambda/trust/entry.ts';
import { LEVELS, REASONS, levelOf } from '../../../lambda/trust/reason.ts';
import { hourOf } from '../../../lambda/trust/time.ts';
import { nextVersion, shardCount, shardKey, shardOf } from '../../../lambda/table/shard.ts';
import { packShard, unpackShard } from '../../../lambda/table/shard-format.ts';
import { attestation, entry, failedTry, HOUR, NOW, SECOND, TIMING } from '../builders.ts';

/** DynamoDB's limit on an item, less its names, key and version. */
const ITEM_BYTES = 399_000;

const HOSTILE_NAMES = [
  '__proto__',
  'constructor',
  'toString',
  '"quoted" \\ \'twice\'',
  'line\nbreak\u0000null\u2028separator',
  'überhost.例え.テスト',
  'e\u0301 is not \u00e9',
  'rack-🚀-👩‍👩‍👧',
  'a'.repeat(255),
  '🚀'.repeat(127) + 'x',
  '0',
  ' ',
];

describe('a packed shard', () => {
  test('gives back every host, code point for code point, with its own entry', () => {
    const entries = new Map<string, Entry>(
      HOSTILE_NAMES.map((host, i) => [host, entry({ attestation: attestation({ sentAt: NOW - i }), asked: i })]),
    );
    expect(unpackShard(packShard(entries), TIMING)).toEqual(entries);
  });

  test('gives back an empty shard', () => {
    expect(unpackShard(packShard(new Map()), TIMING)).toEqual(new Map());
  });

  test('gives back all that an entry may have, in every combination', () => {
    const time = fc.integer({ min: 0, max: NOW + HOUR });
    const span = fc.integer({ min: -SECOND, max: HOUR });
    const reason = fc.constantFrom(...REASONS);
    const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
      fc.option(arbitrary, { nil: undefined });
    const entries = fc.dictionary(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
      fc.record({
        attestation: maybe(
          fc.tuple(reason, time, span, maybe(time)).map(([why, sentAt, took, vtime]) => {
            const answer = { level: levelOf(why), reason: why, ...(vtime === undefined ? {} : { vtime }) };
            return toAttestation(answer, sentAt, sentAt + took, TIMING);
          }),
        ),
        lastTry: maybe(
          fc
            .tuple(reason, time, span, span, maybe(time))
            .map(([why, sentAt, took, pauseMs]) => failedTry({ reason: why, sentAt, endedAt: sentAt + took, pauseMs })),
        ),
        company: maybe(
          fc
            .record({
              most: fc.nat(100),
              at: time,
              before: maybe(fc.nat(100)),
              strikes: maybe(fc.integer({ min: 0, max: 8 })),
              struck: maybe(fc.integer({ min: 1, max: 8 })),
            })
            .map(({ struck, ...company }) => (company.strikes === 0 ? { ...company, struck } : company)),
        ),
        claim: maybe(fc.record({ owner: fc.constantFrom('a', 'b', ''), since: time, until: time })),
        purgedAt: maybe(time),
        unknownSince: maybe(time),
        alarmedSince: maybe(time),
        unannounced: maybe(
          fc.array(
            fc
              .tuple(fc.constantFrom(...LEVELS), fc.constantFrom(...LEVELS), reason, time, maybe(time), maybe(time))
              .map(([from, to, why, polledAt, vtime, since]) => ({
                from,
                to,
                reason: why,
                polledAt,
                ...(vtime === undefined ? {} : { vtime }),
                ...(since === undefined ? {} : { unknownSince: since }),
              })),
            { minLength: 1, maxLength: 3 },
          ),
        ),
        definite: fc.boolean(),
        asked: fc.integer({ min: 0, max: hourOf(NOW) }),
      }),
      { maxKeys: 8 },
    );
    fc.assert(
      fc.property(entries, (plain) => {
        const shard = new Map<string, Entry>(Object.entries(plain));
        expect(unpackShard(packShard(shard), TIMING)).toEqual(shard);
      }),
    );
  });

  test('of before there were companies is read as it is', () => {
    const packed = packShard(new Map([['a', entry({ attestation: attestation() })]]));
    const columns = JSON.parse(inflateSync(packed).toString()) as Record<string, unknown>;
    const later = ['companies', 'unknowns', 'announcements'];
    const before = Object.fromEntries(Object.entries(columns).filter(([name]) => !later.includes(name)));
    const old = unpackShard(deflateSync(JSON.stringify(before)), TIMING);
    expect(old).toEqual(unpackShard(packed, TIMING));
  });

  test('has what was refused after strikes as what was refused, for a release that knows no more of it', () => {
    const company = { most: 1, at: NOW, strikes: 0, struck: 5 };
    const columns = JSON.parse(inflateSync(packShard(new Map([['a', entry({ company })]]))).toString()) as {
      strikes: [number, number][];
    };
    expect([...new Map(columns.strikes)]).toEqual([[0, 0]]);
  });

  test('of before it was kept since when a claim holds is read as one of this moment', () => {
    const claim = { owner: 'a', since: NOW, until: NOW + 22 * SECOND };
    const packed = packShard(new Map([['a', entry({ claim })]]));
    expect(unpackShard(packed, TIMING).get('a')?.claim).toEqual(claim);
    const { spans, ...before } = JSON.parse(inflateSync(packed).toString()) as Record<string, unknown>;
    expect(spans).toEqual([22 * SECOND]);
    const old = unpackShard(deflateSync(JSON.stringify(before)), TIMING);
    expect(old.get('a')?.claim).toEqual({ ...claim, since: claim.until });
  });

  test('of a later release that has more reasons has them as unknown, and all else as it is', () => {
    const change = { from: 'trusted', to: 'unknown', reason: 'refused', polledAt: NOW } as const;
    const known = entry({ attestation: attestation(), lastTry: failedTry(), unannounced: [change] });
    const untrusted = entry({ attestation: attestation({ level: 'untrusted', reason: 'untrusted' }) });
    const packed = packShard(new Map(Object.entries({ a: known, b: untrusted })));
    const columns = JSON.parse(inflateSync(packed).toString()) as {
      reason: number[];
      tries: number[][];
      announcements: number[][];
    };
    columns.reason[0] = REASONS.length;
    columns.tries[0]![1] = REASONS.length;
    columns.announcements[0]![3] = REASONS.length + 1;
    const read = unpackShard(deflateSync(JSON.stringify(columns)), TIMING);
    expect(read.get('a')).toMatchObject({
      attestation: { level: 'unknown', reason: 'unknown', sentAt: known.attestation?.sentAt },
      lastTry: { ...known.lastTry, reason: 'unknown' },
      unannounced: [{ ...change, reason: 'unknown' }],
    });
    expect(read.get('b')?.attestation).toEqual(untrusted.attestation);
  });

  test('is judged by the configured validity of the reader, so that a shorter one holds at once', () => {
    const shard = packShard(new Map([['a', entry({ attestation: attestation({ vtime: NOW, receivedAt: NOW }) })]]));
    const shorter = unpackShard(shard, { validityMs: SECOND, recheckMs: SECOND });
    expect(shorter.get('a')?.attestation?.validUntil).toBe(NOW + SECOND);
  });

  test('of a hundred hosts takes a few kilobytes', () => {
    const entries = Array.from({ length: 100 }, (_, i): [string, Entry] => [
      `compute-${i}.example.com`,
      entry({ attestation: attestation({ sentAt: NOW - (i % 7) * SECOND }), definite: true, asked: hourOf(NOW) }),
    ]);
    expect(packShard(new Map(entries)).length).toBeLessThan(2_000);
  });
});

describe('a shard too large for one item', () => {
  /** Names that do not deflate, one for each number. */
  function incompressible(i: number, units = 255): string {
    let name = '';
    for (
      let seed = (i + 1) * 2_654_435_761;
      name.length < units;
      seed = Math.imul(seed ^ (seed >>> 15), 0x2c1b3c6d) + i
    ) {
      name += String.fromCharCode(0x4e00 + (Math.imul(seed, 0x297a2d39) >>> 17));
    }
    return name;
  }

  function shardOfSize(count: number, make: (i: number) => Partial<Entry>): Map<string, Entry> {
    return new Map(Array.from({ length: count }, (_, i) => [incompressible(i), entry(make(i))]));
  }

  test('drops entries never seen trusted or untrusted first, then those not asked about for the longest', () => {
    const kinds = ['indefinite', 'old', 'recent', 'claimed', 'purged'] as const;
    const kindOf = (i: number): (typeof kinds)[number] => kinds[i % kinds.length] as (typeof kinds)[number];
    const make = {
      indefinite: { definite: false, asked: 100 },
      old: { definite: true, asked: 90 },
      recent: { definite: true, asked: 99 },
      claimed: { definite: false, asked: 0, claim: { owner: 'a', since: NOW, until: NOW } },
      purged: { definite: false, asked: 0, purgedAt: NOW },
    };
    const all = shardOfSize(1_000, (i) => make[kindOf(i)]);
    const packed = packShard(all);
    expect(packed.length).toBeLessThan(ITEM_BYTES);
    const left = unpackShard(packed, TIMING);
    const counts = new Map(kinds.map((kind) => [kind, 0]));
    for (const [i, host] of [...all.keys()].entries()) {
      if (left.has(host)) counts.set(kindOf(i), (counts.get(kindOf(i)) ?? 0) + 1);
    }
    expect(counts.get('indefinite')).toBe(0);
    expect(counts.get('old')).toBeGreaterThan(0);
    expect(counts.get('old')).toBeLessThan(200);
    expect([counts.get('recent'), counts.get('claimed'), counts.get('purged')]).toEqual([200, 200, 200]);
    for (const [host, kept] of left) expect(kept).toEqual(all.get(host));
  });

  test('keeps what is to stay where that is most of the bytes and few of the hosts', () => {
    const staying = shardOfSize(600, () => ({ definite: true, asked: 1 }));
    const going = Array.from({ length: 4_000 }, (_, i): [string, Entry] => [incompressible(i, 12), entry()]);
    const left = unpackShard(packShard(new Map([...going, ...staying])), TIMING);
    expect([...staying.keys()].filter((host) => left.has(host)).length).toBe(staying.size);
  });

  test('drops no more than it must', () => {
    const packed = packShard(shardOfSize(1_250, () => ({ definite: true, asked: 1 })));
    expect(packed.length).toBeGreaterThan(ITEM_BYTES * 0.8);
  });

  test('keeps every claim where the claims alone fit', () => {
    const all = shardOfSize(690, (i) =>
      i < 650 ? { claim: { owner: 'a', since: NOW, until: NOW } } : { definite: true, asked: 1 },
    );
    const claimed = new Map([...all].slice(0, 650));
    const claimsIn = (shard: Map<string, Entry>): number => [...shard.values()].filter(({ claim }) => claim).length;
    expect(claimsIn(unpackShard(packShard(claimed), TIMING))).toBe(650);
    expect(claimsIn(unpackShard(packShard(all), TIMING))).toBe(650);
  });

  test('keeps every host with something still to announce, whatever else is known of it', () => {
    const unannounced = [{ from: 'unknown', to: 'trusted', reason: 'trusted', polledAt: NOW }] as const;
    const all = shardOfSize(1_000, (i) => (i < 100 ? { unannounced } : { definite: true, asked: 1 }));
    const left = unpackShard(packShard(all), TIMING);
    expect(left.size).toBeLessThan(all.size);
    expect([...left].filter(([, kept]) => kept.unannounced !== undefined)).toEqual([...all].slice(0, 100));
  });
});

describe('what is no shard of this format', () => {
  const good = packShard(new Map([['a', entry({ attestation: attestation(), lastTry: failedTry() })]]));
  const altered = (change: (columns: Record<string, unknown>) => unknown): Uint8Array =>
    deflateSync(JSON.stringify(change(JSON.parse(inflateSync(good).toString()) as Record<string, unknown>)));

  const padded = (bytes: number): Uint8Array =>
    deflateSync(Buffer.concat([inflateSync(good), Buffer.alloc(bytes, ' ')]), { level: 1 });

  test('does not include a good one with space behind it', () => {
    expect(unpackShard(padded(1_000), TIMING).size).toBe(1);
  });

  test.each<[string, Uint8Array]>([
    ['no bytes', new Uint8Array()],
    ['bytes that are not deflated', Buffer.from('{"hosts":[]}')],
    ['a shard that was cut off', good.subarray(0, good.length - 5)],
    ['a shard with a flipped bit', good.map((byte, i) => (i === good.length - 1 ? byte ^ 1 : byte))],
    ['text that is not JSON', deflateSync('hosts')],
    ['null', altered(() => null)],
    ['an array', altered(() => [])],
    ['an object of another shape', altered(() => ({}))],
    ['a shard without hosts', altered((columns) => ({ ...columns, hosts: undefined }))],
    ['a column that is too short', altered((columns) => ({ ...columns, sentAt: [] }))],
    ['a column with something else in it', altered((columns) => ({ ...columns, receivedAt: ['1'] }))],
    ['a reason of an attestation that is none', altered((columns) => ({ ...columns, reason: ['late'] }))],
    ['a reason of a try that is none', altered((columns) => ({ ...columns, tries: [[0, -1, 0, 0, 0]] }))],
    ['a good one and more space than anybody packed', padded(65 * 1024 * 1024)],
  ])('is refused: %s', (_, packed) => {
    expect(() => unpackShard(packed, TIMING)).toThrow();
  });
});

describe('the shard of a host', () => {
  test.each([
    [1, 1],
    [100, 1],
    [101, 2],
    [1_000, 10],
    [70_000, 700],
  ])('is one of as many as a fleet of %d needs: %d', (fleetSize, count) => {
    expect(shardCount(fleetSize)).toBe(count);
  });

  test('is the same whenever it is asked, and within the count', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 100_000 }), (host, count) => {
        const shard = shardOf(host, count);
        expect(shardOf(host, count)).toBe(shard);
        expect(Number.isInteger(shard) && shard >= 0 && shard < count).toBe(true);
      }),
    );
  });

  test('does not change from release to release', () => {
    const hosts = ['', 'compute-1', 'compute-2.example.com', 'überhost', '🚀'];
    expect(hosts.map((host) => shardOf(host, 700))).toEqual([123, 524, 224, 359, 292]);
  });

  test.each([
    ['numbered names', (i: number) => `compute-${i}.example.com`],
    ['numbered racks and units', (i: number) => `rack${Math.floor(i / 40)}-u${i % 40}`],
    ['addresses', (i: number) => `10.0.${i >> 8}.${i & 255}`],
    ['names that differ at the front alone', (i: number) => `${i.toString(36)}${'-host'.repeat(3)}`],
    ['names in another script', (i: number) => `機械${String.fromCodePoint(0x4e00 + i)}`],
  ])('spreads %s evenly', (_, nameOf) => {
    const count = 100;
    const hosts = 10_000;
    const sizes = new Array<number>(count).fill(0);
    for (let i = 0; i < hosts; i++) sizes[shardOf(nameOf(i), count)]!++;
    const mean = hosts / count;
    const chiSquare = sizes.reduce((sum, size) => sum + (size - mean) ** 2 / mean, 0);
    // 99 degrees of freedom: an even hash stays below 149 in 999 of 1000 cases.
    expect(chiSquare).toBeLessThan(149);
  });

  test('has a key that names the format and the count, so that another count mixes nothing', () => {
    expect(shardKey(3, 10)).toBe('v1/10/3');
    expect(shardKey(3, 11)).not.toBe(shardKey(3, 10));
  });
});

describe('the version of a shard', () => {
  test('tells people which is newer, by the time or by one', () => {
    const first = nextVersion(undefined, NOW, 'a');
    expect(first).toBe(`${NOW}-a`);
    expect(nextVersion(first, NOW, 'b')).toBe(`${NOW + 1}-b`);
    expect(nextVersion(first, NOW + 9, 'c')).toBe(`${NOW + 9}-c`);
  });

  test('does not go back where the clock does', () => {
    expect(nextVersion(`${NOW}-a`, NOW - HOUR, 'b')).toBe(`${NOW + 1}-b`);
  });

  test('never repeats, also not after the item was deleted and made anew in the same millisecond', () => {
    expect(nextVersion(undefined, NOW, 'a')).not.toBe(nextVersion(undefined, NOW, 'b'));
  });
});
