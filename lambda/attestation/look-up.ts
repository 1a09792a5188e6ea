import type { ShardActor } from '../table/shard-actor.ts';
import type { Cell } from '../table/shard-memory.ts';
import type { Finding } from '../trust/entry.ts';

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
