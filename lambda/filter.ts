/** The entry of the function that answers schedulers. */
import middy from '@middy/core';
import { systemClock } from './clock.ts';
import { ComputeAttestation } from './attestation/compute-attestation.ts';
import { stackOf } from './config.ts';
import { Counts } from './log/counts.ts';
import { filterHandler, type FilterParts } from './http/filter-handler.ts';
import { FunctionLog } from './log/function-log.ts';
import { composeParts } from './parts.ts';
import { problems } from './http/problem.ts';
import { RequestLog } from './log/request-log.ts';
import { TrustedFilter } from './attestation/trusted-filter.ts';
import { Webhook } from './http/webhook.ts';

const counts = new Counts();
const log = new RequestLog(new FunctionLog(counts, () => ({ function: 'filter', stack: stackOf(process.env) })));

function compose(env: NodeJS.ProcessEnv): FilterParts {
  const { config, clock, timing, cache, handOver } = composeParts(env, systemClock, counts);
  const { clients, keylime } = config;
  // Where schedulers show certificates, verifiers do, too; of none that is known, nobody may post.
  const verifiers = clients && (keylime?.verifiers ?? []);
  const webhook = keylime && new Webhook({ verifiers, recheckMs: timing.recheckMs, handOver, clock, log });
  return { config, clock, filter: new TrustedFilter(new ComputeAttestation(cache, timing, clock)), webhook };
}

let parts: FilterParts | undefined;
// At the first request rather than at import, so that a fault of the configuration is an answer.
const getParts = (): FilterParts => (parts ??= compose(process.env));

export const handler = middy({ timeoutEarlyInMillis: 0 })
  .use(log.middleware())
  .use(problems())
  .handler(filterHandler(getParts, log));
