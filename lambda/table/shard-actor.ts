import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Counts } from '../log/counts.ts';
import { type Attestation, type Entry, type Finding, isKept, merge, NO_ENTRY, type Timing } from '../trust/entry.ts';
import { ShardTooLargeError, TableError } from '../errors.ts';
import { nextVersion } from './shard.ts';
import type { ShardTable, StoredShard } from './shard-table.ts';

/** How long memory serves after a look at DynamoDB. */
const MEMORY_SERVES_MS = 5_000;
const LONGEST_CONFLICT_PAUSE_MS = 200;
/** A lost race is no fault of the table; so many, and no time left, are. */
const LEAST_CONFLICTS = 8;

/**
 * What this environment remembers of a host, and which shard it belongs to. Hosts of a shard of which the same is known
 * share a cell: a request that looks at ten thousand hosts then finds a few objects, near at hand, instead of as many.
 */
export interface Cell {
  readonly entry: Entry;
  readonly shard: ShardActor;
  /** The look-up that judged the cell last, and what it found: for the other hosts of the same look-up. */
  judgedBy: number;
  found: Finding | undefined;
}

/** What a write does to the entries of some hosts. It may be worked out several times, each time on newer entries. */
export interface Change {
  readonly hosts: Iterable<string>;
  /** Returns the same entry where there is nothing to write. */
  readonly apply: (host: string, entry: Entry, now: number) => Entry;
  /** When to stop trying, epoch milliseconds. */
  readonly until: number;
}

function newCell(entry: Entry, shard: ShardActor): Cell {
  return { entry, shard, judgedBy: 0, found: undefined };
}

/** What the actors of an environment share. */
export interface ShardActorParts {
  readonly table: ShardTable;
  readonly memory: Map<string, Cell>;
  readonly timing: Timing;
  readonly clock: Clock;
  readonly counts: Counts;
}

/** What one environment knows of one shard, and the only one in it that reads and writes that shard. */
export class ShardActor {
  readonly index: number;
  readonly #parts: ShardActorParts;
  /** The cells that hosts share, by the attestation in them. */
  readonly #cells = new WeakMap<Attestation, Cell>();
  /** The shard's hosts that are in memory. */
  readonly #hosts = new Set<string>();
  #stored: StoredShard = { version: undefined, entries: new Map() };
  /** When what is known was last seen to be the table's newest, by a strong read or a write. */
  #currentAt = -Infinity;
  #servesUntil = -Infinity;
  readonly #changes: { change: Change; resolve: (written: boolean) => void }[] = [];
  #writing = false;
  /** Whether the last write failed since the shard has more to say than an item holds: no fault of the table. */
  isTooLarge = false;

  constructor(index: number, parts: ShardActorParts) {
    this.index = index;
    this.#parts = parts;
  }

  /** Whether memory may serve: DynamoDB was looked at lately, or did not answer when it was asked lately. */
  serves(now: number): boolean {
    return now < this.#servesUntil;
  }

  /** The claim on a host, as far as this environment knows. */
  claim(host: string): Entry['claim'] {
    return this.#stored.entries.get(host)?.claim;
  }

  /** What the table says of a host, as far as this environment knows. */
  stored(host: string): Entry | undefined {
    return this.#stored.entries.get(host);
  }

  /** The hosts that the table has in this shard, as far as this environment knows. */
  storedHosts(): string[] {
    return [...this.#stored.entries.keys()];
  }

  /** What this environment knows of a host, from the table and from memory. */
  known(host: string, now: number): Entry {
    const remembered = this.#parts.memory.get(host)?.entry;
    const stored = this.#stored.entries.get(host) ?? NO_ENTRY;
    return remembered === undefined ? stored : merge(remembered, stored, now);
  }

  /**
   * Looks at DynamoDB. Where it does not answer by `until`, memory serves on.
   * @returns whether it answered
   */
  async look(consistency: 'eventual' | 'strong', until: number): Promise<boolean> {
    try {
      await this.#read(consistency, until);
      return true;
    } catch (error) {
      if (!(error instanceof TableError)) this.#parts.counts.fault('InternalFaults', error);
      this.serveOn();
      return false;
    }
  }

  /** Has memory serve on without a look. */
  serveOn(): void {
    this.#servesUntil = this.#parts.clock.now() + MEMORY_SERVES_MS;
  }

  /**
   * Writes a change, together with what else there is to write.
   * @returns whether the table has it; nothing is remembered of what it has not
   */
  write(change: Change): Promise<boolean> {
    return new Promise((resolve) => {
      this.#changes.push({ change, resolve });
      if (!this.#writing) {
        this.#writing = true;
        void this.#drain();
      }
    });
  }

  /** Remembers a change that could not be written. */
  remember(change: Change): void {
    const now = this.#parts.clock.now();
    for (const host of change.hosts) {
      const known = this.#parts.memory.get(host)?.entry ?? NO_ENTRY;
      this.#remember(host, change.apply(host, known, now));
    }
    this.#forget();
  }

  async #drain(): Promise<void> {
    while (this.#changes.length > 0) {
      await this.#parts.clock.turn(); // what else this turn brings goes along
      const batch = this.#changes.splice(0);
      const written = await this.#writeBatch(batch.map(({ change }) => change)).catch((error: unknown) => {
        if (!(error instanceof TableError)) this.#parts.counts.fault('InternalFaults', error);
        this.isTooLarge = error instanceof ShardTooLargeError;
        return false;
      });
      if (written) this.isTooLarge = false;
      for (const { resolve } of batch) resolve(written);
    }
    this.#writing = false;
  }

  async #writeBatch(changes: readonly Change[]): Promise<boolean> {
    const { clock, counts, table, timing } = this.#parts;
    const until = Math.max(...changes.map((change) => change.until));
    for (let conflicts = 0, pauseMs = 0, attempted: string | undefined; ;) {
      if (clock.now() >= this.#currentAt + MEMORY_SERVES_MS) await this.#read('strong', until);
      // A put whose answer was lost looks like a lost race; the version tells it apart.
      if (attempted !== undefined && this.#stored.version === attempted) return true;
      const now = clock.now();
      const entries = new Map<string, Entry>();
      for (const [host, entry] of this.#stored.entries) if (isKept(entry, now, timing)) entries.set(host, entry);
      const touched = new Map<string, Entry>();
      for (const change of changes) {
        for (const host of change.hosts) {
          const entry = touched.get(host) ?? entries.get(host) ?? this.#stored.entries.get(host) ?? NO_ENTRY;
          const changed = change.apply(host, entry, now);
          if (changed !== entry) touched.set(host, changed);
        }
      }
      if (touched.size === 0) return true;
      for (const [host, entry] of touched) entries.set(host, entry);
      attempted = nextVersion(this.#stored.version, now, randomUUID());
      if (await table.put(this.index, entries, { known: this.#stored.version, next: attempted }, until)) {
        this.#stored = { version: attempted, entries };
        this.#currentAt = now;
        this.#servesUntil = now + MEMORY_SERVES_MS;
        for (const [host, entry] of touched) this.#remember(host, entry);
        this.#forget();
        return true;
      }
      counts.add('TableConflicts');
      if (++conflicts >= LEAST_CONFLICTS && clock.now() >= until)
        throw new TableError('others wrote the shard every time');
      this.#currentAt = -Infinity;
      await clock.wait(pauseMs * Math.random());
      pauseMs = Math.min(LONGEST_CONFLICT_PAUSE_MS, pauseMs * 2 + 10);
    }
  }

  async #read(consistency: 'eventual' | 'strong', until: number): Promise<void> {
    const { clock, table } = this.#parts;
    const startedAt = clock.now();
    const versionBefore = this.#stored.version;
    const stored = await table.read(this.index, consistency, until);
    if (consistency === 'strong') this.#currentAt = startedAt;
    this.#servesUntil = Math.max(this.#servesUntil, startedAt + MEMORY_SERVES_MS);
    // What was written meanwhile is newer than what an eventual read began to read before.
    if (consistency === 'eventual' && versionBefore !== this.#stored.version) return;
    const isNews = stored.version !== this.#stored.version;
    this.#stored = stored;
    if (!isNews) return;
    for (const [host, entry] of stored.entries) this.#remember(host, entry);
    this.#forget();
  }

  /** Drops what no longer says anything from memory. */
  #forget(): void {
    const { clock, memory, timing } = this.#parts;
    const now = clock.now();
    for (const host of this.#hosts) {
      const cell = memory.get(host);
      if (cell !== undefined && !isKept(cell.entry, now, timing)) {
        memory.delete(host);
        this.#hosts.delete(host);
      }
    }
  }

  #remember(host: string, entry: Entry): void {
    const { clock, memory } = this.#parts;
    const cell = memory.get(host);
    if (cell === undefined) this.#hosts.add(host);
    memory.set(host, this.#cell(cell === undefined ? entry : merge(cell.entry, entry, clock.now())));
  }

  #cell(entry: Entry): Cell {
    const { attestation, lastTry, purgedAt, company, definite, asked } = entry;
    const isPlain = lastTry === undefined && purgedAt === undefined && company === undefined;
    if (attestation === undefined || !isPlain) return newCell(entry, this);
    const shared = this.#cells.get(attestation);
    if (shared?.entry.definite === definite && shared.entry.asked === asked) return shared;
    // The claim is in what is stored; memory has no use for it.
    const cell = newCell({ attestation, definite, asked }, this);
    this.#cells.set(attestation, cell);
    return cell;
  }
}
