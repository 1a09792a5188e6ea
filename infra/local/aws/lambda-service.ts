import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { REFRESH_LIMITS } from '../../functions/refresh-limits.ts';
import { ExecutionEnvironment } from './execution-environment.ts';
import { close, listen } from '../listen.ts';

const BUNDLE = fileURLToPath(new URL('../../../dist/refresh/index.mjs', import.meta.url));
const INVOKE_PATH = /^\/2015-03-31\/functions\/([^/?]+)\/invocations(\?|$)/;
/** What Lambda takes of an asynchronous event. */
const LARGEST_EVENT = 1024 * 1024;

export interface LambdaServiceOptions {
  readonly functionName: string;
  /** The file that the function's bundle begins with; that of `refresh` unless given. */
  readonly bundle?: string;
  /** The function's variables. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly limits?: Partial<InvocationLimits>;
  /** Takes what the function prints, and what there is to say of its failures; goes to the terminal unless given. */
  readonly print?: (line: string) => void;
}

/** How asynchronous invocations are run; those of the stack's `refresh` unless given. */
export interface InvocationLimits {
  readonly timeoutMs: number;
  readonly concurrency: number;
  readonly retries: number;
  /** How long Lambda waits before it tries again what has failed: a minute. */
  readonly retryAfterMs: number;
  readonly maxEventAgeMs: number;
}

const LIMITS: InvocationLimits = {
  timeoutMs: REFRESH_LIMITS.timeoutSeconds * 1000,
  concurrency: REFRESH_LIMITS.concurrency,
  retries: REFRESH_LIMITS.retries,
  retryAfterMs: 60_000,
  maxEventAgeMs: REFRESH_LIMITS.maxEventAgeSeconds * 1000,
};

/** An event that was taken, and what became of it so far. */
export interface Invocation {
  readonly requestId: string;
  readonly event: unknown;
  readonly acceptedAt: number;
  tries: number;
  state: 'waiting' | 'running' | 'done' | 'failed';
  /** What the function returned. */
  result?: unknown;
  /** Why the last try failed. */
  error?: string;
}

/** An error as Lambda answers it, such as 429 and TooManyRequestsException. */
export interface Refusal {
  readonly status: number;
  readonly type: string;
}

/**
 * An endpoint that speaks as much of Lambda as the filter uses: asynchronous Invoke of one function. The function runs in
 * processes of its own, each for one invocation at a time; they are started when there is something to run.
 */
export class LambdaService {
  readonly endpoint: string;
  /** Every event that was taken, in order. */
  readonly invocations: Invocation[] = [];
  /** Events that the function failed at for good, as the stack's queue would have them. */
  readonly deadLetters: unknown[] = [];
  /** Goes before every answer, which waits for it; where it brings a refusal, that is the answer. */
  before: (event: unknown) => Refusal | undefined | Promise<Refusal | undefined> = () => undefined;
  readonly #server: Server;
  readonly #options: LambdaServiceOptions;
  readonly #limits: InvocationLimits;
  readonly #print: (line: string) => void;
  readonly #environments = new Set<ExecutionEnvironment>();
  readonly #free: ExecutionEnvironment[] = [];
  readonly #waiting: Invocation[] = [];
  readonly #retries = new Set<NodeJS.Timeout>();
  readonly #settledWaiters: (() => void)[] = [];
  #running = 0;
  #isClosed = false;

  private constructor(server: Server, port: number, options: LambdaServiceOptions) {
    this.#server = server;
    this.endpoint = `http://127.0.0.1:${port}`;
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#print = options.print ?? ((line) => console.log(line));
  }

  static async start(options: LambdaServiceOptions): Promise<LambdaService> {
    const server = createServer();
    const started = new LambdaService(server, await listen(server), options);
    server.on('request', (request, response) => {
      void started
        .#answer(request)
        .catch((): Refusal => ({ status: 500, type: 'ServiceException' }))
        .then((refusal) => {
          response.setHeader('x-amzn-requestid', randomUUID());
          if (refusal === undefined) return response.writeHead(202).end();
          const { status, type } = refusal;
          const headers = { 'content-type': 'application/json', 'x-amzn-errortype': type };
          return response.writeHead(status, headers).end(JSON.stringify({ Type: 'User', message: type }));
        });
    });
    return started;
  }

  /** The processes that are there. */
  get environments(): readonly ExecutionEnvironment[] {
    return [...this.#environments];
  }

  /** Takes an event, as a rule of EventBridge has Lambda do. */
  invoke(event: unknown): Invocation {
    const invocation: Invocation = {
      requestId: randomUUID(),
      event,
      acceptedAt: Date.now(),
      tries: 0,
      state: 'waiting',
    };
    this.invocations.push(invocation);
    this.#waiting.push(invocation);
    this.#advance();
    return invocation;
  }

  /** Resolves when there is nothing that runs, waits or is to be tried again. */
  async settled(): Promise<void> {
    if (!this.#isSettled()) await new Promise<void>((resolve) => this.#settledWaiters.push(resolve));
  }

  /** Ends everything, also what runs at the moment. What the function printed comes through pipes, and is all there after. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const timer of this.#retries) clearTimeout(timer);
    await Promise.all([close(this.#server), ...this.environments.map((environment) => environment.stop())]);
  }

  async #answer(request: IncomingMessage): Promise<Refusal | undefined> {
    const body = await buffer(request);
    const name = INVOKE_PATH.exec(request.url ?? '')?.[1];
    if (request.method !== 'POST' || name === undefined) return { status: 404, type: 'UnknownOperationException' };
    if (decodeURIComponent(name) !== this.#options.functionName) {
      return { status: 404, type: 'ResourceNotFoundException' };
    }
    if (request.headers['x-amz-invocation-type'] !== 'Event') {
      return { status: 400, type: 'InvalidParameterValueException' };
    }
    if (body.length > LARGEST_EVENT) return { status: 413, type: 'RequestTooLargeException' };
    const event = parse(body);
    if (event === undefined) return { status: 400, type: 'InvalidRequestContentException' };
    const refusal = await this.before(event);
    if (refusal === undefined) this.invoke(event);
    return refusal;
  }

  #advance(): void {
    while (!this.#isClosed && this.#running < this.#limits.concurrency) {
      const invocation = this.#waiting.shift();
      if (invocation === undefined) break;
      this.#running++;
      void this.#try(invocation).then(() => {
        this.#running--;
        this.#advance();
      });
    }
    if (this.#isSettled()) for (const resolve of this.#settledWaiters.splice(0)) resolve();
  }

  async #try(invocation: Invocation): Promise<void> {
    if (Date.now() - invocation.acceptedAt > this.#limits.maxEventAgeMs) {
      this.#bury(invocation, invocation.error ?? 'there was no room for it in time');
      return;
    }
    const environment = this.#free.pop() ?? this.#startEnvironment();
    const { requestId, event } = invocation;
    invocation.state = 'running';
    invocation.tries++;
    try {
      invocation.result = await environment.invoke(event, { requestId, timeoutMs: this.#limits.timeoutMs });
      invocation.state = 'done';
    } catch (error) {
      if (!this.#isClosed) this.#retry(invocation, Error.isError(error) ? error.message : String(error));
    }
    if (environment.isUp) this.#free.push(environment);
    else this.#environments.delete(environment);
  }

  #retry(invocation: Invocation, error: string): void {
    invocation.error = error;
    if (invocation.tries > this.#limits.retries) return this.#bury(invocation, error);
    invocation.state = 'waiting';
    this.#print(`Lambda: ${this.#options.functionName} failed (${error}) and is tried once more.`);
    const timer = setTimeout(() => {
      this.#retries.delete(timer);
      this.#waiting.push(invocation);
      this.#advance();
    }, this.#limits.retryAfterMs);
    this.#retries.add(timer);
  }

  #bury(invocation: Invocation, error: string): void {
    invocation.state = 'failed';
    this.deadLetters.push(invocation.event);
    this.#print(`Lambda: ${this.#options.functionName} failed (${error}); its event is a dead letter.`);
  }

  #startEnvironment(): ExecutionEnvironment {
    const { functionName, bundle = BUNDLE, env } = this.#options;
    const environment = new ExecutionEnvironment({ functionName, bundle, env, print: this.#print });
    this.#environments.add(environment);
    return environment;
  }

  #isSettled(): boolean {
    return this.#running + this.#waiting.length + this.#retries.size === 0;
  }
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch {
    return undefined;
  }
}
