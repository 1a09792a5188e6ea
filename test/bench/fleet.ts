import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { LambdaService } from '../../infra/local/aws/lambda-service.ts';
import { type OatServerOptions, reply } from '../../infra/local/oat-server.ts';
import type { Cloud } from '../fakes/cloud.ts';
import { answerOf, filterEvent } from '../fakes/events.ts';
import type { LambdaEnvironment } from '../fakes/lambda-environment.ts';

const REFRESH = 'refresh';
const BUNDLE = fileURLToPath(new URL('../fakes/turned-refresh.ts', import.meta.url));
const VALIDITY_MS = 60_000;
/** An answer is due so long before the end of the function's time. */
const RESERVE_MS = 500;

/** How one request was answered. */
export interface Sample {
  readonly seconds: number;
  /** How many of its hosts, of all. */
  readonly resolved: number;
}

/** What was measured of a fleet at one service time. */
export interface Measured {
  readonly samples: readonly Sample[];
  /** How often a host that was not cached was polled in a round, on average. */
  readonly pollsPerHost: number;
  /** The same requests once more, a while after the last of the samples were sent. */
  readonly later: Promise<readonly Sample[]>;
}

export interface FleetOptions {
  readonly hosts: number;
  /** The part of the hosts, 0 to 1, that the table has when a request comes. */
  readonly cached: number;
  /** How many environments of the filter ask at once. */
  readonly environments: number;
  /** How long a request has. */
  readonly limitMs: number;
  /** How long after a request its hosts are asked about once more. */
  readonly laterMs: number;
}

interface FleetParts {
  readonly attester: Attester;
  readonly lambda: LambdaService;
  /** Those that are measured. */
  readonly environments: readonly LambdaEnvironment[];
  /** One that knows of no `refresh`, and polls what is to be cached. */
  readonly other: LambdaEnvironment;
}

/**
 * A fleet with a table, an attestation service, a `refresh` and environments of the filter of its own. They are all on one
 * clock, which is turned past the validity before each round: the same hosts are new again, as often as is needed, and the
 * table stays as large as the fleet.
 */
export class Fleet {
  readonly #options: FleetOptions;
  readonly #parts: FleetParts;
  readonly #hosts: readonly string[];
  readonly #cached: readonly string[];

  private constructor(options: FleetOptions, parts: FleetParts) {
    this.#options = options;
    this.#parts = parts;
    this.#hosts = Array.from({ length: options.hosts }, (_, i) => `compute-${i}.example.com`);
    this.#cached = this.#hosts.slice(0, Math.round(options.hosts * options.cached));
  }

  static async start(cloud: Cloud, options: FleetOptions): Promise<Fleet> {
    const attester = new Attester();
    const oat = await cloud.oat(attester.answer);
    const env = { ...cloud.env(oat, await cloud.table()), ATTESTATION_FLEET_SIZE: String(options.hosts) };
    const lambda = await LambdaService.start({ functionName: REFRESH, bundle: BUNDLE, env, print: () => {} });
    lambda.before = (event) => void Object.assign(Object(event), { clockOffsetMs: attester.clockOffsetMs });
    const handsOver = { ...env, ATTESTATION_REFRESH_FUNCTION: REFRESH, AWS_ENDPOINT_URL_LAMBDA: lambda.endpoint };
    const [other, ...environments] = await Promise.all([
      cloud.environment(env),
      ...Array.from({ length: options.environments }, () => cloud.environment(handsOver)),
    ]);
    const fleet = new Fleet(options, { attester, lambda, environments, other });
    // Everything has been loaded and connected before it is measured.
    await fleet.#round(0);
    await lambda.settled();
    return fleet;
  }

  /** Has all environments ask about the whole fleet at once, in so many rounds. */
  async measure(serviceMs: number, rounds: number): Promise<Measured> {
    const { attester, environments, lambda } = this.#parts;
    const samples: Sample[] = [];
    attester.hostsPolled = 0;
    let sentAt = 0;
    for (let round = 0; round < rounds; round++) {
      samples.push(...(await this.#round(serviceMs)));
      const last = samples.slice(-environments.length);
      sentAt = performance.now() - Math.max(...last.map(({ seconds }) => seconds)) * 1000;
    }
    // Whether refresh is done by then or not.
    const later = sleep(sentAt + this.#options.laterMs - performance.now()).then(() => this.#ask());
    await lambda.settled();
    const uncached = this.#hosts.length - this.#cached.length;
    return { samples, pollsPerHost: attester.hostsPolled / rounds / Math.max(1, uncached), later };
  }

  async close(): Promise<void> {
    const { environments, lambda, other } = this.#parts;
    await Promise.all([lambda.close(), ...[other, ...environments].map((each) => each.stop())]);
  }

  async #round(serviceMs: number): Promise<Sample[]> {
    const { attester, environments, lambda, other } = this.#parts;
    await lambda.settled();
    attester.clockOffsetMs += VALIDITY_MS + 1_000;
    for (const each of [other, ...environments]) each.turnClock(attester.clockOffsetMs);
    const before = attester.hostsPolled;
    attester.serviceMs = 0;
    const passed = answerOf(await other.invoke(filterEvent(this.#cached))).hosts.length;
    if (passed < this.#cached.length) throw new Error(`${passed} of ${this.#cached.length} hosts were attested`);
    attester.hostsPolled = before;
    attester.serviceMs = serviceMs;
    return this.#ask();
  }

  #ask(): Promise<Sample[]> {
    const event = filterEvent(this.#hosts);
    const remainingMs = this.#options.limitMs + RESERVE_MS;
    return Promise.all(
      this.#parts.environments.map(async (environment) => {
        const begun = performance.now();
        const result = await environment.invoke(event, remainingMs);
        const seconds = (performance.now() - begun) / 1000;
        return { seconds, resolved: answerOf(result).hosts.length / this.#hosts.length };
      }),
    );
  }
}

/** An attestation service that trusts everybody, after a while, and goes by the fleet's clock. */
class Attester {
  clockOffsetMs = 0;
  serviceMs = 0;
  hostsPolled = 0;

  readonly answer: OatServerOptions['answer'] = async ({ hosts }, response) => {
    this.hostsPolled += hosts.length;
    const vtime = Date.now() + this.clockOffsetMs;
    await sleep(this.serviceMs);
    reply(
      response,
      hosts.map((host) => ({ host_name: host, trust_lvl: 'trusted', vtime })),
    );
  };
}
