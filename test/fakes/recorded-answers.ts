import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';

/** An answer as a verifier gave it, a file of test/fixtures/keylime/: a body that is no text is JSON. */
export interface RecordedAnswer {
  readonly status: number;
  readonly reason?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

export type AgentRecord = Readonly<Record<string, unknown>>;

/** @param name without its ending */
export function recorded(name: string): RecordedAnswer {
  return JSON.parse(
    readFileSync(new URL(`../fixtures/keylime/${name}.json`, import.meta.url), 'utf8'),
  ) as RecordedAnswer;
}

/** An answer like a recorded one, with other results. */
export function withResults(answer: RecordedAnswer, results: unknown): RecordedAnswer {
  return { ...answer, body: { ...(answer.body as object), results } };
}

/**
 * The record of an agent that the verifier polls, as 7.14.3 gave it, but with a policy.
 * @param seconds when its last quote was good, epoch seconds by the verifier's clock
 */
export function recordAt(seconds: number, changes: AgentRecord = {}): AgentRecord {
  const { results } = recorded('agent-7.14.3').body as { results: AgentRecord };
  const times = { last_received_quote: seconds, last_successful_attestation: seconds };
  return { ...results, has_runtime_policy: 1, ...times, ...changes };
}

export function textOf({ body }: RecordedAnswer): string {
  return typeof body === 'string' ? body : JSON.stringify(body);
}

/** @param date what the verifier's clock says, as the header has it; undefined where there is to be none */
export function send(response: ServerResponse, answer: RecordedAnswer, date: string | undefined): void {
  const { headers, reason, status } = answer;
  response.sendDate = false;
  if (date !== undefined) response.setHeader('date', date);
  if (reason === undefined) response.writeHead(status, { ...headers });
  else response.writeHead(status, reason, { ...headers });
  response.end(textOf(answer));
}
