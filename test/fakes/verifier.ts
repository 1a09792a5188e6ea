import type { Clock } from '../../lambda/clock.ts';
import { PollError } from '../../lambda/errors.ts';
import type { AnswerLimits, Connection, HttpAnswer } from '../../lambda/service/connection.ts';

/** One GET as the verifier saw it: of an agent, or of all. */
export interface SeenGet {
  readonly path: string;
  readonly sentAt: number;
  readonly maxBytes: number;
  endedAt: number | undefined;
}

/** What becomes of a GET instead of an answer with a record: an HTTP answer, an error, or nothing for ever. */
export type Instead = Partial<HttpAnswer> | Error | 'hangs' | undefined;

/** The base of every record: an agent that the verifier polls, with a policy; without its times. */
const RECORD = {
  ip: '127.0.0.1',
  port: 19001,
  operational_state: 3,
  attestation_count: 1,
  has_runtime_policy: 1,
  has_mb_refstate: 0,
  tpm_policy: '{"mask": "0x0"}',
  attestation_status: 'PASS',
  attestation_period: '2s',
};

/** A Keylime verifier on the test's clock: takes its time, answers, fails, hangs, and knows what is asked at once. */
export class Verifier implements Pick<Connection, 'get'> {
  readonly gets: SeenGet[] = [];
  mostAtOnce = 0;
  /** How long a GET of one agent takes, and one of all. */
  latencyMs = 5;
  bulkMs = 100;
  /** The agents that it has, beside those that are asked for. */
  agents: readonly string[] = [];
  /** What differs in an agent's record; undefined where there is no such agent. */
  record: (id: string) => Record<string, unknown> | undefined = () => ({});
  /** Whether the clock of the verifier is in its answers. */
  hasDate = true;
  /** Called for each GET: of an agent, or of all with `undefined`. */
  instead: (id: string | undefined) => Instead = () => undefined;
  readonly #clock: Clock;
  #underWay = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get bulks(): number {
    return this.gets.filter(({ path }) => path.endsWith('/agents/?bulk=true')).length;
  }

  async get(path: string, { signal, maxBytes }: AnswerLimits): Promise<HttpAnswer> {
    const seen: SeenGet = { path, sentAt: this.#clock.now(), maxBytes, endedAt: undefined };
    this.gets.push(seen);
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#underWay);
    // Tornado says the time when it begins with a request.
    const date = Math.floor(this.#clock.now() / 1000) * 1000;
    const id = /\/agents\/([\w.-]+)$/.exec(path)?.[1];
    try {
      const instead = this.instead(id);
      await this.#clock.wait(instead === 'hangs' ? 1e9 : id === undefined ? this.bulkMs : this.latencyMs, signal);
      if (signal.aborted) throw new PollError('pending', 'the poll got no complete answer in its time');
      if (Error.isError(instead)) throw instead;
      if (typeof instead === 'object') return { status: 200, body: Buffer.alloc(0), ...instead };
      const answer = id === undefined ? this.#all() : this.#one(id);
      return { ...answer, ...(this.hasDate ? { date } : {}) };
    } finally {
      this.#underWay--;
      seen.endedAt = this.#clock.now();
    }
  }

  #one(id: string): HttpAnswer {
    const results = this.#recordOf(id);
    if (results === undefined) return answer(404, { code: 404, status: 'agent id not found', results: {} });
    return answer(200, { code: 200, status: 'Success', results });
  }

  #all(): HttpAnswer {
    const records = this.agents.map((id) => [id, this.#recordOf(id)] as const).filter(([, record]) => record);
    return answer(200, { code: 200, status: 'Success', results: Object.fromEntries(records) });
  }

  #recordOf(id: string): Record<string, unknown> | undefined {
    const differing = this.record(id);
    if (differing === undefined) return undefined;
    const now = Math.floor(this.#clock.now() / 1000);
    return { ...RECORD, last_received_quote: now, last_successful_attestation: now, ...differing };
  }
}

export function answer(status: number, body: unknown): HttpAnswer {
  return { status, body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)) };
}
