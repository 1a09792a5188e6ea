import type { Server } from 'node:http';
import { CreateTableCommand, type DynamoDBClient, ResourceInUseException } from '@aws-sdk/client-dynamodb';
import dynalite from 'dynalite';
import { TABLE_KEY } from '../../constructs/table.ts';
import { close, listen } from '../listen.ts';

/** DynamoDB on this machine, in memory. */
export class DynamoDbServer {
  readonly endpoint: string;
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.endpoint = `http://127.0.0.1:${port}`;
  }

  static async start(port = 0): Promise<DynamoDbServer> {
    const server = dynalite({ createTableMs: 0 });
    return new DynamoDbServer(server, await listen(server, port));
  }

  close(): Promise<void> {
    return close(this.#server);
  }
}

/** Creates the table as the stack does, where it does not exist yet. */
export async function createTable(client: DynamoDBClient, TableName: string): Promise<void> {
  try {
    await client.send(
      new CreateTableCommand({
        TableName,
        AttributeDefinitions: [{ AttributeName: TABLE_KEY, AttributeType: 'S' }],
        KeySchema: [{ AttributeName: TABLE_KEY, KeyType: 'HASH' }],
        BillingMode: 'PAY_PER_REQUEST',
      }),
    );
  } catch (error) {
    if (!(error instanceof ResourceInUseException)) throw error;
  }
}
