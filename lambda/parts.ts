import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { Announcer } from './events/announcer.ts';
import type { AttestationService } from './service/attestation-service.ts';
import { SecretsManagerSecret } from './service/client-certificate.ts';
import { ClientCertificateSource } from './service/client-certificate-source.ts';
import type { Clock } from './clock.ts';
import { ComputeAttestationCache } from './attestation/compute-attestation-cache.ts';
import { type Config, loadConfig } from './config.ts';
import { KeptConnections } from './kept-connections.ts';
import type { Counts } from './log/counts.ts';
import type { Connection } from './service/connection.ts';
import type { KeylimeService } from './service/keylime/keylime-service.ts';
import { OatService } from './service/oat/oat-service.ts';
import type { Timing } from './trust/time.ts';
import { EventBus } from './events/event-bus.ts';
import { HandOver } from './polling/hand-over.ts';
import { HttpsClientAuthConnection } from './service/https-client-auth-connection.ts';
import { shardCount as shardCountOf } from './table/shard.ts';
import { ShardTable } from './table/shard-table.ts';
import { SynchronizedClock } from './table/synchronized-clock.ts';

/** What all functions have in common. */
export interface Parts {
  readonly config: Config;
  readonly clock: Clock;
  readonly timing: Timing;
  readonly cache: ComputeAttestationCache;
  readonly announcer: Announcer | undefined;
  readonly handOver: HandOver | undefined;
  /** Which of some hosts the service knows by these ids; absent where it has no ids of its own. */
  readonly hostsOf: ((agents: readonly string[], hosts: readonly string[]) => Promise<string[]>) | undefined;
  readonly counts: Counts;
}

/**
 * Puts together what the functions have in common.
 * @throws {ConfigurationError} with every fault of the environment at once
 */
export function composeParts(env: NodeJS.ProcessEnv, ownClock: Clock, counts: Counts): Parts {
  const clock = new SynchronizedClock(ownClock, counts);
  const config = loadConfig(env);
  const timing = { validityMs: config.authTimeoutSeconds * 1000, recheckMs: config.recheckSeconds * 1000 };
  const shardCount = shardCountOf(config.fleetSize);
  const client = new DynamoDBClient({
    maxAttempts: 1, // the table tries again itself, for as long as the request's deadline allows
    requestHandler: new KeptConnections(
      { connectionTimeout: 1_000, requestTimeout: 2_000, throwOnRequestTimeout: true },
      { onDate: (date, sent) => clock.dated(date, sent) },
    ),
  });
  const secret = new SecretsManagerSecret(config.secretId);
  const connection = new HttpsClientAuthConnection({
    server: config.server,
    port: config.port,
    serverName: config.serverName,
    certificates: new ClientCertificateSource({ secret, clock, counts }),
    clock,
    counts,
  });
  const { eventBus, refreshFunction } = config;
  const { service, hostsOf } = attesterOf(config, { connection, clock, counts });
  const handOver = refreshFunction === undefined ? undefined : new HandOver(refreshFunction, { clock, counts });
  const announcer = eventBus === undefined ? undefined : new Announcer(new EventBus(eventBus, counts));
  const cache = new ComputeAttestationCache({
    table: new ShardTable({ client, name: config.table, shardCount, timing, clock, counts }),
    service,
    timing,
    clock,
    counts,
    plan: {
      requestCount: config.requestCount,
      parallelPolls: config.parallelPolls,
      isEachItsOwn: config.keylime !== undefined,
    },
    pollTimeoutMs: config.pollTimeoutSeconds * 1000,
    hostPattern: config.hostPattern,
    handOver,
    announcer,
  });
  return { config, clock, timing, cache, announcer, handOver, hostsOf, counts };
}

/** The service that attests, and what it knows hosts by; what speaks to a Keylime verifier is loaded when it is first needed. */
function attesterOf(
  config: Config,
  parts: { readonly connection: Connection; readonly clock: Clock; readonly counts: Counts },
): Pick<Parts, 'hostsOf'> & { readonly service: AttestationService } {
  const { apiUrl, authTimeoutSeconds, fleetSize, keylime, pollTimeoutSeconds } = config;
  if (keylime === undefined)
    return { service: new OatService(parts.connection, apiUrl, parts.clock), hostsOf: undefined };
  const pollTimeoutMs = pollTimeoutSeconds * 1000;
  const validityMs = authTimeoutSeconds * 1000;
  const { random } = Math;
  const options = { ...keylime, ...parts, apiUrl, fleetSize, pollTimeoutMs, validityMs, random };
  let loaded: Promise<KeylimeService> | undefined;
  const load = (): Promise<KeylimeService> =>
    (loaded ??= import('./service/keylime/keylime-service.ts').then(
      ({ KeylimeService: Service }) => new Service(options),
    ));
  return {
    service: { doAttestation: async (hosts, signal) => (await load()).doAttestation(hosts, signal) },
    hostsOf: async (agents, hosts) => (await load()).hostsOf(agents, hosts),
  };
}
