import { unpackShard } from '../../lambda/table/shard-format.ts';
import type { Timing } from '../../lambda/trust/time.ts';
import type { Attester } from './attester.ts';
import type { MemoryDynamoDb } from './memory-dynamodb.ts';

/** Longer than anybody waits. */
export const NEVER_MS = 10_000_000;

/** Has batches with one of these hosts hang, and others take as long as usually. */
export function hang(attester: Attester, sick: ReadonlySet<string>, usuallyMs: number): void {
  attester.latencyOf = (hosts) => (hosts.some((host) => sick.has(host)) ? NEVER_MS : usuallyMs);
}

/** So many of the hosts, as chance will have it. */
export function pick(hosts: readonly string[], count: number, random: () => number): Set<string> {
  const picked = new Set<string>();
  while (picked.size < count) picked.add(hosts[Math.floor(random() * hosts.length)]!);
  return picked;
}

/** So many of the hosts, spread evenly. */
export function spread(hosts: readonly string[], count: number): Set<string> {
  return new Set(Array.from({ length: count }, (_, i) => hosts[Math.floor(((i + 0.5) * hosts.length) / count)] ?? ''));
}

/** How many of all hosts but the silent ones have no attestation in the table that was received since, and of how many it has ended. */
export function leftBehind(
  { items }: MemoryDynamoDb,
  silent: ReadonlySet<string>,
  { since, now, timing }: { readonly since: number; readonly now: number; readonly timing: Timing },
): { notRenewed: number; ended: number } {
  let [notRenewed, ended] = [0, 0];
  for (const { entries } of items.values()) {
    if (entries?.B === undefined) continue;
    for (const [host, { attestation }] of unpackShard(entries.B, timing)) {
      if (silent.has(host)) continue;
      if ((attestation?.receivedAt ?? 0) < since) notRenewed++;
      if ((attestation?.validUntil ?? 0) < now) ended++;
    }
  }
  return { notRenewed, ended };
}
