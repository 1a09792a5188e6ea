import type { ShardActor } from '../table/shard-actor.ts';
import type { Cell } from '../table/shard-memory.ts';
import type { Finding } from '../trust/entry.ts';

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
