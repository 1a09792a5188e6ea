import { REFRESH_LIMITS } from '../../infra/functions/refresh-limits.ts';
import type { HandOver } from '../../lambda/polling/hand-over.ts';
import type { Clock } from '../../lambda/clock.ts';
import type { FilterEnvironment } from './filter-environment.ts';

/** What Lambda does with an event that finds no free execution: it comes again later, and later still, for so long. */
const FIRST_BACKOFF_MS = 1_000;
const LONGEST_BACKOFF_MS = 300_000;
const OLDEST_MS = REFRESH_LIMITS.maxEventAgeSeconds * 1_000;

interface QueuedEvent {
  readonly hosts: readonly string[];
  readonly at: number;
  tries: number;
}

/** The refreshing function as Lambda runs it: asynchronously, so many executions at once, each in an environment of its own. */
export class RefreshQueue implements Pick<HandOver, 'isUp' | 'send'> {
  /** Events that grew too old before there was an execution for them. */
  deadLetters = 0;
  readonly #clock: Clock;
  readonly #concurrency: number;
  readonly #newEnvironment: () => FilterEnvironment;
  readonly #idle: FilterEnvironment[] = [];
  #running = 0;

  constructor(clock: Clock, concurrency: number, newEnvironment: () => FilterEnvironment) {
    this.#clock = clock;
    this.#concurrency = concurrency;
    this.#newEnvironment = newEnvironment;
  }

  isUp(): boolean {
    return true;
  }

  async send(hosts: readonly string[]): Promise<string[]> {
    await this.#clock.wait(20);
    for (let i = 0; i < hosts.length; i += 1_000) {
      void this.#deliver({ hosts: hosts.slice(i, i + 1_000), at: this.#clock.now(), tries: 0 });
    }
    return [];
  }

  /** Runs a scheduled round; it waits for a free execution like any event. */
  async round(): Promise<void> {
    while (this.#running >= this.#concurrency) await this.#clock.wait(1_000);
    await this.#run((environment) => environment.refresher().round());
  }

  async #deliver(event: QueuedEvent): Promise<void> {
    await this.#clock.wait(30);
    while (this.#running >= this.#concurrency) {
      await this.#clock.wait(Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** event.tries++));
      if (this.#clock.now() - event.at > OLDEST_MS) {
        this.deadLetters++;
        return;
      }
    }
    await this.#run((environment) => environment.refresher().takeOver(event));
  }

  async #run(work: (environment: FilterEnvironment) => Promise<unknown>): Promise<void> {
    this.#running++;
    const environment = this.#idle.pop() ?? this.#newEnvironment();
    await work(environment);
    this.#idle.push(environment);
    this.#running--;
  }
}
