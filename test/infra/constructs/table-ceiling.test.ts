import { describe, expect, test } from '@jest/globals';
import { tableCeiling } from '../../../infra/constructs/table-ceiling.ts';
import { FILTER_LIMITS } from '../../../infra/functions/filter-limits.ts';
import { REFRESH_LIMITS } from '../../../infra/functions/refresh-limits.ts';

/** What `npm run bench -- table` says that attesting all hosts of a shard costs, claims included, and looking at it. */
const WRITES_OF_A_SHARD = 3;
const READS_OF_A_LOOK = 1;
/** The mean pause of one that waits, in seconds (lambda/polling/next-steps.ts). */
const PAUSE = (0.75 + 1) / 2;

describe('the ceiling of the table', () => {
  test.each([
    [1, 2_500, 500],
    [1_000, 2_500, 500],
    [1_100, 2_750, 500],
    [5_000, 12_500, 500],
    [10_000, 25_000, 1_000],
    [50_000, 40_000, 5_000],
    [10_000_000, 40_000, 40_000],
  ])('of a fleet of %d hosts is %d reads and %d writes a second', (fleetSize, readUnits, writeUnits) => {
    expect(tableCeiling(fleetSize)).toEqual({ readUnits, writeUnits });
  });

  test.each([100, 1_000, 10_000, 100_000])('lets %d hosts be attested anew three times over in a second', (hosts) => {
    expect(tableCeiling(hosts).writeUnits).toBeGreaterThanOrEqual((3 * WRITES_OF_A_SHARD * hosts) / 100);
  });

  test.each([100, 1_000, 10_000, 16_000])(
    'lets every environment of both functions wait for polls of others at all shards of %d hosts',
    (hosts) => {
      const environments = FILTER_LIMITS.concurrency + REFRESH_LIMITS.concurrency;
      const looks = (environments * hosts) / 100 / PAUSE;
      expect(tableCeiling(hosts).readUnits).toBeGreaterThanOrEqual(READS_OF_A_LOOK * looks);
    },
  );
});
