import type { Attestation } from '../trust/attestation.ts';
import { believed, type Entry, type Finding, isKept, merge } from '../trust/entry.ts';
import type { Timing } from '../trust/time.ts';

/**
 * What this environment remembers of a host, and which shard it belongs to. Hosts of a shard of which the same is known
 * share a cell: a request that looks at ten thousand hosts then finds a few objects, near at hand, instead of as many.
 */
export interface Cell<Shard = unknown> {
  readonly entry: Entry;
  readonly shard: Shard;
  /** The look-up that judged the cell last, and what it found: for the other hosts of the same look-up. */
  judgedBy: number;
  found: Finding | undefined;
}

/** The part of an environment's memory that belongs to one shard. */
export class ShardMemory<Shard> {
  readonly #shard: Shard;
  /** The memory of all shards. */
  readonly #memory: Map<string, Cell<Shard>>;
  /** The cells that hosts share, by the attestation in them. */
  readonly #cells = new WeakMap<Attestation, Cell<Shard>>();
  /** The shard's hosts that are in memory. */
  readonly #hosts = new Set<string>();

  constructor(shard: Shard, memory: Map<string, Cell<Shard>>) {
    this.#shard = shard;
    this.#memory = memory;
  }

  /** The shard's hosts of which something is remembered. */
  get hosts(): Iterable<string> {
    return this.#hosts;
  }

  get(host: string): Entry | undefined {
    return this.#memory.get(host)?.entry;
  }

  remember(host: string, entry: Entry, now: number): void {
    const known = this.get(host);
    if (known === undefined) this.#hosts.add(host);
    this.#memory.set(host, this.#cell(known === undefined ? entry : merge(known, entry, now)));
  }

  /** Drops what no longer says anything, and what was written by a clock that was wrong, as is known by now. */
  forget(now: number, timing: Timing): void {
    for (const host of this.#hosts) {
      const known = this.get(host);
      if (known === undefined) continue;
      const entry = believed(known, now);
      if (!isKept(entry, now, timing)) {
        this.#memory.delete(host);
        this.#hosts.delete(host);
      } else if (entry !== known) {
        this.#memory.set(host, this.#cell(entry));
      }
    }
  }

  #cell(entry: Entry): Cell<Shard> {
    const { attestation, lastTry, purgedAt, company, definite, asked } = entry;
    const isPlain = lastTry === undefined && purgedAt === undefined && company === undefined;
    if (attestation === undefined || !isPlain) return this.#newCell(entry);
    const shared = this.#cells.get(attestation);
    if (shared?.entry.definite === definite && shared.entry.asked === asked) return shared;
    // The claim is in what is stored; memory has no use for it.
    const cell = this.#newCell({ attestation, definite, asked });
    this.#cells.set(attestation, cell);
    return cell;
  }

  #newCell(entry: Entry): Cell<Shard> {
    return { entry, shard: this.#shard, judgedBy: 0, found: undefined };
  }
}
