import { existsSync } from 'node:fs';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SETTINGS } from '../../lambda/config.ts';
import { KEYLIME_SETTINGS } from '../../lambda/keylime-settings.ts';
import { agentIdOf, type AgentIdSettings, loadAgentIds } from '../../lambda/service/keylime/agent-ids.ts';
import { CertificateAuthority, LOOPBACK_NAMES } from './certificates.ts';
import { createTable, DynamoDbServer } from './aws/dynamodb.ts';
import { EventBusServer } from './aws/event-bus.ts';
import { answerFromFleet } from './fleet.ts';
import type { Handler } from './aws/http-api.ts';
import { agentsOf, describeFleet, EXAMPLES, hostsOfFleet } from './keylime-fleet.ts';
import { KeylimeServer } from './keylime-server.ts';
import { LambdaService } from './aws/lambda-service.ts';
import { OatServer } from './oat-server.ts';
import { createSecret, SecretsManagerServer } from './aws/secrets-manager.ts';

/** What the function needs around it, by the names of `--without`. */
export const PARTS = ['dynamodb', 'secrets-manager', 'oat', 'events', 'refresh', 'keylime'] as const;
export type Part = (typeof PARTS)[number];

/** The attestation services that there are; each is a part, and one of them is started. */
export const SERVICES = ['oat', 'keylime'] as const;
export type Service = (typeof SERVICES)[number];

type Env = Record<string, string | undefined>;

/** Nothing listens here: where a part is left out, the function must live with that. */
const NOWHERE = 'http://127.0.0.1:9';
const DYNAMODB = 'AWS_ENDPOINT_URL_DYNAMODB';
const SECRETS_MANAGER = 'AWS_ENDPOINT_URL_SECRETS_MANAGER';
const EVENTBRIDGE = 'AWS_ENDPOINT_URL_EVENTBRIDGE';
const LAMBDA = 'AWS_ENDPOINT_URL_LAMBDA';
const ENDPOINTS = [DYNAMODB, SECRETS_MANAGER, EVENTBRIDGE, LAMBDA];
const REFRESH_FUNCTION = 'ATTESTATION_REFRESH_FUNCTION';
const SERVICE = SETTINGS.service.variable;

export interface LocalEnvironment {
  /** The variables of the function. */
  readonly env: Readonly<Record<string, string>>;
  /** A line for each part: what it is, and where. */
  readonly parts: readonly string[];
  /** What there is to ask about, where a newcomer would not guess it: lines, and a host for each kind of answer. */
  readonly fleet: { readonly lines: readonly string[]; readonly examples: readonly string[] } | undefined;
  /** What took the events, where it is not left out or given. */
  readonly eventBus: EventBusServer | undefined;
  /** What runs `refresh`, likewise. */
  readonly lambda: LambdaService | undefined;
  readonly close: () => Promise<void>;
}

/**
 * Brings up what the function needs, but for the parts that a variable replaces with a real one, and those left out.
 * @param given the environment to take variables from: `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_ENDPOINT_URL_SECRETS_MANAGER`,
 *   `AWS_ENDPOINT_URL_EVENTBRIDGE`, `AWS_ENDPOINT_URL_LAMBDA`, `ATTESTATION_*` and what the AWS SDK reads
 * @param asked what attests; by default what `ATTESTATION_SERVICE` says, else OAT
 */
export async function startEnvironment(
  given: Env,
  without: ReadonlySet<Part>,
  asked?: Service,
): Promise<LocalEnvironment> {
  const starting = new Starting(asked === undefined ? given : { ...given, [SERVICE]: asked }, without);
  const authority = await CertificateAuthority.create('trusted-filter local authority');
  const client = await authority.client({ commonName: 'trusted-filter' });
  try {
    await starting.dynamodb();
    await starting.secretsManager(JSON.stringify({ ...client, ca: authority.cert }));
    await (starting.env[SERVICE] === 'keylime' ? starting.keylime(authority) : starting.oat(authority));
    await starting.events();
    await starting.refresh();
  } catch (error) {
    await starting.close();
    throw error;
  }
  return starting;
}

class Starting implements LocalEnvironment {
  readonly env: Record<string, string> = {};
  readonly parts: string[] = [];
  fleet: LocalEnvironment['fleet'];
  eventBus: EventBusServer | undefined;
  lambda: LambdaService | undefined;
  readonly #given: Env;
  readonly #without: ReadonlySet<Part>;
  readonly #closers: (() => Promise<void>)[] = [];

  constructor(given: Env, without: ReadonlySet<Part>) {
    this.#given = given;
    this.#without = without;
    this.env['AWS_REGION'] = given['AWS_REGION'] || 'us-east-1';
    this.env['ATTESTATION_TABLE'] = 'trusted-filter';
    this.env['ATTESTATION_SECRET_ID'] = 'trusted-filter/client-certificate';
    this.env['ATTESTATION_EVENT_BUS'] = 'trusted-filter';
    this.env[REFRESH_FUNCTION] = 'refresh';
    for (const [name, value] of Object.entries(given)) {
      if (name.startsWith('ATTESTATION_') && value) this.env[name] = value;
    }
    // Endpoints on this machine ask for no rights; real ones get the caller's own.
    if (ENDPOINTS.every((name) => !given[name] || isLoopback(given[name]))) {
      this.env['AWS_ACCESS_KEY_ID'] = 'local';
      this.env['AWS_SECRET_ACCESS_KEY'] = 'local';
    }
  }

  async close(): Promise<void> {
    // Whatever uses others ends before them.
    for (const close of this.#closers.toReversed()) await close();
  }

  async dynamodb(): Promise<void> {
    const given = this.#given[DYNAMODB];
    const endpoint = given || (await this.#start('dynamodb', () => DynamoDbServer.start()))?.endpoint;
    this.#say('DynamoDB', given, endpoint, 'dynalite, in memory');
    this.env[DYNAMODB] = endpoint ?? NOWHERE;
    if (endpoint === undefined || !isLoopback(endpoint)) return;
    const client = new DynamoDBClient({ endpoint, ...this.#credentials() });
    await createTable(client, this.env['ATTESTATION_TABLE'] ?? '');
    client.destroy();
  }

  async secretsManager(secret: string): Promise<void> {
    const given = this.#given[SECRETS_MANAGER];
    const name = this.env['ATTESTATION_SECRET_ID'] ?? '';
    const secrets = new Map([[name, secret]]);
    const start = (): Promise<SecretsManagerServer> => SecretsManagerServer.start(secrets);
    const endpoint = given || (await this.#start('secrets-manager', start))?.endpoint;
    this.#say('Secrets Manager', given, endpoint, 'serves a client certificate made just now');
    this.env[SECRETS_MANAGER] = endpoint ?? NOWHERE;
    if (!given || !isLoopback(given)) return;
    const client = new SecretsManagerClient({ endpoint: given, ...this.#credentials() });
    const wasCreated = await createSecret(client, name, secret);
    if (!wasCreated && !this.#given['ATTESTATION_SERVER']) {
      this.parts.push(
        `                 The secret ${name} is there already and is used as it is: the local attestation`,
        '                 server takes it only if its authority made it just now. Name another with ATTESTATION_SECRET_ID.',
      );
    }
    client.destroy();
  }

  async oat(authority: CertificateAuthority): Promise<void> {
    const given = this.env['ATTESTATION_SERVER'];
    const pair = await authority.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
    const start = (): Promise<OatServer> => OatServer.start({ ...pair, ca: authority.cert, answer: answerFromFleet });
    const port = given ? undefined : (await this.#start('oat', start))?.port;
    this.#attestation(port, 'OAT, demands the client certificate');
  }

  /** A verifier with agents for the hosts of the fixtures and some more, under the ids that the functions compute. */
  async keylime(authority: CertificateAuthority): Promise<void> {
    const isGiven = Boolean(this.env['ATTESTATION_SERVER']);
    const pair = await authority.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
    const start = (): Promise<KeylimeServer> => {
      const agentIds = loadAgentIds(agentIdSettings(this.env));
      const hosts = hostsOfFleet();
      this.env[SETTINGS.fleetSize.variable] ??= String(hosts.length);
      const fleet = agentsOf(hosts, Math.floor(Date.now() / 1000), (host) => agentIdOf(host, agentIds));
      return KeylimeServer.start({ ...pair, ca: authority.cert, ...fleet });
    };
    const port = isGiven ? undefined : (await this.#start('keylime', start))?.port;
    this.#attestation(port, 'Keylime verifier, demands the client certificate');
    if (port === undefined) return;
    this.fleet = { lines: describeFleet(), examples: EXAMPLES };
  }

  #attestation(port: number | undefined, what: string): void {
    const given = this.env['ATTESTATION_SERVER'];
    this.#say('Attestation', given, port === undefined ? undefined : `https://localhost:${port}`, what);
    if (given) return;
    this.env['ATTESTATION_SERVER'] = 'localhost';
    this.env['ATTESTATION_PORT'] = String(port ?? 9);
  }

  async events(): Promise<void> {
    const given = this.#given[EVENTBRIDGE];
    if (!given) this.eventBus = await this.#start('events', () => EventBusServer.start());
    const endpoint = given || this.eventBus?.endpoint;
    this.#say('Event bus', given, endpoint, 'prints what it is told');
    this.env[EVENTBRIDGE] = endpoint ?? NOWHERE;
  }

  /** Comes last, since the function is given the variables of all other parts. */
  async refresh(): Promise<void> {
    const given = this.#given[LAMBDA];
    const { [REFRESH_FUNCTION]: functionName = '', ...variables } = this.env;
    // No more than what Lambda would give it: the functions' own variables, and the SDK's.
    const own = Object.entries(this.#given).filter(([name]) => /^(AWS|ATTESTATION)_/.test(name));
    const token = variables['AWS_ACCESS_KEY_ID'] === undefined ? {} : { AWS_SESSION_TOKEN: undefined };
    const env = { ...Object.fromEntries(own), ...token, ...variables, [REFRESH_FUNCTION]: undefined };
    if (!given) this.lambda = await this.#start('refresh', () => LambdaService.start({ functionName, env }));
    const endpoint = given || this.lambda?.endpoint;
    this.#say('Refresh', given, endpoint, 'Lambda, in processes of its own once there is something to refresh');
    this.env[LAMBDA] = endpoint ?? NOWHERE;
  }

  async #start<T extends { close: () => Promise<void> }>(part: Part, start: () => Promise<T>): Promise<T | undefined> {
    if (this.#without.has(part)) return undefined;
    const started = await start();
    this.#closers.push(() => started.close());
    return started;
  }

  #say(name: string, given: string | undefined, endpoint: string | undefined, what: string): void {
    const where = given ? `${given} (given)` : endpoint === undefined ? 'left out' : `${endpoint} (${what})`;
    this.parts.push(`${name.padEnd(16)} ${where}`);
  }

  #credentials() {
    return { region: this.env['AWS_REGION'] ?? '', credentials: { accessKeyId: 'local', secretAccessKey: 'local' } };
  }
}

/** How the functions come from hosts to agents, as their variables say. */
function agentIdSettings(env: Env): AgentIdSettings {
  const { agentIds, namespace } = KEYLIME_SETTINGS;
  return {
    agentIds: env[agentIds.variable] || agentIds.default,
    namespace: env[namespace.variable] || namespace.default,
  };
}

function isLoopback(url: string): boolean {
  return ['127.0.0.1', 'localhost', '[::1]'].includes(new URL(url).hostname);
}

/**
 * Loads the bundled function, as Lambda would, with these variables set.
 * @param instance another one for each that is to have a memory of its own
 * @throws {Error} where it was not built
 */
export async function loadFunction(env: Readonly<Record<string, string>>, instance = ''): Promise<Handler> {
  Object.assign(process.env, env);
  const bundle = new URL('../../dist/filter/index.mjs', import.meta.url);
  if (!existsSync(bundle)) throw new Error('There is no dist/filter: run npm run build first.');
  const { handler } = (await import(`${bundle.href}?${instance}`)) as { handler: Handler };
  return handler;
}
