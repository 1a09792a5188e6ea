import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { CertificateAuthority, type KeyPair, LOOPBACK_NAMES } from '../../infra/local/certificates.ts';
import { createTable, DynamoDbServer } from '../../infra/local/aws/dynamodb.ts';
import { OatServer, type OatServerOptions, reply } from '../../infra/local/oat-server.ts';
import { SecretsManagerServer } from '../../infra/local/aws/secrets-manager.ts';
import { recordSecrets } from '../reporters/record.ts';
import { LambdaEnvironment } from './lambda-environment.ts';

export const SECRET_ID = 'trusted-filter/client-certificate';
const CREDENTIALS = { AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' };

/** An attestation service's word on a host, by the host's name. */
export type Levels = (host: string) => string;

/** Answers every host of a poll with a level and the time of now. */
export function answerWith(levels: Levels): OatServerOptions['answer'] {
  return ({ hosts }, response) => {
    const vtime = new Date().toISOString();
    reply(
      response,
      hosts.map((host) => ({ host_name: host, trust_lvl: levels(host), vtime })),
    );
  };
}

/**
 * Everything around the function, on loopback: DynamoDB, Secrets Manager, attestation servers, and environments that run
 * the function. Where TEST_ENDPOINT names another emulator of AWS, that serves DynamoDB and dynalite is not started.
 */
export class Cloud {
  readonly authority: CertificateAuthority;
  readonly client: KeyPair;
  readonly server: KeyPair;
  readonly secretsManager: SecretsManagerServer;
  readonly dynamodbEndpoint: string;
  readonly #closers: (() => Promise<void>)[] = [];
  #tables = 0;

  private constructor(parts: {
    authority: CertificateAuthority;
    client: KeyPair;
    server: KeyPair;
    secretsManager: SecretsManagerServer;
    dynamodb: DynamoDbServer | undefined;
  }) {
    this.authority = parts.authority;
    this.client = parts.client;
    this.server = parts.server;
    this.secretsManager = parts.secretsManager;
    this.dynamodbEndpoint = parts.dynamodb?.endpoint ?? process.env['TEST_ENDPOINT'] ?? '';
    this.#closers.push(() => parts.secretsManager.close());
    if (parts.dynamodb !== undefined) this.#closers.push(() => parts.dynamodb?.close() ?? Promise.resolve());
  }

  static async start(): Promise<Cloud> {
    const authority = await CertificateAuthority.create('test authority');
    const client = await authority.client({ commonName: 'trusted-filter' });
    const server = await authority.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
    // Nobody's to see but the server's own.
    recordSecrets(server.key);
    const secretsManager = await SecretsManagerServer.start(new Map());
    recordSecretsOf(secretsManager);
    secretsManager.secrets.set(SECRET_ID, JSON.stringify({ ...client, ca: authority.cert }));
    const dynamodb = process.env['TEST_ENDPOINT'] ? undefined : await DynamoDbServer.start();
    return new Cloud({ authority, client, server, secretsManager, dynamodb });
  }

  /** Ends everything that was started, environments first. */
  async close(): Promise<void> {
    for (const close of this.#closers.reverse()) await close();
  }

  /** An attestation server that demands a client certificate of this cloud's authority. */
  async oat(answer: OatServerOptions['answer'], pair: KeyPair = this.server): Promise<OatServer> {
    const server = await OatServer.start({ ...pair, ca: this.authority.cert, answer });
    this.#closers.push(() => server.close());
    return server;
  }

  /** A table of its own, empty. */
  async table(endpoint = this.dynamodbEndpoint): Promise<string> {
    const name = `trusted-filter-${process.pid}-${Date.now()}-${++this.#tables}`;
    const client = new DynamoDBClient({
      endpoint,
      region: 'us-east-1',
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    });
    await createTable(client, name);
    client.destroy();
    return name;
  }

  /** The variables of a function that asks this attestation server and keeps its cache in this table. */
  env(oat: { readonly port: number }, table: string): Record<string, string> {
    return {
      ...CREDENTIALS,
      AWS_ENDPOINT_URL_DYNAMODB: this.dynamodbEndpoint,
      AWS_ENDPOINT_URL_SECRETS_MANAGER: this.secretsManager.endpoint,
      ATTESTATION_SERVER: 'localhost',
      ATTESTATION_PORT: String(oat.port),
      ATTESTATION_SECRET_ID: SECRET_ID,
      ATTESTATION_TABLE: table,
    };
  }

  async environment(env: Readonly<Record<string, string>>): Promise<LambdaEnvironment> {
    const environment = await LambdaEnvironment.start(env);
    this.#closers.push(() => environment.stop());
    return environment;
  }
}

/** Has the search at the end of the run know every secret that the function may read. */
function recordSecretsOf({ secrets }: SecretsManagerServer): void {
  const set = secrets.set.bind(secrets);
  secrets.set = (name, text) => {
    recordSecrets(text);
    return set(name, text);
  };
}
