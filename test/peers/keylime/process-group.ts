import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ASK_EVERY_MS = 20;
const READY_LIMIT_MS = 20_000;
const STOP_LIMIT_MS = 5_000;
const LOG_LIMIT = 1_000_000;
const LOG_END = 3_000;

/**
 * Runs the program in place of the shell; beside it waits one that ends the group when our end of the pipe closes, so that
 * nothing outlives a test run that was itself ended.
 */
const TOGETHER = 'exec 3<&0; (read -r _ <&3; kill -KILL 0) & exec "$@" 3<&- </dev/null';

/** A program with its children, in a process group of its own. What it prints is kept. */
export class ProcessGroup {
  readonly #name: string;
  readonly #child: ChildProcess;
  /** When nobody is left who could print. */
  readonly #end: Promise<unknown>;
  #log = '';

  constructor(command: readonly string[], folder: string, env: NodeJS.ProcessEnv) {
    this.#name = command.map((part) => basename(part)).join(' ');
    this.#child = spawn('/bin/sh', ['-c', TOGETHER, 'sh', ...command], {
      cwd: folder,
      env: env,
      stdio: 'pipe',
      detached: true,
    });
    const keep = (chunk: Buffer): void => void (this.#log = (this.#log + chunk.toString()).slice(-LOG_LIMIT));
    this.#child.stdout?.on('data', keep);
    this.#child.stderr?.on('data', keep);
    this.#child.stdin?.on('error', () => {});
    this.#end = once(this.#child, 'close');
  }

  /** What it printed, the last million characters. */
  get log(): string {
    return this.#log;
  }

  /** The id of the program itself, and of the group. */
  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.#name} did not start`);
    return this.#child.pid;
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Asks until the answer is yes. Throws, with the end of the log, if the program ends before or 20 s pass. */
  async untilReady(isReady: () => Promise<boolean>): Promise<void> {
    const endsAt = performance.now() + READY_LIMIT_MS;
    while (!(await isReady())) {
      const what = this.#hasEnded ? 'ended' : performance.now() > endsAt ? 'is not ready' : undefined;
      if (what !== undefined) {
        await this.kill();
        throw new Error(`${this.#name} ${what}:\n${this.#log.slice(-LOG_END)}`);
      }
      await sleep(ASK_EVERY_MS);
    }
  }

  /** Asks all of the group to end, and ends after 5 s what has not. */
  async stop(): Promise<void> {
    this.#signal('SIGTERM');
    const waiting = new AbortController();
    await Promise.race([this.#exit(), sleep(STOP_LIMIT_MS, undefined, { signal: waiting.signal }).catch(() => {})]);
    waiting.abort();
    await this.kill();
  }

  /** Ends all of the group without asking. Resolves when nobody of it is left. */
  async kill(): Promise<void> {
    this.#signal('SIGKILL');
    await this.#end;
  }

  async #exit(): Promise<void> {
    if (!this.#hasEnded) await once(this.#child, 'exit');
  }

  #signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.pid, signal);
    } catch (error) {
      // Nobody is left.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}
