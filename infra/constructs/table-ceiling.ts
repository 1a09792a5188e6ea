import { shardCount } from '../../lambda/table/shard.ts';

/** DynamoDB's units a second. */
export interface Throughput {
  readonly readUnits: number;
  readonly writeUnits: number;
}

const LEAST: Throughput = { readUnits: 2_500, writeUnits: 500 };
/**
 * Reads for as many environments as `filter` and `refresh` have by default, all of which wait for polls of others and look
 * every 0.75 to 1 s; writes for a whole fleet that is attested anew three times over, in one second.
 */
const PER_SHARD: Throughput = { readUnits: 250, writeUnits: 10 };
/** What AWS lets a table take unless it is asked for more. */
const MOST = 40_000;

/**
 * What the table takes at most, so that whoever storms the service can run up no more than that: a fleet of its size
 * reaches it neither in service nor while the attestation service hangs. docs/limits.md has the sums, and what it costs.
 * @param fleetSize hosts that are expected
 */
export function tableCeiling(fleetSize: number): Throughput {
  const shards = shardCount(fleetSize);
  const ceiling = (of: keyof Throughput): number => Math.min(Math.max(LEAST[of], PER_SHARD[of] * shards), MOST);
  return { readUnits: ceiling('readUnits'), writeUnits: ceiling('writeUnits') };
}
