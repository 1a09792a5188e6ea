import type { ShardActor } from '../table/shard-actor.ts';
import type { Cell } from '../table/shard-memory.ts';
import { type Finding, isAskedAbout, NO_ENTRY } from '../trust/entry.ts';

/**
 * What the cache says of a host; `pending` where no answer came in time, `late` where only one did that was too old when it
 * came and has served, `unknown` for a name that is not polled.
 */
export type HostAttestation = Finding | { readonly level: 'unknown'; readonly reason: 'pending' | 'late' | 'unknown' };

export const PENDING: HostAttestation = { level: 'unknown', reason: 'pending' };
export const LATE: HostAttestation = { level: 'unknown', reason: 'late' };
export const NOT_A_HOST: HostAttestation = { level: 'unknown', reason: 'unknown' };

/**
 * The one loop that every host of every request goes through: nothing in it but what it needs. A cell is judged once for
 * all of its hosts.
 * @param lookUp a number that no look-up before had
 */
export function findInMemory(
  hosts: readonly string[],
  memory: ReadonlyMap<string, Cell<ShardActor>>,
  lookUp: number,
  judge: (cell: Cell<ShardActor>) => Finding | undefined,
): (Finding | undefined)[] {
  const found = new Array<Finding | undefined>(hosts.length);
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

/** The hosts in shards that somebody asked about within the last day, those first whose shard has the first end. */
export function hostsInUse(shards: readonly ShardActor[], now: number): string[] {
  const inUse = shards.map((shard) => {
    const entries = shard.storedHosts().map((host) => [host, shard.stored(host) ?? NO_ENTRY] as const);
    const asked = entries.filter(([, entry]) => entry.definite && isAskedAbout(entry, now));
    const endsAt = Math.min(...asked.map(([, { attestation }]) => attestation?.validUntil ?? 0));
    return { hosts: asked.map(([host]) => host), endsAt };
  });
  return inUse.sort((a, b) => a.endsAt - b.endsAt).flatMap(({ hosts }) => hosts);
}
