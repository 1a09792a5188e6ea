/**
 * Random interleavings of everything that can happen to a table that several environments share, against what must hold
 * whatever happens: rules 1, 3, 4, 5, 6 and 8 of the design. A failure prints the seed and the shortest story that shows it.
 */
import { expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { endsSoon } from '../../../lambda/trust/attestation.ts';
import { isClaimed } from '../../../lambda/trust/claim.ts';
import { type Company, companyNow } from '../../../lambda/trust/company.ts';
import { type Entry, finding, NO_ENTRY } from '../../../lambda/trust/entry.ts';
import { LAYOUT_KEY, readLayout, sharing, type Tenure } from '../../../lambda/table/layout.ts';
import { shardKey, shardOf } from '../../../lambda/table/shard.ts';
import { packShard, unpackShard } from '../../../lambda/table/shard-format.ts';
import { Attester, type SeenPoll } from '../../fakes/attester.ts';
import { type Asked, FilterEnvironment } from '../../fakes/filter-environment.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { lehmer, VirtualClock } from '../../fakes/virtual-clock.ts';

const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 5_000);
const SEED = process.env['PROPERTY_SEED'];
const PATH = process.env['PROPERTY_PATH'];
const HOSTS = ['a', 'b', 'c', 'd', 'ghost'];
/** How many shards there are at first, and after deployments. */
const SHARDS = 2;
const OTHER_SHARDS = [2, 3, 4] as const;
const TIMING = { validityMs: 20_000, recheckMs: 5_000 };
const ENVIRONMENTS = 3;
/** Two clocks that count as right are never further apart than what the design allows for; wrong ones are off by far. */
const MOST_SKEW_MS = 900;
const WRONG_MS = [-3_600_000, -60_000, -10_000, 10_000, 60_000, 3_600_000] as const;
const TOLERANCE_MS = 1_000;
const MEMORY_SERVES_MS = 5_000;
/** How far ahead a wrong clock writes; who reads what is ahead by more than so much has it written away. */
const AHEAD_MS = [20_000, 60_000, 3_600_000] as const;
const SURELY_AHEAD_MS = 10_000;
/** For how long reads of a crashed environment may still come to the table. */
const CRASH_MS = 2_000;
/** After a put, a read may come too early for who has put. */
const PUT_MS = 2_000;

const SERVICES = ['well', 'late', 'down', 'silent about a', 'slow', 'refuses b', 'waits for c', 'hangs'] as const;
type Service = (typeof SERVICES)[number];
/** What becomes of polls with a host in them; now and then is at every second of its polls. */
const SICKNESSES = [
  'none',
  'hangs now and then',
  'hangs in company',
  'refused now and then',
  'refused in company',
] as const;
type Sickness = (typeof SICKNESSES)[number];
const REQUEST_COUNT = 3;
/** How long a host is polled alone at least that hung in company, unless it is answered about in company meanwhile. */
const ALONE_MS = 60_000;
/** One story in so many goes on until the healthy pass, once nothing but hosts ails; and after how many requests they do at the latest. */
const RECOVERS_ONE_IN = 3;
const MOST_REQUESTS = 3;

type Step =
  | {
      readonly do: 'ask';
      readonly by: number;
      readonly hosts: string[];
      readonly trust: 'trusted' | 'untrusted';
      readonly limitMs: number;
    }
  | { readonly do: 'level'; readonly host: string; readonly level: string }
  | { readonly do: 'service'; readonly is: Service }
  | { readonly do: 'sick'; readonly host: string; readonly is: Sickness; readonly status: number }
  | { readonly do: 'clock'; readonly of: number; readonly skewMs: number }
  | { readonly do: 'reads'; readonly staleBy: number }
  | { readonly do: 'puts'; readonly lostAnswers: number }
  | { readonly do: 'slow table'; readonly latencyMs: number }
  | { readonly do: 'crash'; readonly of: number }
  | { readonly do: 'deploy'; readonly of: number; readonly shards: number }
  | { readonly do: 'purge'; readonly by: number; readonly host: string }
  | { readonly do: 'ttl'; readonly shard: number }
  | { readonly do: 'wrong write'; readonly host: string; readonly aheadMs: number };

interface Moment {
  readonly afterMs: number;
  readonly step: Step;
}

const by = fc.nat(ENVIRONMENTS - 1);
const host = fc.constantFrom(...HOSTS);
const ask = fc.record({
  do: fc.constant('ask' as const),
  by,
  hosts: fc.subarray(HOSTS, { minLength: 1 }),
  trust: fc.constantFrom('trusted' as const, 'untrusted' as const),
  limitMs: fc.constantFrom(25_000, 25_000, 4_000),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: ask },
  fc.record({
    do: fc.constant('level' as const),
    host,
    level: fc.constantFrom('trusted', 'untrusted', 'unknown', 'odd'),
  }),
  fc.record({
    do: fc.constant('service' as const),
    is: fc.constantFrom(...SERVICES),
  }),
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('sick' as const),
      host,
      is: fc.constantFrom(...SICKNESSES),
      status: fc.constantFrom(400, 500),
    }),
  },
  fc.record({
    do: fc.constant('clock' as const),
    of: by,
    skewMs: fc.oneof(fc.integer({ min: -MOST_SKEW_MS, max: MOST_SKEW_MS }), fc.constantFrom(...WRONG_MS)),
  }),
  fc.record({ do: fc.constant('reads' as const), staleBy: fc.nat(3) }),
  fc.record({ do: fc.constant('puts' as const), lostAnswers: fc.nat(2) }),
  fc.record({ do: fc.constant('slow table' as const), latencyMs: fc.constantFrom(1, 10, 300) }),
  fc.record({ do: fc.constant('crash' as const), of: by }),
  fc.record({ do: fc.constant('deploy' as const), of: by, shards: fc.constantFrom(...OTHER_SHARDS) }),
  fc.record({ do: fc.constant('purge' as const), by, host }),
  fc.record({ do: fc.constant('ttl' as const), shard: fc.nat(Math.max(...OTHER_SHARDS) - 1) }),
  fc.record({ do: fc.constant('wrong write' as const), host, aheadMs: fc.constantFrom(...AHEAD_MS) }),
);
const story: fc.Arbitrary<Moment[]> = fc.array(
  fc.record({ afterMs: fc.oneof(fc.nat(50), fc.nat(2_000), fc.nat(12_000)), step }),
  { minLength: 2, maxLength: 24 },
);

/** What the attestation service said of a host, as it was. */
interface Said {
  readonly host: string;
  readonly level: string;
  /** How many hosts were polled together. */
  readonly together: number;
  readonly sentAt: number;
  readonly receivedAt: number;
  readonly validUntil: number;
}

/** The world of one story, and what it must never show. */
class World {
  readonly clock = new VirtualClock();
  readonly dynamodb = new MemoryDynamoDb(this.clock);
  readonly attester = new Attester(this.clock);
  readonly environments: FilterEnvironment[] = [];
  readonly said: Said[] = [];
  readonly purges: { readonly host: string; readonly at: number; writtenAt: number }[] = [];
  readonly faults: string[] = [];
  /** What a wrong clock wrote, and whether somebody who lives on has read it while it lay ahead. */
  readonly #wrong = new Map<string, { readonly host: string; readonly at: number; isSeen: boolean }>();
  readonly #put = new Map<string, number>();
  readonly #skews: number[] = [];
  readonly #levels = new Map<string, string>();
  readonly #sick = new Map<string, { readonly is: Sickness; readonly status: number }>();
  readonly #polls = new Map<string, number>();
  /** When of each host a claim was written last, and an attestation or a try, and of which time. */
  readonly #claimed = new Map<string, { readonly since: number | undefined; readonly at: number }>();
  readonly #found = new Map<string, { readonly sentAt: number; readonly at: number }>();
  /** Hosts that hung in company, and when the poll was sent that showed it to everybody. */
  readonly #alone = new Map<string, number>();
  readonly #writes: { readonly host: string; readonly at: number; readonly sentAt: number; readonly level: string }[] =
    [];
  #service: Service = 'well';
  #staleBy = 0;
  #wasStale = false;
  #crashedAt = -Infinity;
  #wasWrong = false;
  #lostAnswers = 0;
  #latencyMs = 1;
  #handedOver = 0;
  #shards = SHARDS;

  constructor() {
    for (let i = 0; i < ENVIRONMENTS; i++) {
      this.#skews.push(0);
      this.environments.push(this.#environment(i));
    }
    this.dynamodb.weather = (name) => ({
      latencyMs: this.#latencyMs,
      staleBy: this.#staleBy,
      answerIsLost: name.startsWith('Put') && this.#lostAnswers-- > 0,
    });
    this.dynamodb.onRead = ({ shard, version }) => {
      const wrong = this.#wrong.get(version?.S ?? '');
      const now = this.clock.now();
      const isLate = now < (this.#put.get(shard?.S ?? '') ?? -Infinity) + PUT_MS;
      const isAhead = wrong !== undefined && wrong.at > now + SURELY_AHEAD_MS;
      // What is read over is of the hosts of one shard, and not of all that are in the item.
      // What was under way as an environment crashed is read by nobody.
      const isOfDead = now < this.#crashedAt + CRASH_MS;
      if (isAhead && !isLate && !isOfDead && this.#keyOf(wrong.host) === shard?.S) wrong.isSeen = true;
    };
    this.dynamodb.onPut = (before, after) => {
      this.#put.set(after['shard']?.S ?? '', this.clock.now());
      if (after['shard']?.S === LAYOUT_KEY) this.#forgetSeen();
      if (!this.#isReadOver(before)) return this.#checkPut(new Map(), entriesOf(after));
      this.#checkPut(entriesOf(before), entriesOf(after));
      // A shard of a layout before is closed as it is.
      if (after['closed'] === undefined) this.#checkBelief(entriesOf(after));
    };
    this.attester.onPoll = (polled) => this.#checkPoll(polled);
    this.attester.vtime = (now) => (this.#service === 'late' ? now - 120_000 : now);
    this.attester.statusOf = (hosts) => {
      if (this.#service === 'refuses b' && hosts.includes('b')) return 500;
      const refused = hosts.find((name) => this.#ails(name, hosts, 'refused'));
      return (refused !== undefined && this.#sick.get(refused)?.status) || 200;
    };
    this.attester.latencyOf = (hosts) => {
      if (hosts.some((name) => this.#ails(name, hosts, 'hangs'))) return 60_000;
      if (this.#service === 'hangs' || (this.#service === 'waits for c' && hosts.includes('c'))) return 60_000;
      return this.#service === 'slow' ? 15_000 : 700;
    };
    this.attester.level = (name) => this.#levels.get(name) ?? 'trusted';
    this.attester.reply = (hosts, entries) => {
      if (this.#service === 'down') throw new Error('connection reset');
      const sentAt = this.attester.polls.findLast((poll) => poll.hosts === hosts)?.sentAt ?? this.clock.now();
      const spoken = this.#service === 'silent about a' ? entries.filter((entry) => entry.host_name !== 'a') : entries;
      const receivedAt = this.clock.now();
      for (const { host_name, trust_lvl, vtime } of spoken) {
        const validUntil = Math.min(Number(vtime), receivedAt) + TIMING.validityMs;
        this.said.push({ host: host_name, level: trust_lvl, together: hosts.length, sentAt, receivedAt, validUntil });
      }
      // Somebody nobody asked for: what is said of it counts for nothing.
      return { hosts: [...spoken, { host_name: 'ghost', trust_lvl: 'trusted', vtime: receivedAt }] };
    };
  }

  /** Whether a host does so to a poll that it is in. */
  #ails(name: string, hosts: readonly string[], what: 'hangs' | 'refused'): boolean {
    const is = this.#sick.get(name)?.is;
    if (is === `${what} in company`) return hosts.length > 1;
    return is === `${what} now and then` && (this.#polls.get(name) ?? 0) % 2 === 1;
  }

  #environment(i: number): FilterEnvironment {
    const clock = this.clock.skewed(() => this.#skews[i] ?? 0);
    const { dynamodb, attester: connection } = this;
    const options = {
      ...TIMING,
      clock,
      dynamodb,
      connection,
      shardCount: this.#shards,
      deploymentMs: 0,
      requestCount: REQUEST_COUNT,
    };
    const handOver = {
      isUp: () => true,
      // Every third event is lost, as when the function that it is for is throttled for long.
      send: async (hosts: readonly string[]): Promise<string[]> => {
        await this.clock.wait(this.#latencyMs);
        if (++this.#handedOver % 3 !== 0) void this.#refresh(hosts);
        return [];
      },
    };
    return new FilterEnvironment({ ...options, handOver });
  }

  /** What a request hands over goes on in an environment of its own. */
  async #refresh(hosts: readonly string[]): Promise<void> {
    await this.clock.wait(20);
    await this.#environment(this.#handedOver % ENVIRONMENTS)
      .refresher()
      .takeOver({ hosts });
  }

  /** Does a step; what it begins goes on beside the next. */
  take(now: Step): Promise<void> | undefined {
    switch (now.do) {
      case 'ask':
        return this.#ask(now);
      case 'level':
        this.#levels.set(now.host, now.level);
        return undefined;
      case 'service':
        this.#service = now.is;
        return undefined;
      case 'sick':
        this.#sick.set(now.host, now);
        return undefined;
      case 'clock':
        this.#skews[now.of] = now.skewMs;
        this.#wasWrong ||= Math.abs(now.skewMs) > MOST_SKEW_MS;
        this.#forgetSeen();
        return undefined;
      case 'reads':
        this.#staleBy = now.staleBy;
        this.#wasStale ||= now.staleBy > 0;
        return undefined;
      case 'puts':
        this.#lostAnswers = now.lostAnswers;
        return undefined;
      case 'slow table':
        this.#latencyMs = now.latencyMs;
        return undefined;
      case 'crash':
        this.environments[now.of]?.crash();
        this.#crashedAt = this.clock.now();
        this.#forgetSeen();
        this.environments[now.of] = this.#environment(now.of);
        return undefined;
      case 'deploy':
        // The first of the new functions; the other environments are kept warm, and what goes on in this one goes on.
        this.#shards = now.shards;
        this.environments[now.of] = this.#environment(now.of);
        return undefined;
      case 'wrong write':
        this.#writeWrongly(now.host, now.aheadMs);
        return undefined;
      case 'purge':
        return this.#purge(now.by, now.host);
      case 'ttl': {
        // TTL deletes what ended long ago, and so nothing that still says something of a host.
        const [layout, ...others] = this.#layouts();
        if (layout === undefined || now.shard >= layout.count) return undefined;
        const earlier = others.flatMap(({ count }) =>
          sharing(now.shard, layout.count, count).map((index) => shardKey(index, count)),
        );
        const keys = [shardKey(now.shard, layout.count), ...earlier];
        const entries = keys.flatMap((key) => [...entriesOf(this.dynamodb.items.get(key)).values()]);
        const before = this.clock.now() - TOLERANCE_MS;
        const matters = (entry: Entry): boolean =>
          isClaimed(entry.claim, before) ||
          entry.purgedAt !== undefined ||
          companyNow(entry.company, before) !== undefined ||
          finding({ ...entry, claim: undefined }, before, before, TIMING) !== undefined;
        if (!entries.some(matters)) for (const key of keys) this.dynamodb.expire(key);
        return undefined;
      }
    }
  }

  async #ask({ by, hosts, trust, limitMs }: Extract<Step, { do: 'ask' }>): Promise<void> {
    const arrivedAt = this.clock.now();
    const asked = await this.environments[by]!.ask(hosts, trust, limitMs);
    this.#checkAnswer(asked, trust, arrivedAt);
    const tookMs = this.clock.now() - arrivedAt;
    if (tookMs > limitMs) this.faults.push(`rule 7: an answer took ${tookMs} ms`);
  }

  /** Who has read something may not get to write, or by a clock that is set meanwhile, or where another layout holds. */
  #forgetSeen(): void {
    for (const wrong of this.#wrong.values()) wrong.isSeen = false;
  }

  #wrongOf(name: string): { readonly at: number; readonly isSeen: boolean }[] {
    return [...this.#wrong.values()].filter(({ host }) => host === name);
  }

  /** What nobody wrote whose clock is set right: an attestation of a time that lies ahead. */
  #writeWrongly(name: string, aheadMs: number): void {
    const key = shardKey(shardOf(name, SHARDS), SHARDS);
    const item = this.dynamodb.items.get(key);
    if (item === undefined) return;
    const entries = entriesOf(item);
    const at = this.clock.now() + aheadMs;
    const attestation = { level: 'trusted', reason: 'trusted', sentAt: at, receivedAt: at, validUntil: at } as const;
    entries.set(name, { ...(entries.get(name) ?? NO_ENTRY), attestation });
    const version = { S: `${item['version']?.S}, wrongly` };
    this.#wrong.set(version.S, { host: name, at, isSeen: false });
    this.dynamodb.items.set(key, { ...item, version, entries: { B: packShard(entries) } });
  }

  async #purge(by: number, host: string): Promise<void> {
    const purge = { host, at: this.clock.now() - TOLERANCE_MS, writtenAt: Infinity };
    this.purges.push(purge);
    if (await this.environments[by]!.cache.purge([host], this.clock.monotonic() + 10_000))
      purge.writtenAt = this.clock.now();
  }

  /** Rules 1 and 4: whoever passes was said to, of late, and nothing newer was there for all to see. */
  #checkAnswer({ passed, invocation }: Asked, trust: string, arrivedAt: number): void {
    const now = this.clock.now();
    expect(invocation).toBeDefined();
    for (const name of passed) {
      const grounds = this.said.filter(
        (said) =>
          said.host === name &&
          said.level === trust &&
          (now < said.validUntil + TOLERANCE_MS || said.receivedAt >= arrivedAt - TIMING.recheckMs - TOLERANCE_MS),
      );
      // What nobody has read until its time has come looks like any other; so does what was written away since, to a read that is
      // stale by as long as it lay ahead.
      if (grounds.length === 0 && this.#wrongOf(name).some(({ isSeen }) => !isSeen || this.#wasStale)) continue;
      if (grounds.length === 0) {
        this.faults.push(`rule 1: ${name} passes for ${trust} on nothing`);
        continue;
      }
      if (this.#wasStale) continue;
      const seenBefore = now - MEMORY_SERVES_MS - 2 * TOLERANCE_MS;
      const isOutdated = (said: Said): boolean =>
        this.#writes.some(
          (write) =>
            write.host === name &&
            write.at < seenBefore &&
            write.sentAt > said.sentAt + 2 * TOLERANCE_MS &&
            write.level !== trust,
        ) ||
        this.purges.some(
          (purge) => purge.host === name && purge.writtenAt < seenBefore && said.sentAt < purge.at - TOLERANCE_MS,
        );
      if (grounds.every(isOutdated)) this.faults.push(`rule 3: ${name} passes for ${trust} on what was overtaken`);
    }
  }

  /** Rule 3 in the table: of each host the newest stays, and no purge is undone. */
  #checkPut(before: Map<string, Entry>, after: Map<string, Entry>): void {
    const now = this.clock.now();
    for (const [name, entry] of after) {
      const { attestation, company, purgedAt } = entry;
      this.#note(name, entry, now);
      // The first write in a layout is by what the host had in the one before.
      const known = before.get(name) ?? this.#storedEntry(name);
      if (company !== undefined) this.#checkCompany(name, known?.company, company);
      if (attestation === undefined) continue;
      const attested = before.get(name)?.attestation;
      const wasWrong = this.#wrongOf(name).some(({ at }) => at === attested?.sentAt);
      if (attested !== undefined && !wasWrong && attested.sentAt > attestation.sentAt)
        this.faults.push(`rule 3: ${name} went back in time`);
      if (purgedAt !== undefined && attestation.sentAt <= purgedAt)
        this.faults.push(`rule 3: ${name} is back after a purge`);
      if (attested?.sentAt !== attestation.sentAt) {
        this.#writes.push({ host: name, at: now, sentAt: attestation.sentAt, level: attestation.level });
      }
    }
    for (const [name, { purgedAt }] of before) {
      if (purgedAt !== undefined && now < purgedAt + 30_000 && (after.get(name)?.purgedAt ?? 0) < purgedAt) {
        this.faults.push(`rule 3: the purge of ${name} is forgotten`);
      }
    }
  }

  /** Notes when what is known of a host was written. */
  #note(name: string, { attestation, claim, lastTry }: Entry, now: number): void {
    const since = claim?.since;
    if (this.#claimed.get(name)?.since !== since) this.#claimed.set(name, { since, at: now });
    const sentAt = Math.max(attestation?.sentAt ?? 0, lastTry?.sentAt ?? 0);
    if (this.#found.get(name)?.sentAt !== sentAt) this.#found.set(name, { sentAt, at: now });
  }

  /** Rule 8: what lies ahead is not written on, so that it does not count later, either. */
  #checkBelief(after: Map<string, Entry>): void {
    for (const [name, { attestation }] of after) {
      if ((attestation?.receivedAt ?? 0) > this.clock.now() + 3 * TOLERANCE_MS)
        this.faults.push(`rule 8: what a wrong clock wrote of ${name} is written on`);
    }
  }

  /** Rule 6: only a host of a poll that failed is polled with fewer others than before. */
  #checkCompany(name: string, before: Company | undefined, company: Company): void {
    const { at, most, strikes, struck } = company;
    // A wrong clock's time says nothing of when it was, and what the service may be to blame for, nothing of the host.
    if (at === before?.at || company.before !== undefined || this.#wasWrong) return;
    // What is but refused is back in company at the first answer.
    if (strikes === 0 && struck === undefined) this.#alone.delete(name);
    if (most >= Math.min(before?.most ?? REQUEST_COUNT, REQUEST_COUNT)) return;
    if (strikes !== 0 && most <= 1) this.#alone.set(name, at);
    const isItsPoll = ({ hosts, sentAt }: SeenPoll): boolean =>
      hosts.includes(name) && (most > 0 || hosts.length === 1) && Math.abs(sentAt - at) <= TOLERANCE_MS;
    const isAnswered = ({ sentAt }: SeenPoll): boolean =>
      this.said.some((said) => said.host === name && said.sentAt === sentAt);
    if (!this.attester.polls.some((poll) => isItsPoll(poll) && !isAnswered(poll)))
      this.faults.push(`rule 6: ${name} is to be polled with fewer others for nothing`);
  }

  /** Rules 5 and 6: a poll needs a reason, and a claim that all can see; who hung in company is polled alone. */
  #checkPoll(polled: string): void {
    const now = this.clock.now();
    const count = (this.#polls.get(polled) ?? 0) + 1;
    this.#polls.set(polled, count);
    const hungAt = this.#alone.get(polled) ?? -Infinity;
    const isAlone = this.attester.polls.at(-1)?.hosts.length === 1;
    const isKnown = !this.#wasStale && !this.#wasWrong && !this.#isAnsweredInCompany(polled, hungAt);
    if (!isAlone && isKnown && now < hungAt + ALONE_MS - TOLERANCE_MS)
      this.faults.push(`rule 6: ${polled} is polled in company ${now - hungAt} ms after it hung in company`);
    const stored = this.#storedEntry(polled);
    if (stored === undefined) return;
    const isWrong = this.#wrongOf(polled).some(({ at }) => at === stored.attestation?.sentAt);
    const entry = isWrong ? { ...stored, attestation: undefined } : stored;
    const later = now + TOLERANCE_MS;
    const isRenewed = entry.attestation !== undefined && endsSoon(entry.attestation, later, TIMING);
    // What is written of an earlier poll comes too late where somebody else has claimed the host already.
    const isLate = (this.#found.get(polled)?.at ?? 0) > (this.#claimed.get(polled)?.at ?? Infinity);
    if (finding({ ...entry, claim: undefined }, later, later, TIMING) !== undefined && !isRenewed && !isLate)
      this.faults.push(`rule 5: ${polled} is polled too early`);
    if (!isClaimed(entry.claim, now - TOLERANCE_MS)) this.faults.push(`rule 5: ${polled} is polled without a claim`);
  }

  #isAnsweredInCompany(name: string, since: number): boolean {
    return this.said.some((said) => said.host === name && said.together > 1 && said.sentAt >= since - TOLERANCE_MS);
  }

  /** The layouts of the table, the one that holds first. */
  #layouts(): Tenure[] {
    const item = this.dynamodb.items.get(LAYOUT_KEY);
    const layout = item && readLayout(item).layout;
    return layout === undefined ? [] : [layout, ...layout.before];
  }

  /** The key of a host's shard in the layout that holds. */
  #keyOf(name: string): string | undefined {
    const [layout] = this.#layouts();
    return layout && shardKey(shardOf(name, layout.count), layout.count);
  }

  /** Whether a shard is of a layout that is still read over. Here functions are replaced in no time, so that one may soon be too far back. */
  #isReadOver(item: Record<string, { N?: string }> | undefined): boolean {
    return this.#layouts().some(({ since }) => String(since) === item?.['since']?.N);
  }

  /** What the table says of a host, in the latest layout in which its shard was written. */
  #storedEntry(name: string): Entry | undefined {
    const items = this.#layouts().map(({ count, since }) => {
      const item = this.dynamodb.items.get(shardKey(shardOf(name, count), count));
      return item !== undefined && Number(item['since']?.N) === since ? item : undefined;
    });
    return entriesOf(items.find((item) => item !== undefined)).get(name);
  }

  /** Rule 6: once nothing but hosts ails, the healthy pass soon. */
  async recover(): Promise<void> {
    this.#service = 'well';
    this.#skews.fill(0);
    [this.#staleBy, this.#lostAnswers, this.#latencyMs] = [0, 0, 1];
    const isHealthy = (name: string): boolean => (this.#sick.get(name)?.is ?? 'none') === 'none';
    const hosts = HOSTS.filter((name) => name !== 'ghost');
    const healthy = hosts.filter((name) => isHealthy(name) && (this.#levels.get(name) ?? 'trusted') === 'trusted');
    let passed: readonly string[] = [];
    for (let i = 0; i < MOST_REQUESTS && !healthy.every((name) => passed.includes(name)); i++) {
      ({ passed } = await this.clock.run(this.environments[0]!.ask(hosts)));
      await this.clock.advance(TIMING.validityMs);
    }
    for (const name of healthy.filter((each) => !passed.includes(each)))
      this.faults.push(`rule 6: ${name} is well, and does not pass`);
  }

  /** Rule 8: what somebody has seen to lie ahead is written away. */
  #checkWrong(): void {
    for (const { host: name, at, isSeen } of this.#wrong.values())
      if (isSeen && this.#storedEntry(name)?.attestation?.sentAt === at)
        this.faults.push(`rule 8: what a wrong clock wrote of ${name} is left for its time to come`);
  }

  check(): void {
    this.#checkWrong();
    if (this.attester.mostAtOnce > 1) this.faults.push(`rule 5: ${this.attester.mostAtOnce} polls of a host at once`);
    expect(this.faults).toEqual([]);
  }
}

function entriesOf(
  item: { entries?: { B?: Uint8Array } } | Record<string, { B?: Uint8Array }> | undefined,
): Map<string, Entry> {
  const packed = item?.['entries']?.B;
  return packed === undefined ? new Map<string, Entry>() : unpackShard(packed, TIMING);
}

test(`rules 1, 3, 4, 5, 6 and 8 hold in ${RUNS} random stories`, async () => {
  await fc.assert(
    fc.asyncProperty(story, fc.nat(RECOVERS_ONE_IN - 1), async (moments, ending) => {
      // Jitter is a part of the story too, and the same each time that it is told.
      const random = jest.spyOn(Math, 'random').mockImplementation(lehmer());
      const world = new World();
      for (const { afterMs, step: next } of moments) {
        await world.clock.advance(afterMs);
        void world.take(next);
      }
      // Long enough for every answer; what a crashed environment was asked is never answered.
      await world.clock.advance(60_000);
      if (ending === 0) await world.recover();
      random.mockRestore();
      world.check();
    }),
    {
      numRuns: RUNS,
      ...(SEED === undefined ? {} : { seed: Number(SEED) }),
      ...(PATH === undefined ? {} : { path: PATH }),
    },
  );
}, 600_000);
