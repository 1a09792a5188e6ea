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
  const { eventBus, keylime, refreshFunction } = config;
  const handOver = refreshFunction === undefined ? undefined : new HandOver(refreshFunction, { clock, counts });
  const announcer = eventBus === undefined ? undefined : new Announcer(new EventBus(eventBus, counts));
  const cache = new ComputeAttestationCache({
    table: new ShardTable({ client, name: config.table, shardCount, timing, clock, counts }),
    service: serviceOf(config, { connection, clock, counts }),
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
  const hostsOf =
    keylime &&
    (async (agents: readonly string[], hosts: readonly string[]): Promise<string[]> => {
      const { agentIdOf, loadAgentIds } = await import('./service/keylime/agent-ids.ts');
      const agentIds = loadAgentIds(keylime);
      return hosts.filter((host) => agents.includes(agentIdOf(host, agentIds) ?? ''));
    });
  return { config, clock, timing, cache, announcer, handOver, hostsOf, counts };
}

/** The service that attests; what speaks to a Keylime verifier is loaded with the first poll, where there is one. */
function serviceOf(
  config: Config,
  parts: { readonly connection: Connection; readonly clock: Clock; readonly counts: Counts },
): AttestationService {
  const { apiUrl, authTimeoutSeconds, fleetSize, keylime, pollTimeoutSeconds } = config;
  if (keylime === undefined) return new OatService(parts.connection, apiUrl, parts.clock);
  let service: Promise<AttestationService> | undefined;
  const load = async (): Promise<AttestationService> => {
    const { KeylimeService } = await import('./service/keylime/keylime-service.ts');
    const pollTimeoutMs = pollTimeoutSeconds * 1000;
    const validityMs = authTimeoutSeconds * 1000;
    const { random } = Math;
    return new KeylimeService({ ...keylime, ...parts, apiUrl, fleetSize, pollTimeoutMs, validityMs, random });
  };
  return { doAttestation: async (hosts, signal) => (await (service ??= load())).doAttestation(hosts, signal) };
}
