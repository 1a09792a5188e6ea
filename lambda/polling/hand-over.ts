import type { LambdaClient } from '@aws-sdk/client-lambda';
import type { Clock } from '../clock.ts';
import { KeptConnections } from '../kept-connections.ts';
import type { Counts } from '../log/counts.ts';
import { isYounger, LONG_AGO } from '../trust/time.ts';

/** What `refresh` is invoked with: hosts to attest. */
export interface HandedOver {
  readonly hosts: readonly string[];
  /** When they were handed over, epoch milliseconds. */
  readonly at?: number | undefined;
}

/** What `refresh` is invoked with after a verifier hinted that agents failed. */
export interface Hinted {
  readonly agents: readonly string[];
  /** When the hint came, epoch milliseconds. */
  readonly at: number;
}

/** How long after it was handed over a host is not handed over again, unless something came of it; an event that is older does nothing. */
export const HANDED_MS = 20_000;

/** Most hosts in one invocation. */
export const MOST_HOSTS = 1_000;
const MOST_BYTES = 200 * 1024;
/** How long one call may take, an answer that stalls included. */
const CALL_MS = 2_000;
/** How long after a call that failed requests poll for themselves. */
const PAUSE_MS = 5_000;

/** Hands hosts over to the function that refreshes attestations, which goes on when the request is answered. */
export class HandOver {
  readonly #functionName: string;
  readonly #clock: Clock;
  readonly #counts: Counts;
  #client: LambdaClient | undefined;
  #failed = LONG_AGO;

  constructor(functionName: string, { clock, counts }: { readonly clock: Clock; readonly counts: Counts }) {
    this.#functionName = functionName;
    this.#clock = clock;
    this.#counts = counts;
  }

  /** Whether it is worth a try: the last call did not just fail. */
  isUp(): boolean {
    return !isYounger(this.#failed, PAUSE_MS, this.#clock.moment());
  }

  /**
   * Hands hosts over, each once. Never rejects: a call that failed or was throttled is counted, with its cause.
   * @returns the hosts that were not taken over
   */
  async send(hosts: readonly string[]): Promise<string[]> {
    const left = await Promise.all(
      cutIntoInvocations(hosts).map(async (part) =>
        (await this.#invoke({ hosts: part, at: this.#clock.now() })) ? [] : part,
      ),
    );
    return left.flat();
  }

  /**
   * Hands over that a verifier says of an agent that it failed, for its host to be attested anew. Never rejects.
   * @returns whether it was taken over
   */
  hint(agent: string): Promise<boolean> {
    return this.#invoke({ agents: [agent], at: this.#clock.now() });
  }

  async #invoke(handedOver: HandedOver | Hinted): Promise<boolean> {
    try {
      const { InvokeCommand, LambdaClient } = await import('./lambda-client.ts');
      this.#client ??= new LambdaClient({
        maxAttempts: 2,
        requestHandler: new KeptConnections({
          connectionTimeout: 500,
          requestTimeout: CALL_MS,
          throwOnRequestTimeout: true,
        }),
      });
      const command = new InvokeCommand({
        FunctionName: this.#functionName,
        InvocationType: 'Event',
        Payload: Buffer.from(JSON.stringify(handedOver)),
      });
      await this.#client.send(command, { abortSignal: AbortSignal.timeout(CALL_MS) });
      this.#counts.add('HandOvers');
      return true;
    } catch (error) {
      this.#failed = this.#clock.moment();
      this.#counts.fault('HandOversFailed', error);
      return false;
    }
  }
}

/** Cuts hosts into the invocations that take them: at most 1,000 of them and 200 KB of JSON each. */
export function cutIntoInvocations(hosts: readonly string[]): string[][] {
  const parts: string[][] = [];
  let part: string[] = [];
  let bytes = 0;
  for (const host of hosts) {
    const hostBytes = Buffer.byteLength(JSON.stringify(host)) + 1;
    if (part.length === 0 || part.length >= MOST_HOSTS || bytes + hostBytes > MOST_BYTES - 100) {
      part = [];
      bytes = 0;
      parts.push(part);
    }
    part.push(host);
    bytes += hostBytes;
  }
  return parts;
}
