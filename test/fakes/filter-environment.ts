import type { BatchGetItemCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { Announcer } from '../../lambda/events/announcer.ts';
import type { Connection } from '../../lambda/service/connection.ts';
import { KeylimeService } from '../../lambda/service/keylime/keylime-service.ts';
import { OatService } from '../../lambda/service/oat/oat-service.ts';
import type { Clock } from '../../lambda/clock.ts';
import { ComputeAttestation } from '../../lambda/attestation/compute-attestation.ts';
import { ComputeAttestationCache } from '../../lambda/attestation/compute-attestation-cache.ts';
import { Counts } from '../../lambda/log/counts.ts';
import { newDeadline } from '../../lambda/polling/deadline.ts';
import type { Reason, RequiredTrust } from '../../lambda/trust/reason.ts';
import type { EventBus } from '../../lambda/events/event-bus.ts';
import type { HandOver } from '../../lambda/polling/hand-over.ts';
import { Refresher, type RefresherParts } from '../../lambda/refreshing/refresher.ts';
import { ShardTable } from '../../lambda/table/shard-table.ts';
import { SynchronizedClock } from '../../lambda/table/synchronized-clock.ts';
import { TrustedFilter } from '../../lambda/attestation/trusted-filter.ts';
import { type Invocation, newInvocation } from '../../lambda/polling/waiter.ts';
import type { MemoryDynamoDb } from './memory-dynamodb.ts';

export interface FilterEnvironmentOptions {
  readonly clock: Clock;
  readonly dynamodb: MemoryDynamoDb;
  readonly connection: Pick<Connection, 'post'>;
  /** A verifier to ask instead, which knows hosts by their own names. */
  readonly verifier?: Pick<Connection, 'get'>;
  readonly validityMs?: number;
  readonly recheckMs?: number;
  readonly shardCount?: number;
  readonly deploymentMs?: number;
  readonly requestCount?: number;
  readonly parallelPolls?: number;
  readonly pollTimeoutMs?: number;
  readonly hostPattern?: RegExp;
  readonly unknownAlarmMs?: number;
  readonly handOver?: Pick<HandOver, 'isUp' | 'send'>;
  readonly bus?: Pick<EventBus, 'send'>;
}

export interface Asked {
  readonly hosts: readonly string[];
  readonly passed: readonly string[];
  readonly reasons: ReadonlyMap<string, Reason>;
  readonly validUntil: number | undefined;
  readonly invocation: Invocation;
}

/** A verifier whose agents have their hosts' names as ids. */
const NAMED = {
  apiUrl: '/v2.1',
  agentIds: 'name',
  namespace: '',
  policyRequired: true,
  fleetSize: 1_000,
  random: () => 0,
} as const;

/** The function's parts put together on a test's clock, table and attestation service. */
export class FilterEnvironment {
  readonly counts = new Counts();
  readonly cache: ComputeAttestationCache;
  readonly filter: TrustedFilter;
  readonly #clock: Clock;
  readonly #refresherParts: RefresherParts;
  readonly #death = new AbortController();

  constructor(options: FilterEnvironmentOptions) {
    const { dynamodb, validityMs = 60_000, recheckMs = 5_000, shardCount = 4 } = options;
    const clock = new SynchronizedClock(this.#mortalClock(options.clock), this.counts);
    const client = this.#mortal(dynamodb, clock);
    const connection = this.#mortalConnection(options.connection);
    const { requestCount = 100, parallelPolls = 10, pollTimeoutMs = 20_000, hostPattern } = options;
    const timing = { validityMs, recheckMs };
    const { counts } = this;
    const { deploymentMs } = options;
    const deployment = deploymentMs === undefined ? {} : { deploymentMs };
    const parts = { clock, counts, timing };
    const { verifier } = options;
    this.#clock = clock;
    const announcer = options.bus === undefined ? undefined : new Announcer(this.#mortalBus(options.bus));
    this.cache = new ComputeAttestationCache({
      ...parts,
      table: new ShardTable({ ...parts, client, name: 'table', shardCount, ...deployment }),
      service:
        verifier === undefined
          ? new OatService(connection, '', clock)
          : new KeylimeService({
              ...NAMED,
              ...parts,
              connection: this.#mortalVerifier(verifier),
              pollTimeoutMs,
              validityMs,
            }),
      plan: { requestCount, parallelPolls, isEachItsOwn: verifier !== undefined },
      pollTimeoutMs,
      hostPattern,
      handOver: options.handOver,
      announcer,
    });
    const seconds = {
      authTimeoutSeconds: validityMs / 1000,
      recheckSeconds: recheckMs / 1000,
      unknownAlarmSeconds: (options.unknownAlarmMs ?? 3_600_000) / 1000,
    };
    const config = { requestCount, parallelPolls, ...seconds };
    const hostsOf = (agents: readonly string[], hosts: readonly string[]): Promise<string[]> =>
      Promise.resolve(hosts.filter((host) => agents.includes(host)));
    this.#refresherParts = { config, cache: this.cache, announcer, hostsOf, clock, counts };
    this.filter = new TrustedFilter(new ComputeAttestation(this.cache, timing, clock));
  }

  async ask(hosts: readonly string[], trust: RequiredTrust = 'trusted', limitMs = 25_000): Promise<Asked> {
    const invocation = newInvocation(newDeadline({ clock: this.#clock, limitMs }));
    const { reasons, validUntil } = await this.filter.filterAll(hosts, { trust }, invocation);
    return {
      hosts,
      passed: hosts.filter((_, i) => reasons?.[i] === trust),
      reasons: new Map(hosts.map((host, i) => [host, reasons?.[i] ?? trust])),
      validUntil,
      invocation,
    };
  }

  /** What an invocation of the refreshing function does in this environment. */
  refresher(limitMs = 300_000): Refresher {
    return new Refresher(this.#refresherParts, this.#clock.monotonic() + limitMs);
  }

  /** Ends the environment as it stands: nothing it does from now on happens, and its connections are closed. */
  crash(): void {
    this.#death.abort();
  }

  #mortalClock(clock: Clock): Clock {
    return {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      moment: () => clock.moment(),
      timeOf: (moment) => clock.timeOf(moment),
      wait: (ms, signal) => clock.wait(ms, signal).then(() => this.#orNever()),
      turn: () => clock.turn().then(() => this.#orNever()),
    };
  }

  #mortal(dynamodb: MemoryDynamoDb, clock: SynchronizedClock): DynamoDBClient {
    const send = async (command: BatchGetItemCommand): Promise<unknown> => {
      await this.#orNever();
      const sent = clock.moment();
      const client = dynamodb.clientFor((date) => clock.dated(date, sent));
      return client.send(command).finally(() => this.#orNever());
    };
    return { send } as unknown as DynamoDBClient;
  }

  #mortalConnection(connection: Pick<Connection, 'post'>): Pick<Connection, 'post'> {
    return {
      post: (path, body, { signal, maxBytes }) =>
        connection
          .post(path, body, { signal: AbortSignal.any([signal, this.#death.signal]), maxBytes })
          .finally(() => this.#orNever()),
    };
  }

  #mortalVerifier(verifier: Pick<Connection, 'get'>): Pick<Connection, 'get'> {
    return {
      get: (path, { signal, maxBytes }) =>
        verifier
          .get(path, { signal: AbortSignal.any([signal, this.#death.signal]), maxBytes })
          .finally(() => this.#orNever()),
    };
  }

  #mortalBus(bus: Pick<EventBus, 'send'>): Pick<EventBus, 'send'> {
    return {
      send: async (announcements) => {
        await this.#orNever();
        return bus.send(announcements).finally(() => this.#orNever());
      },
    };
  }

  #orNever(): Promise<void> {
    return this.#death.signal.aborted ? new Promise(() => {}) : Promise.resolve();
  }

  /** What was counted since the last look. */
  counted(): Record<string, number> {
    return Object.fromEntries(this.counts.take().values);
  }
}
