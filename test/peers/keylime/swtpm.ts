import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePortBeforeAnother } from './ports.ts';
import { ProcessGroup } from './process-group.ts';

const run = promisify(execFile);

/** Where the attestation key stays in the TPM; any persistent handle of its owner would do. */
const KEY_HANDLE = '0x81010002';
const KEY_ATTRIBUTES = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign';

/** A TPM 2.0 in software, with its state in a temporary folder and a key that signs quotes. One command at a time. */
export class SoftwareTpm {
  /** How the tools of tpm2-tools reach it, as in TPM2TOOLS_TCTI. */
  readonly tcti: string;
  readonly #folder: string;
  readonly #group: ProcessGroup;
  #attestationKey = '';
  #last: Promise<unknown> = Promise.resolve();

  private constructor(port: number) {
    this.tcti = `swtpm:host=127.0.0.1,port=${port}`;
    this.#folder = mkdtempSync(join(tmpdir(), 'swtpm-'));
    const listens = (at: number): string => `type=tcp,port=${at},bindaddr=127.0.0.1`;
    // The library takes the control port to be the next one. State that is not there yet is made.
    const ports = ['--ctrl', listens(port + 1), '--server', listens(port)];
    const state = ['--tpmstate', `dir=${this.#folder}`, '--flags', 'startup-clear'];
    this.#group = new ProcessGroup(['swtpm', 'socket', '--tpm2', ...ports, ...state], this.#folder, process.env);
  }

  /** Resolves when it answers and has its key, an RSA one of 2048 bits that signs with RSASSA and SHA-256. */
  static async start(): Promise<SoftwareTpm> {
    const tpm = new SoftwareTpm(await freePortBeforeAnother());
    await tpm.#group.untilReady(() =>
      tpm.#tool('tpm2_getcap', 'properties-fixed').then(
        () => true,
        () => false,
      ),
    );
    await tpm.#makeKey();
    return tpm;
  }

  /** The public part of the key that signs quotes: base64 of a TPM2B_PUBLIC. */
  get attestationKey(): string {
    return this.#attestationKey;
  }

  /** Extends a register of the SHA-256 bank: its value is then SHA-256 of the old value and the digest. */
  extendPcr(pcr: number, digest: Buffer): Promise<void> {
    return this.#alone(() => this.#tool('tpm2_pcrextend', `${pcr}:sha256=${digest.toString('hex')}`));
  }

  /** Sets a register back to zeros. Only 16 and 23 can be. */
  resetPcr(pcr: number): Promise<void> {
    return this.#alone(() => this.#tool('tpm2_pcrreset', String(pcr)));
  }

  /**
   * A quote of registers of the SHA-256 bank, as a Keylime agent sends it: `r`, then message, signature and registers in base64,
   * joined by colons. Register 16 is among them, freshly reset and extended with the digest of `data`.
   */
  quote(pcrs: readonly number[], nonce: string, data: string): Promise<string> {
    return this.#alone(async () => {
      const digest = createHash('sha256').update(data).digest('hex');
      await this.#tool('tpm2_pcrreset', '16');
      await this.#tool('tpm2_pcrextend', `16:sha256=${digest}`);
      const list = [...new Set([...pcrs, 16])].sort((a, b) => a - b).join(',');
      const what = ['-c', KEY_HANDLE, '-l', `sha256:${list}`, '-q', Buffer.from(nonce, 'ascii').toString('hex')];
      const files = ['message', 'signature', 'registers'].map((name) => join(this.#folder, name));
      const [message = '', signature = '', registers = ''] = files;
      const where = ['-m', message, '-s', signature, '-o', registers, '-F', 'serialized'];
      await this.#tool('tpm2_quote', '-Q', '-g', 'sha256', ...what, ...where);
      return `r${files.map((file) => readFileSync(file).toString('base64')).join(':')}`;
    });
  }

  /** Stops it and removes its folder. */
  async stop(): Promise<void> {
    await this.#last.catch(() => {});
    await this.#group.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #makeKey(): Promise<void> {
    const context = join(this.#folder, 'key.context');
    const publicPart = join(this.#folder, 'key.public');
    const kind = ['-C', 'o', '-G', 'rsa2048:rsassa-sha256:null', '-a', KEY_ATTRIBUTES];
    await this.#tool('tpm2_createprimary', '-Q', ...kind, '-c', context);
    // A key that stays needs no room among the transient objects, of which there are three.
    await this.#tool('tpm2_evictcontrol', '-Q', '-C', 'o', '-c', context, KEY_HANDLE);
    await this.#tool('tpm2_flushcontext', '-t');
    await this.#tool('tpm2_readpublic', '-Q', '-c', KEY_HANDLE, '-f', 'tss', '-o', publicPart);
    this.#attestationKey = readFileSync(publicPart).toString('base64');
  }

  /** What several commands do must not be mixed with what others do. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.catch(() => {}).then(work);
    this.#last = result;
    return result;
  }

  async #tool(name: string, ...parameters: readonly string[]): Promise<void> {
    await run(name, parameters, { env: { ...process.env, TPM2TOOLS_TCTI: this.tcti } });
  }
}
