import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { recordOutput } from '../reporters/record.ts';

const SCRIPT = fileURLToPath(new URL('lambda-process.ts', import.meta.url));
const BUNDLE = fileURLToPath(new URL('../../dist/filter/index.mjs', import.meta.url));

export type LogLine = Readonly<Record<string, unknown>>;

/** A Lambda execution environment that runs the built function: a process of its own, with a clock of its own. */
export class LambdaEnvironment {
  /** The function's log lines so far. */
  readonly lines: LogLine[] = [];
  /** Everything that it printed. */
  output = '';
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, (result: APIGatewayProxyStructuredResultV2) => void>();
  readonly #lineWaiters: (() => void)[] = [];
  #lastId = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      if (stream !== null) createInterface(stream).on('line', (line) => this.#read(line));
    }
    child.on('message', (message: unknown) => {
      if (typeof message !== 'object' || message === null) return;
      const { id, result } = message as { id: number; result: APIGatewayProxyStructuredResultV2 };
      const { body = '', ...rest } = result;
      recordOutput('an answer of the function', `${JSON.stringify(rest)}\n${body}`);
      this.#pending.get(id)?.(result);
      this.#pending.delete(id);
    });
  }

  static async start(env: Readonly<Record<string, string>>, bundle = BUNDLE): Promise<LambdaEnvironment> {
    const { PATH = '' } = process.env;
    const child = fork(SCRIPT, [bundle], {
      env: { PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
    });
    const environment = new LambdaEnvironment(child);
    await once(child, 'message');
    return environment;
  }

  /** @param remainingMs what is left of the function's time-out when the invocation begins */
  invoke(event: unknown, remainingMs = 29_000): Promise<APIGatewayProxyStructuredResultV2> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      this.#pending.set(id, resolve);
      this.#child.send({ id, event, remainingMs });
    });
  }

  /** Lets so much time have passed since the start, as far as this environment can see: its clock and AWS's say so. */
  turnClock(clockOffsetMs: number): void {
    this.#child.send({ clockOffsetMs, isWrong: false });
  }

  /** Sets this environment's clock so far ahead of the right time (behind it, where negative). */
  setClockWrong(clockOffsetMs: number): void {
    this.#child.send({ clockOffsetMs, isWrong: true });
  }

  /** Stops it as it stands, as Lambda does between invocations, until it is thawed. */
  freeze(): void {
    this.#child.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child.kill('SIGCONT');
  }

  /** The log line of the request that was answered last; lines come through a pipe, and so a moment after the answer. */
  async lastLine(requests = this.#lastId): Promise<LogLine> {
    while (this.lines.length < requests) await new Promise<void>((resolve) => this.#lineWaiters.push(resolve));
    return this.lines[requests - 1] ?? {};
  }

  /** Ends it as Lambda does: without a word. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }

  #read(line: string): void {
    this.output += `${line}\n`;
    recordOutput('what the function printed', line);
    if (!line.startsWith('{"level"')) return;
    this.lines.push(JSON.parse(line) as LogLine);
    for (const resolve of this.#lineWaiters.splice(0)) resolve();
  }
}
