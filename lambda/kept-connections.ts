/**
 * Connections to AWS that are kept between calls, and distrusted after idleness: gateways, endpoints and firewalls on the way
 * forget a connection that carries nothing for a while (350 s at most of AWS's own), and either reset it at the next word or
 * swallow that. A frozen environment is idle, too.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Agent } from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import { NodeHttpHandler, type NodeHttpHandlerOptions } from '@smithy/node-http-handler';
import { systemClock } from './clock.ts';
import { isYounger, LONG_AGO, type Moment } from './trust/time.ts';

/** How long a connection may be idle, freezes included, and still be used again; for every peer. */
export const SAFE_IDLE_MS = 20_000;
/** How late the first byte of an answer on a connection that was used before may be; AWS takes a few milliseconds. */
const FIRST_BYTE_MS = 500;

type Sent = ReturnType<NodeHttpHandler['handle']>;
type SendOptions = NonNullable<Parameters<NodeHttpHandler['handle']>[1]>;

/** One way of a request over one connection. */
interface Attempt {
  /** Whether the connection had carried another request before. */
  isReused: boolean;
}

const attempts = new AsyncLocalStorage<Attempt>();

/**
 * The SDK's own handler, but for what it does about kept connections: one that was idle for too long is closed; where one that was
 * used before brings a fault, or no byte for half a second, the request is sent once more over a new one. That is nobody's fault.
 */
export class KeptConnections extends NodeHttpHandler {
  readonly #agents: readonly Agent[];
  readonly #idleSince = new WeakMap<Socket, Moment>();
  readonly #moment: () => Moment;
  readonly #onDate: (date: number, sent: Moment) => void;

  /**
   * @param more.moment what time it is; by the system's clocks, unless a test turns them
   * @param more.onDate called with the time that an answer says it was given at (epoch milliseconds, in whole seconds; NaN where it
   * says none), and the moment at which its request was sent
   */
  constructor(
    options: NodeHttpHandlerOptions,
    {
      moment = () => systemClock.moment(),
      onDate = () => {},
    }: { readonly moment?: () => Moment; readonly onDate?: (date: number, sent: Moment) => void } = {},
  ) {
    const agentOptions = { keepAlive: true, maxSockets: 50 };
    // Not imported: that would load Node's own undici at every start.
    const http = process.getBuiltinModule('node:http');
    const agents = { httpAgent: new http.Agent(agentOptions), httpsAgent: new https.Agent(agentOptions) };
    super({ ...options, ...agents });
    this.#agents = Object.values(agents);
    this.#moment = moment;
    this.#onDate = onDate;
    for (const agent of this.#agents) {
      agent.on('free', (socket: Socket) => this.#idleSince.set(socket, moment()));
      const reuse = agent.reuseSocket.bind(agent);
      agent.reuseSocket = (socket, request) => {
        const attempt = attempts.getStore();
        if (attempt !== undefined) attempt.isReused = true;
        reuse(socket, request);
      };
    }
  }

  override async handle(request: Parameters<NodeHttpHandler['handle']>[0], options: SendOptions = {}): Sent {
    const sent = this.#moment();
    const answer = await this.#handle(request, options);
    this.#onDate(Date.parse(answer.response.headers['date'] ?? ''), sent);
    return answer;
  }

  async #handle(request: Parameters<NodeHttpHandler['handle']>[0], options: SendOptions): Sent {
    this.#closeIdle(SAFE_IDLE_MS);
    const attempt: Attempt = { isReused: false };
    const first = this.#send(request, options, attempt);
    const isAnswered = await first.isAnsweredSoon();
    if (isAnswered || !attempt.isReused || options.abortSignal?.aborted === true) return first.answer;
    // Those that are free now were idle on the same way.
    this.#closeIdle(0);
    const second = this.#send(request, options, { isReused: false });
    const won = [first.answer.then((answer) => ({ answer, loser: second }))];
    won.push(second.answer.then((answer) => ({ answer, loser: first })));
    const { answer, loser } = await Promise.any(won).catch(async () => ({ answer: await second.answer, loser: first }));
    loser.abort();
    return answer;
  }

  #send(request: Parameters<NodeHttpHandler['handle']>[0], options: SendOptions, attempt: Attempt) {
    const abort = new AbortController();
    const given = options.abortSignal as AbortSignal | undefined;
    const abortSignal = given === undefined ? abort.signal : AbortSignal.any([given, abort.signal]);
    const answer = attempts.run(attempt, () => super.handle(request, { ...options, abortSignal }));
    const isAnsweredSoon = (): Promise<boolean> =>
      new Promise((resolve) => {
        const timeout = setTimeout(() => resolve(false), FIRST_BYTE_MS);
        const settle = (isAnswered: boolean) => (): void => {
          clearTimeout(timeout);
          resolve(isAnswered);
        };
        answer.then(settle(true), settle(false));
      });
    return { answer, isAnsweredSoon, abort: () => abort.abort() };
  }

  #closeIdle(forMs: number): void {
    const now = this.#moment();
    for (const { freeSockets } of this.#agents) {
      for (const socket of Object.values(freeSockets).flatMap((sockets) => sockets ?? [])) {
        if (!isYounger(this.#idleSince.get(socket) ?? LONG_AGO, forMs, now)) socket.destroy();
      }
    }
  }
}
