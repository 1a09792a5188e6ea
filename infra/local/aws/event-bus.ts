import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { text } from 'node:stream/consumers';
import { clean } from '../../../lambda/quote.ts';
import { close, listen } from '../listen.ts';

/** EventBridge's limit on the events of one call. */
const MOST_ENTRIES = 10;

/** An event that was taken. */
export interface BusEvent {
  readonly bus: string;
  readonly source: string;
  readonly detailType: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

interface Entry {
  readonly EventBusName?: string;
  readonly Source?: string;
  readonly DetailType?: string;
  readonly Detail?: string;
}

/** What became of one event: taken, or not and why. */
type Outcome = { readonly EventId: string } | { readonly ErrorCode: string; readonly ErrorMessage: string };

/** An endpoint that speaks as much of EventBridge as the functions use: PutEvents, to whatever bus. */
export class EventBusServer {
  readonly endpoint: string;
  /** Every event that was taken, in order. */
  readonly events: BusEvent[] = [];
  /**
   * Goes before each event, which waits for it: where it returns an error code, the event is not taken; where it throws,
   * the whole call fails.
   */
  before: (event: BusEvent) => string | undefined | Promise<string | undefined> = () => undefined;
  readonly #server: Server;
  readonly #print: (line: string) => void;
  readonly #waiters: (() => void)[] = [];

  private constructor(server: Server, port: number, print: (line: string) => void) {
    this.#server = server;
    this.endpoint = `http://127.0.0.1:${port}`;
    this.#print = print;
  }

  /** @param print takes a line for each event; goes to the terminal unless given */
  static async start(print: (line: string) => void = (line) => console.log(line)): Promise<EventBusServer> {
    const server = createServer();
    const started = new EventBusServer(server, await listen(server), print);
    server.on('request', (request, response) => {
      void text(request)
        .then((body) => started.#answer(String(request.headers['x-amz-target']), body))
        .catch(() => ({ status: 500, answer: { __type: 'InternalException', message: 'made to fail' } }))
        .then(({ status, answer }) => {
          response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(answer));
        });
    });
    return started;
  }

  /** Resolves when this many events were taken in all. */
  async taken(count: number): Promise<void> {
    while (this.events.length < count) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  close(): Promise<void> {
    return close(this.#server);
  }

  async #answer(target: string, body: string): Promise<{ status: number; answer: unknown }> {
    if (target !== 'AWSEvents.PutEvents') {
      return { status: 400, answer: { __type: 'UnknownOperationException', message: `${target} is not served here` } };
    }
    const { Entries = [] } = JSON.parse(body) as { Entries?: readonly Entry[] };
    if (Entries.length === 0 || Entries.length > MOST_ENTRIES) {
      const message = `Entries must have 1 to ${MOST_ENTRIES} members`;
      return { status: 400, answer: { __type: 'ValidationException', message } };
    }
    const outcomes: Outcome[] = [];
    for (const entry of Entries) outcomes.push(await this.#take(entry));
    const FailedEntryCount = outcomes.filter((outcome) => 'ErrorCode' in outcome).length;
    return { status: 200, answer: { FailedEntryCount, Entries: outcomes } };
  }

  async #take({ EventBusName: bus = 'default', Source, DetailType, Detail }: Entry): Promise<Outcome> {
    const detail = parseDetail(Detail);
    if (!Source || !DetailType) return refused('InvalidArgument');
    if (detail === undefined) return refused('MalformedDetail');
    const event: BusEvent = { bus, source: Source, detailType: DetailType, detail };
    const errorCode = await this.before(event);
    if (errorCode !== undefined) return refused(errorCode);
    this.events.push(event);
    this.#print(`Event: ${describe(event)}`);
    for (const resolve of this.#waiters.splice(0)) resolve();
    return { EventId: randomUUID() };
  }
}

function refused(ErrorCode: string): Outcome {
  return { ErrorCode, ErrorMessage: 'The event was not taken.' };
}

/** A detail must be a JSON object. */
function parseDetail(detail = ''): BusEvent['detail'] | undefined {
  try {
    const parsed: unknown = JSON.parse(detail);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? { ...parsed } : undefined;
  } catch {
    return undefined;
  }
}

/** An event in one line: what happened to which host, why, and the id by which it is known again. */
function describe({ detailType, detail }: BusEvent): string {
  const { host, from, to, reason, unknown_since: since, id, ...others } = detail;
  const said = [
    detailType,
    host,
    from === undefined && to === undefined ? undefined : `${word(from)} → ${word(to)}`,
    since === undefined ? undefined : `since ${word(since)}`,
    reason === undefined ? undefined : `(${word(reason)})`,
    host === undefined ? JSON.stringify(others) : undefined,
    id === undefined ? undefined : `id ${word(id)}`,
  ];
  return said
    .filter((part) => part !== undefined)
    .map(word)
    .join(' ');
}

function word(value: unknown): string {
  if (value === undefined) return '–';
  return clean(typeof value === 'string' ? value : JSON.stringify(value));
}
