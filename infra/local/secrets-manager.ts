import { createServer, type Server } from 'node:http';
import { text } from 'node:stream/consumers';
import {
  CreateSecretCommand,
  ResourceExistsException,
  type SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { close, listen } from './listen.ts';

/** An endpoint that speaks as much of Secrets Manager as the function uses: GetSecretValue of AWSCURRENT. */
export class SecretsManagerServer {
  readonly endpoint: string;
  /** The secrets' texts by name; may be changed at any time. */
  readonly secrets: Map<string, string>;
  readonly #server: Server;

  private constructor(server: Server, port: number, secrets: Map<string, string>) {
    this.#server = server;
    this.endpoint = `http://127.0.0.1:${port}`;
    this.secrets = secrets;
  }

  static async start(secrets: ReadonlyMap<string, string>): Promise<SecretsManagerServer> {
    const server = createServer();
    const started = new SecretsManagerServer(server, await listen(server), new Map(secrets));
    server.on('request', (request, response) => {
      void text(request).then((body) => {
        const { status, answer } = started.#answer(String(request.headers['x-amz-target']), body);
        response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(answer));
      });
    });
    return started;
  }

  close(): Promise<void> {
    return close(this.#server);
  }

  #answer(target: string, body: string): { status: number; answer: unknown } {
    if (target !== 'secretsmanager.GetSecretValue') {
      return { status: 400, answer: { __type: 'InvalidRequestException', message: `${target} is not served here` } };
    }
    const { SecretId } = JSON.parse(body) as { SecretId: string };
    const secret = this.secrets.get(SecretId);
    if (secret === undefined) {
      return { status: 400, answer: { __type: 'ResourceNotFoundException', Message: 'There is no such secret.' } };
    }
    const ARN = `arn:aws:secretsmanager:us-east-1:000000000000:secret:${SecretId}-local1`;
    const answer = { ARN, Name: SecretId, SecretString: secret, VersionId: 'local', VersionStages: ['AWSCURRENT'] };
    return { status: 200, answer };
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
