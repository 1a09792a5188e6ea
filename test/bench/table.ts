import {
  BatchWriteItemCommand,
  BatchGetItemCommand,
  DynamoDBClient,
  type AttributeValue,
} from '@aws-sdk/client-dynamodb';
import { createTable, DynamoDbServer } from '../../infra/local/aws/dynamodb.ts';
import type { Connection } from '../../lambda/service/connection.ts';
import { OatService } from '../../lambda/service/oat/oat-service.ts';
import { type Clock, systemClock } from '../../lambda/clock.ts';
import { ComputeAttestationCache } from '../../lambda/attestation/compute-attestation-cache.ts';
import { Counts } from '../../lambda/log/counts.ts';
import { newDeadline } from '../../lambda/polling/deadline.ts';
import { shardCount as shardCountOf } from '../../lambda/table/shard.ts';
import { ShardTable } from '../../lambda/table/shard-table.ts';
import { newInvocation } from '../../lambda/polling/waiter.ts';
import { median, progress, type Report } from './report.ts';

const SIZES = [100, 1_000, 10_000, 50_000] as const;
const COMPARED = 10_000;
const TIMING = { validityMs: 60_000, recheckMs: 5_000 };
const RUNS = 7;

/** What was asked of DynamoDB, and what AWS would charge for it. */
class Meter {
  calls = 0;
  bytes = 0;
  readUnits = 0;
  writeUnits = 0;

  /** Counts what a client sends and gets. */
  watch(client: DynamoDBClient): void {
    client.middlewareStack.add(
      (next, context) => async (args) => {
        this.calls++;
        const input = args.input as { Item?: Item; RequestItems?: Record<string, { ConsistentRead?: boolean }> };
        // A conditional write that fails is charged too.
        if (context.commandName === 'PutItemCommand') this.writeUnits += Math.ceil(sizeOf(input.Item ?? {}) / 1024);
        const result = await next(args);
        const { Responses = {} } = result.output as { Responses?: Record<string, Item[]> };
        const isStrong = Object.values(input.RequestItems ?? {}).some((request) => request.ConsistentRead === true);
        for (const item of Object.values(Responses).flat()) {
          const bytes = sizeOf(item);
          this.bytes += bytes;
          this.readUnits += Math.ceil(bytes / 4096) * (isStrong ? 1 : 0.5);
        }
        return result;
      },
      { step: 'initialize' },
    );
  }

  take(): { calls: number; bytes: number; readUnits: number; writeUnits: number } {
    const { calls, bytes, readUnits, writeUnits } = this;
    Object.assign(this, { calls: 0, bytes: 0, readUnits: 0, writeUnits: 0 });
    return { calls, bytes, readUnits, writeUnits };
  }
}

type Item = Record<string, AttributeValue>;

/** An item's size as DynamoDB counts it: names and values, in bytes. */
function sizeOf(item: Item): number {
  let bytes = 0;
  for (const [name, { S, N, B }] of Object.entries(item)) {
    bytes +=
      Buffer.byteLength(name) +
      (B?.length ?? Buffer.byteLength(S ?? '')) +
      (N === undefined ? 0 : Math.ceil(N.length / 2) + 1);
  }
  return bytes;
}

/** A whole fleet read from the table, beside the same fleet as one item a host; and what it costs to refresh it. */
export async function table(): Promise<Report> {
  const server = await DynamoDbServer.start();
  const options = {
    endpoint: server.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'bench', secretAccessKey: 'bench' },
  };
  const client = new DynamoDBClient(options);
  const meter = new Meter();
  meter.watch(client);
  const rows: Record<string, string | number>[] = [];
  const compared = { units: 0, ms: 0, refresh: 0 };
  let smallest: number | undefined;
  try {
    for (const size of SIZES) {
      progress(`table: ${size} hosts`);
      const hosts = Array.from({ length: size }, (_, i) => `compute-${String(i).padStart(6, '0')}.region-1.example`);
      const fleet = new Fleet(client, `shards-${size}`, size);
      await createTable(client, `shards-${size}`);
      await fleet.attest(hosts);
      meter.take();
      fleet.offsetMs = TIMING.validityMs + 1_000;
      await fleet.attest(hosts);
      const refresh = meter.take();
      const perHost = new OneItemPerHost(client, `hosts-${size}`);
      await createTable(client, `hosts-${size}`);
      await perHost.fill(hosts);
      const ours: number[] = [];
      const theirs: number[] = [];
      let read = meter.take();
      let readPerHost = read;
      for (let run = 0; run < RUNS; run++) {
        ours.push(await timed(() => fleet.attest(hosts)));
        read = meter.take();
        theirs.push(await timed(() => perHost.read(hosts)));
        readPerHost = meter.take();
      }
      const ms = median(ours);
      const ratio = median(theirs.map((each, i) => each / (ours[i] ?? NaN)));
      const microseconds = (ms * 1000) / size;
      smallest ??= microseconds;
      rows.push({
        hosts: size,
        'shards: ms': ms,
        bytes: read.bytes,
        calls: read.calls,
        'read units': read.readUnits,
        'an item a host: ms': median(theirs),
        'its bytes': readPerHost.bytes,
        'its calls': readPerHost.calls,
        'its read units': readPerHost.readUnits,
        faster: ratio,
        'fewer units': readPerHost.readUnits / read.readUnits,
        'write units of a refresh': refresh.writeUnits,
        'µs a host': microseconds,
        growth: microseconds / smallest,
      });
      if (size === COMPARED) {
        compared.units = readPerHost.readUnits / read.readUnits;
        compared.ms = ratio;
        compared.refresh = refresh.writeUnits;
      }
    }
    progress('');
    return {
      bench: 'table: memory empty, table full; beside the same fleet as one item a host',
      rows,
      bounds: [
        { what: `times fewer read units at ${COMPARED} hosts`, measured: compared.units, atLeast: 70 },
        { what: `times faster at ${COMPARED} hosts`, measured: compared.ms, atLeast: 10 },
        {
          what: `write units of one refresh of ${COMPARED} hosts, claims included`,
          measured: compared.refresh,
          atMost: 600,
        },
      ],
    };
  } finally {
    client.destroy();
    await server.close();
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

/** The function's own cache over a table, with an empty memory each time. */
class Fleet {
  /** How far its clock is ahead. */
  offsetMs = 0;
  readonly #make: () => ComputeAttestationCache;
  readonly #clock: Clock;

  constructor(client: DynamoDBClient, name: string, size: number) {
    const now = (): number => Date.now() + this.offsetMs;
    const clock = { ...systemClock, now, moment: () => ({ wall: now(), monotonic: performance.now() }) };
    this.#clock = clock;
    const counts = new Counts();
    const shardCount = shardCountOf(size);
    const parts = { clock, counts, timing: TIMING };
    this.#make = () =>
      new ComputeAttestationCache({
        ...parts,
        table: new ShardTable({ ...parts, client, name, shardCount }),
        service: new OatService(attester(clock), '', clock),
        plan: { requestCount: 100, parallelPolls: 10 },
        pollTimeoutMs: 20_000,
      });
  }

  async attest(hosts: readonly string[]): Promise<void> {
    const deadline = newDeadline({ clock: this.#clock, limitMs: 120_000 });
    const found = await this.#make().getHostAttestations(hosts, newInvocation(deadline));
    if (found.some(({ level }) => level !== 'trusted')) throw new Error('not every host is trusted');
  }
}

/** An attestation service that trusts everybody, after a while that differs from poll to poll. */
function attester(clock: Clock): Pick<Connection, 'post'> {
  return {
    post: async (_path, body) => {
      const { hosts } = JSON.parse(body) as { hosts: string[] };
      const vtime = clock.now();
      await clock.wait(80 + Math.random() * 40);
      const entries = hosts.map((host) => ({ host_name: host, trust_lvl: 'trusted', vtime }));
      return { status: 200, body: Buffer.from(JSON.stringify({ hosts: entries })) };
    },
  };
}

/** What the shards are measured against: an item for each host, read with as few and as parallel calls as may be. */
class OneItemPerHost {
  readonly #client: DynamoDBClient;
  readonly #name: string;

  constructor(client: DynamoDBClient, name: string) {
    this.#client = client;
    this.#name = name;
  }

  async fill(hosts: readonly string[]): Promise<void> {
    const now = String(Date.now());
    for (let i = 0; i < hosts.length; i += 25) {
      const requests = hosts.slice(i, i + 25).map((host) => ({
        PutRequest: {
          Item: {
            shard: { S: host },
            level: { S: 'trusted' },
            reason: { S: 'trusted' },
            vtime: { N: now },
            sent_at: { N: now },
            received_at: { N: now },
            expires_at: { N: now },
          },
        },
      }));
      await this.#client.send(new BatchWriteItemCommand({ RequestItems: { [this.#name]: requests } }));
    }
  }

  async read(hosts: readonly string[]): Promise<void> {
    const found = new Map<string, { level: string; vtime: number }>();
    const batches = Array.from({ length: Math.ceil(hosts.length / 100) }, (_, i) =>
      hosts.slice(i * 100, i * 100 + 100),
    );
    await Promise.all(
      batches.map(async (batch) => {
        const Keys = batch.map((host) => ({ shard: { S: host } }));
        const command = new BatchGetItemCommand({ RequestItems: { [this.#name]: { Keys } } });
        for (const { shard, level, vtime } of (await this.#client.send(command)).Responses?.[this.#name] ?? []) {
          found.set(shard?.S ?? '', { level: level?.S ?? '', vtime: Number(vtime?.N) });
        }
      }),
    );
    if (found.size !== hosts.length) throw new Error('not every host was found');
  }
}
