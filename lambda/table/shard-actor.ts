import { randomUUID } from 'node:crypto';
import { type Clock, waitUntil } from '../clock.ts';
import { TableError } from '../errors.ts';
import type { Counts } from '../log/counts.ts';
import { type Entry, isKept, merge, NO_ENTRY } from '../trust/entry.ts';
import { doClocksAgree, isOver, isYounger, laterOf, LONG_AGO, type Moment, type Timing } from '../trust/time.ts';
import { type Change, noChange } from './change.ts';
import { isIn, ROOM_FOR_NEWCOMERS, roomOf, type RoomTaken, roomTakenBy, roomTakenByAll } from './newcomers.ts';
import { believedEntries, hasWrongTimes, nextVersion, shardOf } from './shard.ts';
import { type Cell, ShardMemory } from './shard-memory.ts';
import type { ShardTable, StoredShard } from './shard-table.ts';

/** How long memory serves after a look at DynamoDB. */
const MEMORY_SERVES_MS = 5_000;
const LONGEST_CONFLICT_PAUSE_MS = 200;
/** A lost race is no fault of the table; so many, and no time left, are. */
const LEAST_CONFLICTS = 8;
/** How long a look waits until what a wrong clock wrote is out of the table: what goes on after an answer may be frozen. */
const MEND_MS = 200;
/** How often a shard is read at most before it is written. */
const MOST_READS = 2;

/** What the actors of an environment share. */
export interface ShardActorParts {
  readonly table: ShardTable;
  readonly memory: Map<string, Cell<ShardActor>>;
  readonly timing: Timing;
  readonly clock: Clock;
  readonly counts: Counts;
  /** The shards of the layout that holds now. */
  readonly current: CurrentShards;
}

interface CurrentShards {
  of(host: string): ShardActor;
  sharing(index: number, count: number): ShardActor[];
}

/**
 * What one environment knows of one shard, and the only one in it that reads and writes that shard. Where another layout is
 * found to hold, it stands for those of that layout which its hosts are in now, so that what is under way goes on.
 */
export class ShardActor {
  readonly index: number;
  readonly #parts: ShardActorParts;
  readonly #memory: ShardMemory<ShardActor>;
  readonly #era: number;
  readonly #count: number;
  /** The shard as the table has it, less what is not believed; and whether that must not stay there until its time has come. */
  #stored: StoredShard & { readonly isToMend?: boolean } = { version: undefined, entries: new Map() };
  /** When what is known was last seen to be the table's newest, by a strong read or a write. */
  #current = LONG_AGO;
  /** Since when memory serves. */
  #serving = LONG_AGO;
  /** When what is known was read: memory may serve for longer, where the table does not answer. */
  #read = LONG_AGO;
  readonly #changes: { change: Change; resolve: (written: boolean) => void }[] = [];
  #writing = false;

  constructor(index: number, parts: ShardActorParts) {
    this.index = index;
    this.#parts = parts;
    this.#memory = new ShardMemory(this, parts.memory);
    this.#era = parts.table.era;
    this.#count = parts.table.count;
  }

  /** Where its hosts are now, if another layout holds since. */
  get #moved(): readonly ShardActor[] | undefined {
    const { current, table } = this.#parts;
    return table.era === this.#era ? undefined : current.sharing(this.index, this.#count);
  }

  /** Whether memory may serve: DynamoDB was looked at lately, or did not answer when it was asked lately. */
  serves(now = this.#parts.clock.moment()): boolean {
    return this.#moved?.every((shard) => shard.serves(now)) ?? isYounger(this.#serving, MEMORY_SERVES_MS, now);
  }

  /** Whether DynamoDB was looked at lately, and did answer. */
  isRead(now: Moment): boolean {
    return this.#moved?.every((shard) => shard.isRead(now)) ?? isYounger(this.#read, MEMORY_SERVES_MS, now);
  }

  /** What the table says of a host, as far as this environment knows. */
  stored(host: string): Entry | undefined {
    return this.#moved === undefined ? this.#stored.entries.get(host) : this.#parts.current.of(host).stored(host);
  }

  /** The hosts that the table has in this shard, as far as this environment knows. */
  storedHosts(): string[] {
    const moved = this.#moved?.flatMap((shard) => shard.storedHosts());
    return moved?.filter((host) => shardOf(host, this.#count) === this.index) ?? [...this.#stored.entries.keys()];
  }

  /** What this environment knows of a host, from the table and from memory. The claim is the table's. */
  known(host: string, now: number): Entry {
    if (this.#moved !== undefined) return this.#parts.current.of(host).known(host, now);
    return this.#withMemory(host, this.#stored.entries.get(host) ?? NO_ENTRY, now);
  }

  /** How much of the shard's room for newcomers is taken. */
  roomTaken(now: number): RoomTaken {
    const moved = this.#moved?.map((shard) => shard.roomTaken(now));
    if (moved !== undefined) {
      return { all: Math.max(...moved.map(({ all }) => all)), settled: Math.max(...moved.map((each) => each.settled)) };
    }
    // Memory forgets hosts of which it knows nothing but a claim, which is the table's.
    const hosts = new Set([...this.#stored.entries.keys(), ...this.#memory.hosts]);
    const entries = Array.from(hosts, (host) => [host, this.known(host, now)] as const);
    return roomTakenByAll(entries, now, this.#parts.timing);
  }

  /**
   * Looks at DynamoDB. Where it does not answer by `until`, or did not just now, memory serves on.
   * @returns whether it answered
   */
  async look(consistency: 'eventual' | 'strong', until: number): Promise<boolean> {
    const { clock, counts, table } = this.#parts;
    const moved = this.#moved?.map((shard) => shard.look(consistency, until));
    if (moved !== undefined) return (await Promise.all(moved)).every((isRead) => isRead);
    try {
      if (!table.isDown()) {
        await this.#readTable(consistency, until);
        if (this.#stored.isToMend === true) await this.#mend(until);
        if (this.#moved === undefined) return true;
      }
    } catch (error) {
      if (!(error instanceof TableError)) counts.fault('InternalFaults', error);
    }
    if (this.#moved !== undefined) return this.look(consistency, until);
    this.#serving = clock.moment();
    return false;
  }

  /**
   * Writes a change, together with what else there is to write.
   * @returns whether the table has it; nothing is remembered of what it has not
   */
  write(change: Change): Promise<boolean> {
    if (this.#moved !== undefined) return this.#writeWhereHostsAre(change);
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
    if (this.#moved !== undefined) {
      for (const [shard, hosts] of this.#whereHostsAre(change)) shard.remember({ ...change, hosts });
      return;
    }
    const { clock, timing } = this.#parts;
    const now = clock.now();
    const apply = this.#inRoom(now);
    for (const host of change.hosts) {
      const changed = apply(change, host, this.#memory.get(host) ?? NO_ENTRY, this.known(host, now));
      this.#memory.remember(host, changed, now);
    }
    this.#memory.forget(now, timing);
  }

  /** Takes what a wrong clock wrote out of the table, as far as it is still there by a strong read. */
  async #mend(until: number): Promise<void> {
    const { clock } = this.#parts;
    const by = Math.min(until, clock.monotonic() + MEND_MS);
    await waitUntil(by, this.write(noChange(by)), clock);
  }

  async #drain(): Promise<void> {
    while (this.#changes.length > 0) {
      await this.#parts.clock.turn(); // what else this turn brings goes along
      const batch = this.#changes.splice(0);
      const written = await this.#writeBatch(batch.map(({ change }) => change)).catch((error: unknown) => {
        if (!(error instanceof TableError)) this.#parts.counts.fault('InternalFaults', error);
        return false;
      });
      for (const { change, resolve } of batch) {
        if (written === 'moved') void this.#writeWhereHostsAre(change).then(resolve);
        else resolve(written);
      }
    }
    this.#writing = false;
  }

  async #writeWhereHostsAre(change: Change): Promise<boolean> {
    const writes = Array.from(this.#whereHostsAre(change), ([shard, hosts]) => shard.write({ ...change, hosts }));
    return (await Promise.all(writes)).every((written) => written);
  }

  #whereHostsAre({ hosts }: Change): Map<ShardActor, string[]> {
    return Map.groupBy(hosts, (host) => this.#parts.current.of(host));
  }

  async #writeBatch(changes: readonly Change[]): Promise<boolean | 'moved'> {
    const { clock, counts, table } = this.#parts;
    const until = Math.max(...changes.map((change) => change.until));
    for (let conflicts = 0, pauseMs = 0; ;) {
      // Again where the clock was set while the table was read: what is written must have the right times.
      for (let reads = 0; reads < MOST_READS && !this.#isCurrent(); reads++) await this.#readTable('strong', until);
      if (this.#moved !== undefined) return 'moved';
      const moment = clock.moment();
      const now = clock.timeOf(moment);
      const { entries, touched } = this.#changed(changes, now);
      if (touched.size === 0 && this.#stored.isToMend !== true) return true;
      const next = nextVersion(this.#stored.version, now, randomUUID());
      if (await table.put(this.index, entries, { known: this.#stored, next }, until)) {
        this.#stored = { version: next, entries };
        this.#current = moment;
        this.#serving = moment;
        this.#read = moment;
        this.#remember(touched);
        return true;
      }
      counts.add('TableConflicts');
      if (++conflicts >= LEAST_CONFLICTS && isOver(until, clock.monotonic()))
        throw new TableError('others wrote the shard every time');
      this.#current = LONG_AGO;
      await clock.wait(pauseMs * Math.random());
      pauseMs = Math.min(LONGEST_CONFLICT_PAUSE_MS, pauseMs * 2 + 10);
    }
  }

  /** Applies changes one after the other, each with the room that those before it have left: by the same view that is decided by. */
  #inRoom(now: number): (change: Change, host: string, entry: Entry, known: Entry) => Entry {
    const { timing } = this.#parts;
    let taken = this.roomTaken(now).all;
    return ({ apply }, host, entry, known) => {
      const changed = apply(host, entry, now, isIn(known, now, timing) || taken + roomOf(host) <= ROOM_FOR_NEWCOMERS);
      if (changed === entry) return entry;
      taken -= roomTakenBy(host, known, now, timing);
      taken += roomTakenBy(host, this.#withMemory(host, changed, now), now, timing);
      return changed;
    };
  }

  #withMemory(host: string, stored: Entry, now: number): Entry {
    const remembered = this.#memory.get(host);
    return remembered === undefined ? stored : merge(remembered, stored, now);
  }

  /** Whether what is known was the table's newest lately, and no clock was set since; or is another shard's to know. */
  #isCurrent(): boolean {
    const now = this.#parts.clock.moment();
    const isRecent = isYounger(this.#current, MEMORY_SERVES_MS, now) && doClocksAgree(this.#current, now);
    return isRecent || this.#moved !== undefined;
  }

  /** The shard with the changes made, and those of its entries that they touched. */
  #changed(changes: readonly Change[], now: number): { entries: Map<string, Entry>; touched: Map<string, Entry> } {
    const { timing } = this.#parts;
    const entries = new Map<string, Entry>();
    for (const [host, entry] of this.#stored.entries) if (isKept(entry, now, timing)) entries.set(host, entry);
    const touched = new Map<string, Entry>();
    const apply = this.#inRoom(now);
    for (const change of changes) {
      for (const host of change.hosts) {
        const entry = touched.get(host) ?? this.#stored.entries.get(host) ?? NO_ENTRY;
        const changed = apply(change, host, entry, this.#withMemory(host, entry, now));
        if (changed !== entry) touched.set(host, changed);
      }
    }
    for (const [host, entry] of touched) entries.set(host, entry);
    return { entries, touched };
  }

  async #readTable(consistency: 'eventual' | 'strong', until: number): Promise<void> {
    const { clock, table } = this.#parts;
    const started = clock.moment();
    const versionBefore = this.#stored.version;
    const read = await table.read(this.index, consistency, until);
    if (this.#moved !== undefined) return;
    if (consistency === 'strong') this.#current = started;
    this.#read = laterOf(this.#read, started);
    this.#serving = laterOf(this.#serving, this.#read);
    // What was written meanwhile is newer than what the read began to read before.
    if (versionBefore !== this.#stored.version) return;
    const isNews = read.version !== this.#stored.version || read.from !== undefined;
    const now = clock.now();
    // Neither memory nor the next write has what a wrong clock wrote.
    const entries = believedEntries(read.entries, now);
    this.#stored = { ...read, entries, isToMend: entries !== read.entries && hasWrongTimes(read.entries, now) };
    this.#remember(isNews ? this.#stored.entries : new Map());
  }

  #remember(entries: ReadonlyMap<string, Entry>): void {
    const { clock, timing } = this.#parts;
    const now = clock.now();
    for (const [host, entry] of entries) this.#memory.remember(host, entry, now);
    this.#memory.forget(now, timing);
  }
}
