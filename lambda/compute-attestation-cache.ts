import { waitUntil } from './clock.ts';
import { type Entry, type Finding, finding, merge, purged } from './entry.ts';
import { HostResolver, type HostResolverOptions } from './host-resolver.ts';
import { shardOf } from './shard.ts';
import { type Cell, ShardActor } from './shard-actor.ts';
import { type Invocation, Waiter } from './waiter.ts';

/** What the cache says of a host; `pending` where no answer came in time, `unknown` for a name that is not polled. */
export type HostAttestation = Finding | { readonly level: 'unknown'; readonly reason: 'pending' | 'unknown' };

export interface ComputeAttestationCacheOptions extends Omit<HostResolverOptions, 'memory'> {
  readonly shardCount: number;
  /** Names that do not match are unknown without a poll. */
  readonly hostPattern?: RegExp | undefined;
}

const PENDING: HostAttestation = { level: 'unknown', reason: 'pending' };
const NOT_A_HOST: HostAttestation = { level: 'unknown', reason: 'unknown' };
/** What is kept of the time for an answer to render it. */
const RENDER_MS = 100;

/**
 * The attestations of hosts: from memory, then from DynamoDB, then from polls for all that is not valid. All requests of
 * an environment share one such cache, and with it the reads, claims and polls that are under way.
 */
export class ComputeAttestationCache {
  readonly #options: HostResolverOptions & ComputeAttestationCacheOptions;
  readonly #memory = new Map<string, Cell>();
  readonly #shards = new Map<number, ShardActor>();
  readonly #resolver: HostResolver;
  #lookUps = 0;

  constructor(options: ComputeAttestationCacheOptions) {
    this.#options = { ...options, memory: this.#memory };
    this.#resolver = new HostResolver(this.#options);
  }

  async getHostAttestation(host: string, invocation: Invocation): Promise<HostAttestation> {
    const [attestation = PENDING] = await this.getHostAttestations([host], invocation);
    return attestation;
  }

  /**
   * The attestations of many hosts, as they stand when the promise resolves.
   * @returns one for each host, in their order; never rejects for a fault of DynamoDB or of the service
   */
  getHostAttestations(hosts: readonly string[], invocation: Invocation): Promise<HostAttestation[]> {
    const waiter = new Waiter(invocation);
    const { found, missing } = this.#lookUp(hosts, waiter);
    if (missing.size > 0) return this.#waitFor(hosts, missing, waiter);
    invocation.from.memory += hosts.length;
    return Promise.resolve(found);
  }

  /** Has what memory misses looked up in the table or polled, until every host is decided or the time is over. */
  async #waitFor(hosts: readonly string[], notInMemory: Set<string>, waiter: Waiter): Promise<HostAttestation[]> {
    const { deadline, from } = waiter.invocation;
    const { clock } = this.#options;
    let missing = notInMemory;
    let found: HostAttestation[] = [];
    while (missing.size > 0 && clock.now() < deadline.stopAt) {
      await this.#resolver.resolve(this.#byShard(missing), waiter);
      ({ found, missing } = this.#lookUp(hosts, waiter));
    }
    if (missing.size > 0) {
      // Time is over; but what memory has counts only after a look at the table that is not too old.
      const renderAt = deadline.answerBy - RENDER_MS;
      await waitUntil(renderAt, this.#resolver.look(this.#byShard(missing).keys(), renderAt), clock);
      ({ found } = this.#lookUp(hosts, waiter));
    }
    for (const host of hosts) {
      if (!notInMemory.has(host)) from.memory++;
      else if (waiter.polled.has(host)) from.poll++;
      else if (waiter.decided.has(host)) from.table++;
    }
    return found;
  }

  /**
   * Forgets what is known of hosts, here at once and in every other environment within five seconds. The mark stays, so that
   * the result of a poll which is under way is dropped.
   * @param until when to stop trying, epoch milliseconds
   * @returns whether the table has the mark
   */
  async purge(hosts: readonly string[], until: number): Promise<boolean> {
    const at = this.#options.clock.now();
    const writes = Array.from(this.#byShard(new Set(hosts)), ([shard, names]) =>
      shard.write({ hosts: names, apply: (_host, entry) => purged(entry, at, at), until }),
    );
    return (await Promise.all(writes)).every((written) => written);
  }

  /** What memory has for each host. Hosts that nothing decides are missing, and pending for now. */
  #lookUp(hosts: readonly string[], waiter: Waiter): { found: HostAttestation[]; missing: Set<string> } {
    const { clock, hostPattern, timing } = this.#options;
    const now = clock.now();
    const { arrivedAt } = waiter.invocation.deadline;
    const judge = ({ entry, shard }: Cell): Finding | undefined =>
      shard.serves(now) ? finding(entry, now, arrivedAt, timing) : undefined;
    const found = findInMemory(hosts, this.#memory, ++this.#lookUps, judge);
    const missing = new Set<string>();
    for (let i = 0; i < found.length; i++) {
      if (found[i] !== undefined && hostPattern === undefined) continue;
      const host = hosts[i] as string;
      if (hostPattern?.test(host) === false) {
        found[i] = NOT_A_HOST;
        continue;
      }
      if (found[i] !== undefined) continue;
      const attestation = this.#lookUpDecided(host, this.#memory.get(host), waiter, now);
      if (attestation === PENDING) missing.add(host);
      found[i] = attestation;
    }
    return { found: found as HostAttestation[], missing };
  }

  /** For a host that memory alone does not decide: this request may have decided it before. */
  #lookUpDecided(host: string, cell: Cell | undefined, waiter: Waiter, now: number): HostAttestation {
    const { timing } = this.#options;
    const decided: Entry | undefined = waiter.decided.get(host);
    if (decided === undefined || !this.#shardOf(host).serves(now)) return PENDING;
    const known = cell === undefined ? decided : merge(decided, cell.entry, now);
    return finding(known, now, waiter.invocation.deadline.arrivedAt, timing) ?? PENDING;
  }

  #byShard(hosts: Iterable<string>): Map<ShardActor, string[]> {
    const byShard = new Map<ShardActor, string[]>();
    for (const host of hosts) {
      const shard = this.#shardOf(host);
      const others = byShard.get(shard);
      if (others === undefined) byShard.set(shard, [host]);
      else others.push(host);
    }
    return byShard;
  }

  #shardOf(host: string): ShardActor {
    const known = this.#memory.get(host);
    if (known !== undefined) return known.shard;
    const index = shardOf(host, this.#options.shardCount);
    let shard = this.#shards.get(index);
    if (shard === undefined) {
      shard = new ShardActor(index, this.#options);
      this.#shards.set(index, shard);
    }
    return shard;
  }
}

/**
 * The one loop that every host of every request goes through: nothing in it but what it needs. A cell is judged once for
 * all of its hosts.
 * @param lookUp a number that no look-up before had
 */
function findInMemory(
  hosts: readonly string[],
  memory: ReadonlyMap<string, Cell>,
  lookUp: number,
  judge: (cell: Cell) => Finding | undefined,
): (HostAttestation | undefined)[] {
  const found = new Array<HostAttestation | undefined>(hosts.length);
  for (let i = 0; i < hosts.length; i++) {
    const cell = memory.get(hosts[i] as string);
    if (cell === undefined) continue;
    if (cell.judgedBy !== lookUp) {
      cell.judgedBy = lookUp;
      cell.found = judge(cell);
    }
    found[i] = cell.found;
  }
  return found;
}
