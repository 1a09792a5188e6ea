import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Answer, Order } from './function-process.ts';

const SCRIPT = fileURLToPath(new URL('function-process.ts', import.meta.url));

export interface ExecutionEnvironmentOptions {
  readonly functionName: string;
  /** The file that the function's bundle begins with. */
  readonly bundle: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Takes each line that the function prints. */
  readonly print: (line: string) => void;
}

export interface InvokeOptions {
  readonly requestId: string;
  readonly timeoutMs: number;
}

/** One Lambda execution environment: a process that runs a function, one invocation at a time. */
export class ExecutionEnvironment {
  readonly #child: ChildProcess;
  readonly #ready: Promise<unknown>;
  readonly #closed: Promise<void>;
  #isUp = true;

  constructor({ functionName, bundle, env, print }: ExecutionEnvironmentOptions) {
    this.#child = fork(SCRIPT, [bundle, functionName], {
      env: { PATH: process.env['PATH'], ...env },
      execArgv: [],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream !== null) createInterface(stream).on('line', print);
    }
    this.#child.on('exit', () => (this.#isUp = false));
    // A process that could not be started, or sent to, is one that ended.
    this.#child.on('error', () => (this.#isUp = false));
    // Not only ended: what it printed has been read to the end, too.
    this.#closed = new Promise<void>((resolve) => this.#child.once('close', () => resolve()));
    this.#ready = this.#nextMessage();
    // Whoever invokes it learns of a process that did not start; nobody may.
    this.#ready.catch(() => {});
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Whether it can take another invocation. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /**
   * @returns what the function returned
   * @throws {Error} what the function threw; or that its process ended, which it also does at the end of its time
   */
  async invoke(event: unknown, { requestId, timeoutMs }: InvokeOptions): Promise<unknown> {
    await this.#ready;
    const order: Order = { id: 1, event, remainingMs: timeoutMs, requestId };
    const answered = this.#nextMessage();
    this.#child.send(order);
    const late = new AbortController();
    const timer = setTimeout(() => {
      late.abort(new Error(`Task timed out after ${(timeoutMs / 1000).toFixed(2)} seconds`));
      void this.stop();
    }, timeoutMs);
    try {
      const answer = (await answered) as Answer;
      if ('error' in answer) throw new Error(answer.error);
      return answer.result;
    } catch (error) {
      late.signal.throwIfAborted();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends it as Lambda does: without a word. */
  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#closed;
  }

  async #nextMessage(): Promise<unknown> {
    const ended = this.#closed.then(() => {
      const { exitCode, signalCode } = this.#child;
      throw new Error(`Runtime exited: ${signalCode ?? `exit status ${exitCode}`}`);
    });
    const [message] = (await Promise.race([once(this.#child, 'message'), ended])) as [unknown];
    return message;
  }
}
