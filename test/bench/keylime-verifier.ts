/**
 * A local Keylime verifier in a process of its own: is sent one `VerifierTask`, and sends back where it listens; then, whenever it
 * is sent anything, what it was asked since the last time.
 */
import type { KeyPair } from '../../infra/local/certificates.ts';
import { trusted } from '../../infra/local/keylime-agents.ts';
import { KeylimeServer } from '../../infra/local/keylime-server.ts';
import { lehmer } from '../fakes/virtual-clock.ts';

export interface VerifierTask extends KeyPair {
  readonly ca: string;
  /** The agents that it has; each is trusted, and has quoted for an hour. */
  readonly ids: readonly string[];
  readonly workers: number;
}

/** What was asked. */
export interface Seen {
  readonly gets: number;
  readonly bulks: number;
  readonly mostAtOnce: number;
}

/** As measured of verifier 7.14.3: from 3.6 to 6.6 ms for a GET, and 0.7 ms for each agent of a list. */
const LEAST_MS = 3.6;
const MOST_MS = 6.6;
const AGENT_MS = 0.7;
const HOUR = 3_600;

async function serve({ ids, workers, ...tls }: VerifierTask): Promise<KeylimeServer> {
  const random = lehmer(5);
  const life = trusted(Math.floor(Date.now() / 1000) - HOUR);
  const known = new Set(ids);
  const requestMs = (): number => LEAST_MS + (MOST_MS - LEAST_MS) * random();
  return KeylimeServer.start({
    ...tls,
    agent: (id, now) => (known.has(id) ? life(now) : undefined),
    ids: () => ids,
    cost: { workers, requestMs, agentMs: AGENT_MS },
  });
}

function take(server: KeylimeServer): Seen {
  const { counts, mostAtOnce } = server;
  const seen = { gets: counts.agent, bulks: counts.bulk, mostAtOnce };
  counts.agent = counts.bulk = server.mostAtOnce = 0;
  return seen;
}

let server: KeylimeServer | undefined;
process.on('message', (message) => {
  if (server !== undefined) return void process.send?.(take(server));
  void serve(message as VerifierTask).then((started) => {
    server = started;
    process.send?.({ port: started.port });
  });
});
process.on('disconnect', () => process.exit());
