import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { KeyPair } from '../../../infra/local/certificates.ts';
import { freePort } from '../../peers/keylime/ports.ts';

/** The configuration that operators get. */
export const CONF = fileURLToPath(new URL('../../../infra/attesters/keylime/nginx.conf', import.meta.url));

const ASK_EVERY_MS = 20;
const TRIES = 250;

/** The nginx that is installed; undefined where there is none. Debian keeps it where not every PATH leads. */
export const NGINX = ['nginx', '/usr/sbin/nginx'].find((path) => spawnSync(path, ['-v']).status === 0);

export interface KeylimeProxyParts {
  /** What the proxy shows to those who ask. */
  readonly server: KeyPair;
  /** PEM text of the authority of those who may ask. */
  readonly readers: string;
  /** The subject of the one who may, as RFC 2253 writes it; that of the file unless given. */
  readonly subject?: string;
  readonly verifier: {
    readonly port: number;
    /** What the verifier takes. */
    readonly client: KeyPair;
    /** PEM text of the authority of the verifier's own certificate. */
    readonly authority: string;
    /** The name to verify in it; localhost unless given. */
    readonly name?: string;
  };
  /** What stands in nginx's own configuration, beside the file. */
  readonly http?: string;
  /** Further values in place of those of the file, such as times. */
  readonly changes?: Readonly<Record<string, string>>;
}

/** nginx with the configuration of infra/attesters/keylime/ and an operator's values in it, on loopback, in a temporary folder. */
export class KeylimeProxy {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(port: number, child: ChildProcess, folder: string) {
    [this.port, this.#child, this.#folder] = [port, child, folder];
  }

  /** Resolves when it listens. Throws where it does not start, or where the file does not have what is to be replaced. */
  static async start(parts: KeylimeProxyParts): Promise<KeylimeProxy> {
    if (NGINX === undefined) throw new Error('nginx is not installed');
    const { readers, server, subject, verifier } = parts;
    const folder = mkdtempSync(join(tmpdir(), 'nginx-'));
    const port = await freePort();
    const file = (name: string, content: string): string => {
      writeFileSync(join(folder, name), content, { mode: 0o600 });
      return join(folder, name);
    };
    const conf = adapt(readFileSync(CONF, 'utf8'), {
      ...(subject === undefined ? {} : { 'CN=trusted-filter,O=example': subject }),
      'listen 8881 ssl': `listen 127.0.0.1:${port} ssl`,
      'server 127.0.0.1:8882': `server 127.0.0.1:${verifier.port}`,
      'proxy_ssl_name server': `proxy_ssl_name ${verifier.name ?? 'localhost'}`,
      '/etc/keylime-reader/server.pem': file('server.pem', server.cert),
      '/etc/keylime-reader/server.key': file('server.key', server.key),
      '/etc/keylime-reader/readers.pem': file('readers.pem', readers),
      '/etc/keylime-reader/verifier-client.pem': file('verifier-client.pem', verifier.client.cert),
      '/etc/keylime-reader/verifier-client.key': file('verifier-client.key', verifier.client.key),
      '/etc/keylime-reader/verifier-ca.pem': file('verifier-ca.pem', verifier.authority),
      '/var/log/nginx/keylime-reader.log': join(folder, 'access.log'),
      ...parts.changes,
    });
    const user = process.getuid?.() === 0 ? 'user root;' : '';
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${kind};`);
    const main = file(
      'nginx.conf',
      `${user} daemon off; worker_processes 1; pid nginx.pid; error_log error.log warn; events {}
      http { ${temporary.join(' ')} ${parts.http ?? ''} include ${file('keylime-reader.conf', conf)}; }`,
    );
    const child = spawn(NGINX, ['-p', folder, '-e', join(folder, 'error.log'), '-c', main], { stdio: 'ignore' });
    const proxy = new KeylimeProxy(port, child, folder);
    await proxy.#untilThere();
    return proxy;
  }

  /** The lines of its log so far: one for each request that has ended. */
  get log(): readonly string[] {
    return this.#read('access.log').split('\n').slice(0, -1);
  }

  /** What it has to say of faults. */
  get errors(): string {
    return this.#read('error.log');
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null) {
      const exited = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      await exited;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #read(name: string): string {
    return readFileSync(join(this.#folder, name), 'utf8');
  }

  async #untilThere(): Promise<void> {
    for (let i = 0; i < TRIES; i++) {
      if (this.#child.exitCode !== null) throw new Error(`nginx did not start: ${this.errors}`);
      const socket = connect(this.port, '127.0.0.1');
      const isThere = await new Promise((resolve) => {
        socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
      });
      socket.destroy();
      if (isThere === true) return;
      await sleep(ASK_EVERY_MS);
    }
    throw new Error('nginx does not listen');
  }
}

/** Puts in what an operator would; a text that the file does not have is a fault of the test. */
function adapt(conf: string, changes: Readonly<Record<string, string>>): string {
  return Object.entries(changes).reduce((adapted, [from, to]) => {
    if (!adapted.includes(from)) throw new Error(`nginx.conf does not have ${from}`);
    return adapted.replace(from, () => to);
  }, conf);
}
