/** The entry of the function that answers schedulers; the only place where its parts are put together. */
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import middy from '@middy/core';
import { AttestationService } from './attestation-service.ts';
import { SecretsManagerSecret } from './client-certificate.ts';
import { ClientCertificateSource } from './client-certificate-source.ts';
import { systemClock as clock } from './clock.ts';
import { ComputeAttestation } from './compute-attestation.ts';
import { ComputeAttestationCache } from './compute-attestation-cache.ts';
import { loadConfig } from './config.ts';
import { Counts } from './counts.ts';
import { filterHandler, type FilterParts } from './filter-handler.ts';
import { HttpsClientAuthConnection } from './https-client-auth-connection.ts';
import { problems } from './problem.ts';
import { RequestLog } from './request-log.ts';
import { shardCount as shardCountOf } from './shard.ts';
import { ShardTable } from './shard-table.ts';
import { TrustedFilter } from './trusted-filter.ts';

const counts = new Counts();
const log = new RequestLog(counts);

function compose(env: NodeJS.ProcessEnv): FilterParts {
  const config = loadConfig(env);
  const timing = { validityMs: config.authTimeoutSeconds * 1000, recheckMs: config.recheckSeconds * 1000 };
  const shardCount = shardCountOf(config.fleetSize);
  const client = new DynamoDBClient({
    maxAttempts: 1, // the table tries again itself, for as long as the request's deadline allows
    requestHandler: { connectionTimeout: 1_000, requestTimeout: 2_000, throwOnRequestTimeout: true },
  });
  const secret = new SecretsManagerSecret(config.secretId);
  const connection = new HttpsClientAuthConnection({
    server: config.server,
    port: config.port,
    certificates: new ClientCertificateSource({ secret, clock, counts }),
    clock,
    counts,
  });
  const cache = new ComputeAttestationCache({
    table: new ShardTable({ client, name: config.table, shardCount, timing, clock, counts }),
    service: new AttestationService(connection, config.apiUrl, clock),
    timing,
    clock,
    counts,
    shardCount,
    plan: { requestCount: config.requestCount, parallelPolls: config.parallelPolls },
    pollTimeoutMs: config.pollTimeoutSeconds * 1000,
    hostPattern: config.hostPattern,
  });
  return { config, clock, filter: new TrustedFilter(new ComputeAttestation(cache), timing, () => clock.now()) };
}

let parts: FilterParts | undefined;
// At the first request rather than at import, so that a fault of the configuration is an answer.
const getParts = (): FilterParts => (parts ??= compose(process.env));

export const handler = middy({ timeoutEarlyInMillis: 0 })
  .use(log.middleware())
  .use(problems())
  .handler(filterHandler(getParts, log));
