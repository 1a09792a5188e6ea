import { randomUUID } from 'node:crypto';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { causeOf } from '../../../lambda/log/counts.ts';

/** Invokes `refresh` every so often with the event of a schedule, as the stack's rule does. */
export class Schedule {
  readonly #env: Readonly<Record<string, string>>;
  readonly #client: LambdaClient;
  readonly #timer: NodeJS.Timeout;

  /** @param env the variables of the filter, which name the function and its endpoint */
  constructor(seconds: number, env: Readonly<Record<string, string>>) {
    this.#env = env;
    this.#client = new LambdaClient({ endpoint: env['AWS_ENDPOINT_URL_LAMBDA'] ?? '', maxAttempts: 1 });
    this.#timer = setInterval(() => void this.#invoke(), seconds * 1000);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#client.destroy();
  }

  async #invoke(): Promise<void> {
    const command = new InvokeCommand({
      FunctionName: this.#env['ATTESTATION_REFRESH_FUNCTION'] ?? '',
      InvocationType: 'Event',
      Payload: Buffer.from(JSON.stringify(scheduledEvent(new Date(), this.#env['AWS_REGION'] ?? ''))),
    });
    try {
      await this.#client.send(command);
      console.log('Schedule: refresh is invoked.');
    } catch (error) {
      console.log(`Schedule: refresh could not be invoked (${causeOf(error)}).`);
    }
  }
}

/** The event that EventBridge sends at the times of a schedule. */
export function scheduledEvent(time: Date, region: string): Readonly<Record<string, unknown>> {
  return {
    version: '0',
    id: randomUUID(),
    'detail-type': 'Scheduled Event',
    source: 'aws.events',
    account: '000000000000',
    time: time.toISOString().replace(/\.\d+/, ''),
    region,
    resources: [`arn:aws:events:${region}:000000000000:rule/refresh`],
    detail: {},
  };
}
