import { createServer, type Server } from 'node:http';
import { text } from 'node:stream/consumers';
import {
  CreateSecretCommand,
  ResourceExistsException,
  type SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { close, listen } from '../listen.ts';

/** A call of GetSecretValue. */
export interface SecretCall {
  readonly secretId: string;
  readonly stage: string;
}

interface Value {
  readonly text: string;
  readonly version: string;
}

/** An endpoint that speaks as much of Secrets Manager as the function uses: GetSecretValue of a stage. */
export class SecretsManagerServer {
  readonly endpoint: string;
  /** The secrets' texts by name; may be changed at any time, and another text makes the one before it AWSPREVIOUS. */
  readonly secrets: Map<string, string>;
  /** Every call so far. */
  readonly calls: SecretCall[] = [];
  /** Goes before every answer, which waits for it; where it throws, the answer is a fault of the service. */
  before: (call: SecretCall) => void | Promise<void> = () => {};
  readonly #server: Server;
  readonly #secrets: Secrets;

  private constructor(server: Server, port: number, secrets: ReadonlyMap<string, string>) {
    this.#server = server;
    this.endpoint = `http://127.0.0.1:${port}`;
    this.secrets = this.#secrets = new Secrets();
    for (const [id, text] of secrets) this.secrets.set(id, text);
  }

  static async start(secrets: ReadonlyMap<string, string>): Promise<SecretsManagerServer> {
    const server = createServer();
    const started = new SecretsManagerServer(server, await listen(server), secrets);
    server.on('request', (request, response) => {
      void text(request)
        .then((body) => started.#answer(String(request.headers['x-amz-target']), body))
        .catch(() => ({ status: 500, answer: { __type: 'InternalServiceError', Message: 'made to fail' } }))
        .then(({ status, answer }) => {
          response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(answer));
        });
    });
    return started;
  }

  close(): Promise<void> {
    return close(this.#server);
  }

  async #answer(target: string, body: string): Promise<{ status: number; answer: unknown }> {
    if (target !== 'secretsmanager.GetSecretValue') {
      return { status: 400, answer: { __type: 'InvalidRequestException', message: `${target} is not served here` } };
    }
    const { SecretId, VersionStage = 'AWSCURRENT' } = JSON.parse(body) as { SecretId: string; VersionStage?: string };
    const call = { secretId: SecretId, stage: VersionStage };
    this.calls.push(call);
    await this.before(call);
    const value = this.#secrets.lookUp(call);
    if (value === undefined) {
      return { status: 400, answer: { __type: 'ResourceNotFoundException', Message: 'There is no such secret.' } };
    }
    const ARN = `arn:aws:secretsmanager:us-east-1:000000000000:secret:${SecretId}-local1`;
    const { text: SecretString, version: VersionId } = value;
    return { status: 200, answer: { ARN, Name: SecretId, SecretString, VersionId, VersionStages: [VersionStage] } };
  }
}

/** Texts by name, and of each the one before it. */
class Secrets extends Map<string, string> {
  readonly #values = new Map<string, { current: Value; previous: Value | undefined }>();
  #versions = 0;

  override set(id: string, text: string): this {
    const current = this.#values.get(id)?.current;
    if (current?.text !== text) {
      this.#values.set(id, { current: { text, version: `local-${++this.#versions}` }, previous: current });
    }
    return super.set(id, text);
  }

  override delete(id: string): boolean {
    this.#values.delete(id);
    return super.delete(id);
  }

  lookUp({ secretId, stage }: SecretCall): Value | undefined {
    const values = this.#values.get(secretId);
    if (stage === 'AWSCURRENT') return values?.current;
    return stage === 'AWSPREVIOUS' ? values?.previous : undefined;
  }
}

/**
 * Creates a secret. One that is there already is somebody's, and stays as it is.
 * @returns whether it was created
 */
export async function createSecret(client: SecretsManagerClient, Name: string, SecretString: string): Promise<boolean> {
  try {
    await client.send(new CreateSecretCommand({ Name, SecretString }));
    return true;
  } catch (error) {
    if (!(error instanceof ResourceExistsException)) throw error;
    return false;
  }
}
