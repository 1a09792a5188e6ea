import { BatchGetItemCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { Entry } from '../../lambda/trust/entry.ts';
import { shardCount, shardKey, shardOf } from '../../lambda/table/shard.ts';
import { unpackShard } from '../../lambda/table/shard-format.ts';
import { TABLE_KEY } from '../constructs/table.ts';

/** Reads what the table has of hosts; nothing where the table does not answer. */
export async function readEntries(
  env: Readonly<Record<string, string>>,
  hosts: Iterable<string>,
): Promise<Map<string, Entry>> {
  const count = shardCount(Number(env['ATTESTATION_FLEET_SIZE'] ?? 1000));
  const keys = [...new Set(Array.from(hosts, (host) => shardKey(shardOf(host, count), count)))];
  const table = env['ATTESTATION_TABLE'] ?? '';
  const client = new DynamoDBClient({ endpoint: env['AWS_ENDPOINT_URL_DYNAMODB'] ?? '', maxAttempts: 1 });
  const entries = new Map<string, Entry>();
  try {
    for (let i = 0; i < keys.length; i += 100) {
      const Keys = keys.slice(i, i + 100).map((key) => ({ [TABLE_KEY]: { S: key } }));
      const { Responses } = await client.send(new BatchGetItemCommand({ RequestItems: { [table]: { Keys } } }));
      for (const item of Responses?.[table] ?? []) {
        const packed = item['entries']?.B;
        if (packed === undefined) continue;
        for (const [host, entry] of unpackShard(packed, { validityMs: 0, recheckMs: 0 })) entries.set(host, entry);
      }
    }
  } catch {
    // The view is an extra; the answers themselves do not need it.
  } finally {
    client.destroy();
  }
  return entries;
}
