import type { Socket } from 'node:net';
import type { Clock } from '../../lambda/clock.ts';

/** What the answers of a verifier cost, each worker by itself. */
export interface Cost {
  /** How many processes answer; a connection stays with the one that accepted it. */
  readonly workers: number;
  /** Milliseconds of one GET, whatever is asked. */
  readonly requestMs: () => number;
  /** Milliseconds more of each agent of a list with records. */
  readonly agentMs: number;
}

/** The processes of a verifier: each answers one request after another, and all others of its connections stand meanwhile. */
export class Workers {
  readonly #cost: Cost | undefined;
  readonly #clock: Clock;
  /** Until when each has work, by the monotonic clock. */
  readonly #busyUntil: number[];
  readonly #ofSocket = new WeakMap<Socket, number>();
  #accepted = 0;

  /** @param cost none where work takes no time */
  constructor(cost: Cost | undefined, clock: Clock) {
    this.#cost = cost;
    this.#clock = clock;
    this.#busyUntil = Array.from({ length: cost?.workers ?? 1 }, () => 0);
  }

  /** Resolves when the worker of a connection is done with a request that lists so many agents. */
  async work(socket: Socket, agents: number): Promise<void> {
    if (this.#cost === undefined) return;
    const worker = this.#workerOf(socket);
    const begins = Math.max(this.#busyUntil[worker] ?? 0, this.#clock.monotonic());
    const ends = begins + this.#cost.requestMs() + this.#cost.agentMs * agents;
    this.#busyUntil[worker] = ends;
    await this.#clock.wait(ends - this.#clock.monotonic());
  }

  /** In turn, since who accepts is otherwise a matter of chance. */
  #workerOf(socket: Socket): number {
    const known = this.#ofSocket.get(socket);
    if (known !== undefined) return known;
    const worker = this.#accepted++ % this.#busyUntil.length;
    this.#ofSocket.set(socket, worker);
    return worker;
  }
}
