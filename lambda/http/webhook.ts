import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { parseBody } from './body.ts';
import { checkClient } from './client-subject.ts';
import type { DistinguishedName } from './distinguished-name.ts';
import type { Clock } from '../clock.ts';
import { HintNotTakenError } from '../errors.ts';
import type { RequestLog } from '../log/request-log.ts';
import type { HandOver } from '../polling/hand-over.ts';
import { isYounger, type Moment } from '../trust/time.ts';

type Event = Partial<APIGatewayProxyEventV2>;

export interface WebhookParts {
  /** The subjects of the client certificates of verifiers; absent where API Gateway checks who asks. */
  readonly verifiers: readonly DistinguishedName[] | undefined;
  readonly recheckMs: number;
  readonly handOver: Pick<HandOver, 'hint'> | undefined;
  readonly clock: Clock;
  readonly log: RequestLog;
}

const AGENT_ID = /^[A-Za-z0-9_.-]{1,80}$/;
/** So many agents are remembered as hinted at lately: more fail at once in no fleet that one verifier watches. */
const MOST_REMEMBERED = 10_000;

/**
 * Takes what a Keylime verifier posts when an agent fails (`keylime/revocation_notifier.py`): a hint to attest the host anew, and
 * never a verdict. Whatever it says, it is answered with 200, which ends the verifier's tries; what it says is not logged.
 */
export class Webhook {
  readonly #parts: WebhookParts;
  readonly #hinted = new Map<string, Moment>();

  constructor(parts: WebhookParts) {
    this.#parts = parts;
  }

  /**
   * @throws {UnknownClientError} where it is no verifier that posts
   * @throws {HintNotTakenError} where the hint would be lost, so that the verifier tries again
   */
  async handle(event: Event): Promise<APIGatewayProxyStructuredResultV2> {
    const { handOver, log, verifiers } = this.#parts;
    const client = checkClient(event, verifiers);
    const agent = agentOf(event);
    const isNew = agent !== undefined && this.#isNew(agent);
    log.note(event, {
      ...(client === undefined ? {} : { client }),
      hint: agent === undefined ? 'none' : isNew ? 'taken' : 'known',
    });
    if (isNew) {
      const isTaken = await handOver?.hint(agent);
      if (isTaken !== true) {
        this.#hinted.delete(agent);
        throw new HintNotTakenError();
      }
    }
    return {
      statusCode: 200,
      headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
      body: '{}',
    };
  }

  /** Whether this environment handed no hint about the agent over within `recheck`. */
  #isNew(agent: string): boolean {
    const { clock, recheckMs } = this.#parts;
    const now = clock.moment();
    const last = this.#hinted.get(agent);
    if (last !== undefined && isYounger(last, recheckMs, now)) return false;
    this.#hinted.delete(agent);
    const [oldest] = this.#hinted.keys();
    if (oldest !== undefined && this.#hinted.size >= MOST_REMEMBERED) this.#hinted.delete(oldest);
    this.#hinted.set(agent, now);
    return true;
  }
}

/** The agent that a notification is about, `{"msg":"{\"agent_id\":\"…\",…}","signature":"…"}`; undefined for whatever is none. */
function agentOf(event: Event): string | undefined {
  try {
    const { msg } = parseBody(event) as { msg?: unknown };
    const { agent_id: id } = JSON.parse(String(msg)) as { agent_id?: unknown };
    return typeof id === 'string' && AGENT_ID.test(id) ? id : undefined;
  } catch {
    return undefined;
  }
}
