/** What the HTTP answers of a Keylime verifier say, before anybody looks at a record: pure functions of status and body. */
import { PollError } from '../../errors.ts';
import { clean } from '../../quote.ts';
import type { HttpAnswer } from '../connection.ts';

/** With this word beside status 404 the verifier says that it has no such agent; any other 404 is one of a wrong path. */
const NO_SUCH_AGENT = 'agent id not found';
/** With this word beside status 400 verifiers up to 7.13 say that they don't speak the version of the path. */
const NO_SUCH_VERSION = 'API Version not supported';

/**
 * The record in an answer to `GET /agents/{id}`.
 * @throws {PollError} `bad-reply` where a success has none, and `refused` where the verifier does not take this id: faults of this
 *   agent; `unreachable` for what concerns all of them
 */
export function parseAgent(answer: HttpAnswer): { readonly record: unknown } | 'no such agent' {
  if (isSuccess(answer)) return { record: resultsOf(answer) };
  const told = statusOf(parseJson(answer.body));
  if (answer.status === 404 && told === NO_SUCH_AGENT) return 'no such agent';
  const message = `the verifier answered with HTTP status ${answer.status}${told === undefined ? '' : `, "${clean(told)}"`}`;
  if (answer.status === 400 && told !== NO_SUCH_VERSION) throw new PollError('refused', message);
  if (answer.status === 500) throw new PollError('unreachable', message, { refusedWith: 500 });
  throw new PollError('unreachable', `${message}${adviceFor(answer.status)}`);
}

/**
 * The records in an answer to `GET /agents/?bulk=true`, by agent id.
 * @throws {PollError} where it has none
 */
export function parseAgents(answer: HttpAnswer): Readonly<Record<string, unknown>> {
  if (!isSuccess(answer)) {
    throw new PollError('unreachable', `the verifier answered with HTTP status ${answer.status} about all agents`);
  }
  const results = resultsOf(answer);
  // What a verifier gives to whom the query was lost on the way.
  if (Array.isArray(results['uuids']))
    throw new PollError('bad-reply', 'the answer about all agents has their ids alone');
  return results;
}

function isSuccess({ status }: HttpAnswer): boolean {
  return status >= 200 && status < 300;
}

/** Where the fault is likely to be one of the settings. */
function adviceFor(status: number): string {
  if (status === 400 || status === 404 || status === 405)
    return ': there is no verifier at apiUrl, or not of this version';
  return status === 401 || status === 403
    ? ': the client certificate needs a CN and an authority that the verifier trusts'
    : '';
}

function resultsOf({ body }: HttpAnswer): Readonly<Record<string, unknown>> {
  const parsed = parseJson(body);
  if (parsed === undefined)
    throw new PollError('bad-reply', `the verifier's answer of ${body.length} bytes is not JSON`);
  const results = isObject(parsed) && parsed['code'] === 200 ? parsed['results'] : undefined;
  if (isObject(results)) return results;
  throw new PollError(
    'bad-reply',
    `the verifier's answer is not an object with a "code" of 200 and an object "results"`,
  );
}

function statusOf(parsed: unknown): string | undefined {
  const status = isObject(parsed) ? parsed['status'] : undefined;
  return typeof status === 'string' ? status : undefined;
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
