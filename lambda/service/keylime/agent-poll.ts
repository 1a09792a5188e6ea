import type { PollError } from '../../errors.ts';
import type { Moment } from '../../trust/time.ts';

/** A record as the verifier gave it, and when. */
export interface AgentRecord {
  /** Undefined where the answer has none that can be read. */
  readonly record: unknown;
  readonly sent: Moment;
  readonly received: Moment;
  /** The answer's `Date`, epoch milliseconds. */
  readonly date: number | undefined;
}

/**
 * What the verifier said of an agent: a record, that there is none, or why there is no answer; that is `unreachable` where the
 * reason concerns all agents.
 */
export type AgentReply = AgentRecord | 'no such agent' | PollError;

/** After so many GETs in a row to which the verifier gave no answer, the rest of a poll is not asked for. */
const MOST_FAULTS = 10;

/** The agents of one poll, and what came of each so far. */
export class AgentPoll {
  /** Aborted when it is over, whatever is under way for it. */
  readonly signal: AbortSignal;
  /** Resolves when every agent has a reply. */
  readonly done: Promise<ReadonlyMap<string, AgentReply>>;
  readonly #replies = new Map<string, AgentReply>();
  readonly #ids: ReadonlySet<string>;
  readonly #ended = new AbortController();
  #faults = 0;
  #isAnswered = false;
  #resolve: (replies: ReadonlyMap<string, AgentReply>) => void = () => {};

  constructor(ids: ReadonlySet<string>, signal: AbortSignal) {
    this.#ids = ids;
    this.signal = AbortSignal.any([signal, this.#ended.signal]);
    this.done = new Promise((resolve) => (this.#resolve = resolve));
  }

  get isOver(): boolean {
    return this.#replies.size === this.#ids.size;
  }

  isDecided(id: string): boolean {
    return this.#replies.has(id);
  }

  /** An agent has a reply; where nobody is answered, so have all the others. */
  settle(id: string, reply: AgentReply): void {
    if (!this.#replies.has(id)) this.#replies.set(id, reply);
    this.#isAnswered ||= !Error.isError(reply);
    const fault = isOfAll(reply, this.#isAnswered) ? reply : undefined;
    this.#faults = fault === undefined ? 0 : this.#faults + 1;
    if (fault !== undefined && this.#faults >= MOST_FAULTS) this.end(fault);
    else if (this.isOver) this.#resolve(this.#replies);
  }

  /** Whatever has no reply yet has this one. */
  end(reply: PollError): void {
    for (const id of this.#ids) if (!this.#replies.has(id)) this.#replies.set(id, reply);
    this.#resolve(this.#replies);
    this.#ended.abort();
  }
}

/**
 * Whether a reply is a fault of the verifier, or of the way there, rather than one agent's. A verifier that says something of others and
 * refuses this one with a status of its own (500) lives, however many it refuses.
 */
function isOfAll(reply: AgentReply, areOthersAnswered: boolean): reply is PollError {
  if (!Error.isError(reply) || reply.reason !== 'unreachable') return false;
  return reply.refusedWith === undefined || !areOthersAnswered;
}
