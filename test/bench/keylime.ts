import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { CertificateAuthority, LOOPBACK_NAMES } from '../../infra/local/certificates.ts';
import { ComputeAttestationCache } from '../../lambda/attestation/compute-attestation-cache.ts';
import { systemClock } from '../../lambda/clock.ts';
import { SETTINGS } from '../../lambda/config.ts';
import { Counts } from '../../lambda/log/counts.ts';
import { newDeadline } from '../../lambda/polling/deadline.ts';
import { newInvocation } from '../../lambda/polling/waiter.ts';
import { ClientCertificateSource } from '../../lambda/service/client-certificate-source.ts';
import type { Connection } from '../../lambda/service/connection.ts';
import { HttpsClientAuthConnection } from '../../lambda/service/https-client-auth-connection.ts';
import { agentIdOf } from '../../lambda/service/keylime/agent-ids.ts';
import { KeylimeService } from '../../lambda/service/keylime/keylime-service.ts';
import { shardCount as shardCountOf } from '../../lambda/table/shard.ts';
import { ShardTable } from '../../lambda/table/shard-table.ts';
import { MemoryDynamoDb } from '../fakes/memory-dynamodb.ts';
import type { Seen, VerifierTask } from './keylime-verifier.ts';
import { median, progress, type Report, round } from './report.ts';

const PROCESS = fileURLToPath(new URL('keylime-verifier.ts', import.meta.url));
const SIZES = [100, 1_000, 10_000] as const;
/** The verifier of which only a part is asked about at once. */
const COMPARED = 1_000;
const SHARES = [0.02, 0.05, 0.1, 0.15, 0.18, 0.25, 0.5, 1] as const;
/** Odd, for a median; as many as it takes for what a moment of the machine does to be none of it. */
const RUNS = 5;
/** The largest takes long enough to be measured once. */
const ONCE_FROM = 10_000;
const TIMING = { validityMs: 600_000, recheckMs: 5_000 };
/** So long that single GETs of the largest fleet, by which the choice is measured, are not cut short. */
const POLL_TIMEOUT_MS = 120_000;
const MOST_TIMES = 1.3;
const API_URL = SETTINGS.apiUrl.keylimeDefault;
const PLAN = { requestCount: Number(SETTINGS.requestCount.keylimeDefault), parallelPolls: 10, isEachItsOwn: true };
const IDS = { agentIds: 'uuid5', namespace: SETTINGS.namespace.default };

/** How agents are read: as the service chooses, or made to by a fleet that is too large to be read at once or too small not to be. */
const WAYS = ['chosen', 'single', 'bulk'] as const;
type Way = (typeof WAYS)[number];
/** Of how many agents the service believes that the verifier has them. */
const FLEET: Readonly<Record<Way, (size: number) => number>> = {
  chosen: (size) => size,
  single: () => Infinity,
  bulk: () => 1,
};

/** How long something took, each way, and what the verifier was asked for it where the service chose. */
interface Compared {
  readonly ms: Readonly<Record<Way, number>>;
  readonly seen: Seen;
}

/**
 * Single GETs of agents beside one of all, against the local verifier with the cost of the real one: a whole fleet, cold and once
 * more as the schedule refreshes it, and parts of one. With two workers, and with one: where all of a verifier shares two
 * processors with its database, two workers answered no more than one does, and it is by this that parts of a fleet are held to the bound.
 */
export async function keylime(): Promise<Report> {
  const rows: Record<string, string | number>[] = [];
  const bounds: Report['bounds'][number][] = [];
  const add = (what: string, hosts: number, workers: number, { ms, seen }: Compared, isBound: boolean): void => {
    const best = Math.min(ms.single, ms.bulk);
    const { gets, bulks } = seen;
    rows.push({ what, hosts, workers, ...msOf(ms), 'times the better': ms.chosen / best, gets, bulks });
    const bound = `times the better of the two: ${hosts} hosts, ${what}, workers: ${workers}`;
    if (isBound) bounds.push({ what: bound, measured: ms.chosen / best, atMost: MOST_TIMES });
  };
  for (const size of SIZES) {
    const verifier = await Verifier.start(size, 2);
    await verifier.warmUp();
    const cold: Compared[] = [];
    const warm: Compared[] = [];
    for (let run = 0; run < (size >= ONCE_FROM ? 1 : RUNS); run++) {
      progress(`keylime: ${size} hosts, run ${run + 1}`);
      const [first, second] = await verifier.compareRounds(run);
      cold.push(first);
      warm.push(second);
    }
    add('cold', size, 2, middle(cold), true);
    add('one round', size, 2, middle(warm), true);
    await verifier.stop();
  }
  for (const workers of [1, 2]) {
    const verifier = await Verifier.start(COMPARED, workers);
    await verifier.warmUp();
    for (const share of SHARES) {
      progress(`keylime: ${share * 100} % of ${COMPARED} hosts, ${workers} workers`);
      const runs: Compared[] = [];
      for (let run = 0; run < RUNS; run++) runs.push(await verifier.comparePolls(Math.round(COMPARED * share), run));
      add(`${round(share * 100)} % of them`, COMPARED, workers, middle(runs), workers === 1);
    }
    await verifier.stop();
  }
  progress('');
  return { bench: 'keylime: single GETs beside one of all agents, ms', rows, bounds };
}

function msOf(ms: Compared['ms']): Record<string, number> {
  return { 'chosen (ms)': ms.chosen, 'single (ms)': ms.single, 'bulk (ms)': ms.bulk };
}

function middle(runs: readonly Compared[]): Compared {
  const of = (way: Way): number => median(runs.map(({ ms }) => ms[way]));
  const [first] = runs;
  if (first === undefined) throw new Error('nothing was measured');
  return { ms: { chosen: of('chosen'), single: of('single'), bulk: of('bulk') }, seen: first.seen };
}

/** The ways, another of them first each time. */
function inTurn(run: number): Way[] {
  const first = run % WAYS.length;
  return [...WAYS.slice(first), ...WAYS.slice(0, first)];
}

/** A verifier in a process of its own, and the parts of the functions that ask it. */
class Verifier {
  readonly #child: ChildProcess;
  readonly #hosts: readonly string[];
  readonly #connect: () => Pick<Connection, 'get'>;

  private constructor(child: ChildProcess, hosts: readonly string[], connect: () => Pick<Connection, 'get'>) {
    this.#child = child;
    this.#hosts = hosts;
    this.#connect = connect;
  }

  static async start(size: number, workers: number): Promise<Verifier> {
    const authority = await CertificateAuthority.create('bench authority');
    const pair = await authority.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
    const client = await authority.client({ commonName: 'trusted-filter' });
    const text = JSON.stringify({ ...client, ca: authority.cert });
    const secret = { read: () => Promise.resolve({ version: '1', text }) };
    const hosts = Array.from({ length: size }, (_, i) => `compute-${i}.example.com`);
    const ids = hosts.map((host) => agentIdOf(host, { kind: 'uuid5', namespace: IDS.namespace }) ?? '');
    const child = fork(PROCESS, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const { port } = await ask<{ port: number }>(child, { ...pair, ca: authority.cert, ids, workers });
    const connect = (): Pick<Connection, 'get'> => {
      const counts = new Counts();
      const certificates = new ClientCertificateSource({ secret, clock: systemClock, counts });
      return new HttpsClientAuthConnection({ server: 'localhost', port, certificates, clock: systemClock, counts });
    };
    return new Verifier(child, hosts, connect);
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.disconnect();
    await exited;
  }

  /** Has everything loaded, and an answer of this size read, before it is measured. */
  async warmUp(): Promise<void> {
    await this.#service('bulk').doAttestation(this.#hosts, AbortSignal.timeout(POLL_TIMEOUT_MS));
    await this.#take();
  }

  /** Attests the whole fleet twice, with nothing known and as a round of the schedule does: how long each took. */
  async compareRounds(run: number): Promise<[Compared, Compared]> {
    const cold: Partial<Record<Way, number>> = {};
    const warm: Partial<Record<Way, number>> = {};
    let seen: [Seen, Seen] | undefined;
    for (const way of inTurn(run)) {
      const { cache, forget } = this.#parts(way);
      cold[way] = await timed(() => this.#attest(cache));
      const first = await this.#take();
      if (way === 'bulk') forget();
      warm[way] = await timed(() => this.#renew(cache));
      const second = await this.#take();
      if (way === 'chosen') seen = [first, second];
    }
    const [first, second] = seen ?? [await this.#take(), await this.#take()];
    return [
      { ms: cold as Compared['ms'], seen: first },
      { ms: warm as Compared['ms'], seen: second },
    ];
  }

  /** One poll of so many hosts. */
  async comparePolls(count: number, run: number): Promise<Compared> {
    const hosts = this.#hosts.slice(0, count);
    const ms: Partial<Record<Way, number>> = {};
    let seen: Seen | undefined;
    for (const way of inTurn(run)) {
      const service = this.#service(way);
      ms[way] = await timed(async () => {
        const { answers } = await service.doAttestation(hosts, AbortSignal.timeout(POLL_TIMEOUT_MS));
        if (answers.size !== count) throw new Error(`${answers.size} of ${count} hosts were answered`);
      });
      const taken = await this.#take();
      if (way === 'chosen') seen = taken;
    }
    return { ms: ms as Compared['ms'], seen: seen ?? (await this.#take()) };
  }

  #take(): Promise<Seen> {
    return ask<Seen>(this.#child, {});
  }

  #service(way: Way): KeylimeService {
    const connection = this.#connect();
    return new KeylimeService({
      random: Math.random,
      ...IDS,
      // The limit of an answer goes by the size of the fleet, which is another here.
      connection: { get: (path, limits) => connection.get(path, { ...limits, maxBytes: Infinity }) },
      apiUrl: API_URL,
      fleetSize: FLEET[way](this.#hosts.length),
      pollTimeoutMs: POLL_TIMEOUT_MS,
      validityMs: TIMING.validityMs,
      policyRequired: true,
      clock: systemClock,
      counts: new Counts(),
    });
  }

  /** A cache with nothing in it, and what has its service forget how many agents there are. */
  #parts(way: Way): { readonly cache: ComputeAttestationCache; readonly forget: () => void } {
    let service = this.#service(way);
    const parts = { timing: TIMING, clock: systemClock, counts: new Counts() };
    const { client } = new MemoryDynamoDb(systemClock);
    const cache = new ComputeAttestationCache({
      ...parts,
      table: new ShardTable({ ...parts, client, name: 'table', shardCount: shardCountOf(this.#hosts.length) }),
      service: { doAttestation: (hosts, signal) => service.doAttestation(hosts, signal) },
      plan: PLAN,
      pollTimeoutMs: POLL_TIMEOUT_MS,
    });
    return { cache, forget: () => (service = this.#service(way)) };
  }

  async #attest(cache: ComputeAttestationCache): Promise<void> {
    const deadline = newDeadline({ clock: systemClock, limitMs: POLL_TIMEOUT_MS });
    const found = await cache.getHostAttestations(this.#hosts, newInvocation(deadline));
    const trusted = found.filter(({ level }) => level === 'trusted').length;
    if (trusted !== this.#hosts.length) throw new Error(`${trusted} of ${this.#hosts.length} hosts are trusted`);
  }

  async #renew(cache: ComputeAttestationCache): Promise<void> {
    const deadline = newDeadline({ clock: systemClock, limitMs: POLL_TIMEOUT_MS });
    const renewal = { renewSince: systemClock.now() };
    const { attested } = await cache.refresh(this.#hosts, newInvocation(deadline, renewal));
    if (attested !== this.#hosts.length) throw new Error(`${attested} of ${this.#hosts.length} hosts were attested`);
  }
}

async function ask<T>(child: ChildProcess, message: VerifierTask | object): Promise<T> {
  const answered = once(child, 'message') as Promise<[T]>;
  child.send(message);
  const [answer] = await answered;
  return answer;
}

async function timed(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}
