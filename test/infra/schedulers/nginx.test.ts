import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CertificateAuthority, type KeyPair, LOOPBACK_NAMES } from '../../../infra/local/certificates.ts';
import { listen } from '../../../infra/local/listen.ts';
import { type Behaviour, FaultyServer, trickle } from '../../fakes/faulty-server.ts';
import { recordSecrets } from '../../reporters/record.ts';

const CONF = fileURLToPath(new URL('../../../infra/schedulers/nova/nginx.conf', import.meta.url));
const PATH = '/nova/external-scheduler';
const NOBODY = '{"hosts":[]}';
const GOOD = '{"hosts":["nova-compute-1"]}';
const HEAD = `HTTP/1.1 200 OK\r\nx-filler: ${'x'.repeat(1_000)}`;
/** What stands for the seconds of the file. */
const READ_LIMIT_MS = 400;

/** Debian keeps it where not every PATH leads. */
const NGINX = ['nginx', '/usr/sbin/nginx'].find((path) => spawnSync(path, ['-v']).status === 0);

interface Answer {
  readonly status: number | undefined;
  readonly body: string;
}

/** Puts in what an operator would; a text that the file does not have is a fault of the test. */
function adapt(conf: string, changes: Readonly<Record<string, string>>): string {
  return Object.entries(changes).reduce((adapted, [from, to]) => {
    if (!adapted.includes(from)) throw new Error(`nginx.conf does not have ${from}`);
    return adapted.replace(from, to);
  }, conf);
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  server.close();
  return port;
}

class Nginx {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(port: number, child: ChildProcess, folder: string) {
    this.port = port;
    this.#child = child;
    this.#folder = folder;
  }

  static async start(nginx: string, parts: NginxParts): Promise<Nginx> {
    const folder = mkdtempSync(join(tmpdir(), 'nginx-'));
    const [port, inner] = [await freePort(), await freePort()];
    const file = (name: string, content: string): string => {
      writeFileSync(join(folder, name), content, { mode: 0o600 });
      return join(folder, name);
    };
    const conf = adapt(readFileSync(CONF, 'utf8'), {
      'listen 127.0.0.1:8770': `listen 127.0.0.1:${port}`,
      'proxy_pass http://127.0.0.1:8771;': `proxy_pass http://127.0.0.1:${inner};`,
      'proxy_pass http://127.0.0.1:8771/page': `proxy_pass http://127.0.0.1:${inner}/page`,
      'listen 127.0.0.1:8771': `listen 127.0.0.1:${inner}`,
      'proxy_read_timeout 14s': `proxy_read_timeout ${READ_LIMIT_MS + 600}ms`,
      'trust.example.com:443': parts.address,
      '$trust_name trust.example.com': `$trust_name ${parts.name ?? 'localhost'}`,
      'resolver 127.0.0.53': `resolver 127.0.0.1:${await freePort()}`,
      'resolver_timeout 1s': 'resolver_timeout 300ms',
      '/etc/trusted-filter/client.pem': file('client.pem', parts.client.cert),
      '/etc/trusted-filter/client.key': file('client.key', parts.client.key),
      '/etc/ssl/certs/ca-certificates.crt': file('ca.pem', parts.authority),
      'proxy_connect_timeout 1s': 'proxy_connect_timeout 300ms',
      'proxy_read_timeout 9s': `proxy_read_timeout ${READ_LIMIT_MS}ms`,
    }).replaceAll('/var/log/nginx/trusted-filter', join(folder, 'trusted-filter'));
    const user = process.getuid?.() === 0 ? 'user root;' : '';
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${kind};`);
    const main = file(
      'nginx.conf',
      `${user} daemon off; worker_processes 1; pid nginx.pid; error_log error.log; events {}
      http { ${temporary.join(' ')} ${parts.http ?? ''} include ${file('trusted-filter.conf', conf)}; }`,
    );
    const child = spawn(nginx, ['-p', folder, '-e', join(folder, 'error.log'), '-c', main], { stdio: 'inherit' });
    const started = new Nginx(port, child, folder);
    await started.#untilThere();
    return started;
  }

  /** What it answered instead of the service. */
  get log(): string[] {
    return this.#read('trusted-filter-no-host.log');
  }

  /** What it asked the service. */
  get calls(): string[] {
    return this.#read('trusted-filter.log');
  }

  async ask(body: string | Buffer = '{}', path = PATH, method = 'POST', more = {}): Promise<Answer> {
    const headers = {
      ...more,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      // As Python's requests sends it.
      'accept-encoding': 'gzip, deflate',
    };
    const sent = request({ host: '127.0.0.1', port: this.port, path, method, headers });
    // It may answer before it has read everything, and close.
    sent.on('error', () => {}).end(body);
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    return { status: response.statusCode, body: await text(response) };
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null) {
      const exited = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      await exited;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #read(log: string): string[] {
    return readFileSync(join(this.#folder, log), 'utf8').split('\n').slice(0, -1);
  }

  async #untilThere(): Promise<void> {
    for (let i = 0; i < 100; i++) {
      if (this.#child.exitCode !== null) throw new Error('nginx did not start');
      const socket = connect(this.port, '127.0.0.1');
      const isThere = await new Promise((resolve) => {
        socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
      });
      socket.destroy();
      if (isThere === true) return;
      await sleep(50);
    }
    throw new Error('nginx does not listen');
  }
}

interface NginxParts {
  /** What stands in nginx's own configuration, beside the file. */
  readonly http?: string;
  readonly address: string;
  readonly name?: string;
  readonly client: KeyPair;
  readonly authority: string;
}

/** The service as a server on this machine: demands a client certificate, and answers as told. */
function serving(pair: KeyPair, ca: string, answer: (exchange: Exchange) => void): Behaviour {
  return (socket) => {
    const tls = { ...pair, ca, requestCert: true, rejectUnauthorized: true };
    const server = createHttpsServer(tls, (incoming, response) => {
      response.on('error', () => {});
      void buffer(incoming).then((body) => {
        const { CN: caller } = socketOf(incoming).getPeerCertificate().subject;
        const { url, headers, method } = incoming;
        const asked = { body, caller, url, method, headers };
        answer({ asked, response, socket });
      });
    });
    server.on('tlsClientError', () => {}).emit('connection', socket);
  };
}

/** HTTPS has nothing but TLS below it. */
function socketOf(incoming: IncomingMessage): Pick<TLSSocket, 'getPeerCertificate'> {
  return incoming.socket as unknown as Pick<TLSSocket, 'getPeerCertificate'>;
}

interface Exchange {
  readonly asked: Readonly<Record<string, unknown>>;
  readonly response: ServerResponse;
  readonly socket: Socket;
}

if (NGINX === undefined) {
  console.warn('left out: nginx is not installed');
  test('left out: nginx is not installed', () => {});
} else {
  describeWith(NGINX);
}

function describeWith(nginxPath: string): void {
  let authority: CertificateAuthority;
  let stranger: CertificateAuthority;
  let client: KeyPair;
  let server: KeyPair;
  let upstream: FaultyServer;
  let nginx: Nginx;
  const all: Nginx[] = [];
  const sockets: Socket[] = [];

  beforeAll(async () => {
    authority = await CertificateAuthority.create('test authority');
    stranger = await CertificateAuthority.create('another authority');
    client = await authority.client({ commonName: 'nova-scheduler' });
    server = await authority.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
    for (const { key } of [client, server]) recordSecrets(key);
    upstream = await FaultyServer.start(() => {});
    nginx = await start();
  });
  afterAll(async () => {
    for (const each of all) await each.stop();
    for (const socket of sockets) socket.destroy();
    await upstream.shut();
  });

  async function start(parts: Partial<NginxParts> = {}): Promise<Nginx> {
    const address = `127.0.0.1:${upstream.port}`;
    const started = await Nginx.start(nginxPath, { address, client, authority: authority.cert, ...parts });
    all.push(started);
    return started;
  }

  function become(behaviour: Behaviour): void {
    upstream.behave((socket) => {
      sockets.push(socket);
      behaviour(socket);
    });
  }

  const behave = (answer: (exchange: Exchange) => void) => become(serving(server, authority.cert, answer));

  async function expectNobody(of = nginx): Promise<void> {
    expect(await of.ask()).toEqual({ status: 200, body: NOBODY });
  }

  describe('nginx beside a nova-scheduler', () => {
    test('hands the request to the service with the client certificate, and its answer back', async () => {
      let seen: Exchange['asked'] = {};
      behave(({ asked, response }) => {
        seen = asked;
        response.end(GOOD);
      });
      const body = Buffer.from(`{"spec":"${'ä'.repeat(4_000_000)}"}`);
      expect(await nginx.ask(body)).toEqual({ status: 200, body: GOOD });
      expect(seen).toMatchObject({ caller: 'nova-scheduler', url: PATH, method: 'POST' });
      expect(seen['headers']).toEqual({
        host: 'localhost',
        connection: 'close',
        'content-type': 'application/json',
        'content-length': `${body.length}`,
      });
      expect((seen['body'] as Buffer).equals(body)).toBe(true);
    });

    test('hands an answer of 70,000 hosts back whole', async () => {
      const body = JSON.stringify({ hosts: Array.from({ length: 70_000 }, (_, i) => `nova-compute-${i}`) });
      behave(({ response }) => response.end(body));
      expect(await nginx.ask()).toEqual({ status: 200, body });
    });

    test('does nothing that an answer asks of it', async () => {
      behave(({ response }) => response.writeHead(200, { 'x-accel-redirect': '/no-host' }).end(GOOD));
      expect(await nginx.ask()).toEqual({ status: 200, body: GOOD });
    });

    test.each([
      ['with space between', ' { "hosts" : [ "nova-compute-1" , "b" ] }\r\n'],
      ['with names that JSON escapes', '{"hosts":["a\\"]}","\\\\","\\u00e4ä"]}'],
      ['with the marks of a page', '{"hosts":["<!--# echo var=\\"answer\\" -->"]}'],
      ['without hosts', NOBODY],
    ])('hands an answer %s back byte for byte', async (_, body) => {
      behave(({ response }) => response.end(body));
      expect(await nginx.ask()).toEqual({ status: 200, body });
    });

    test('whatever is set for all sites of the host', async () => {
      behave(({ response }) => response.end(GOOD));
      const packing = 'gzip on; gzip_min_length 1; gzip_types application/json; gzip_http_version 1.0;';
      const other = await start({ http: `${packing} proxy_http_version 1.1; ssi_value_length 10; deny all;` });
      expect(await other.ask()).toEqual({ status: 200, body: GOOD });
    });

    test.each([
      ['If-Match', '"x"'],
      ['If-None-Match', '*'],
      ['If-Unmodified-Since', 'Thu, 01 Jan 1970 00:00:01 GMT'],
    ])('whatever %s says', async (header, value) => {
      behave(({ response }) => response.end(GOOD));
      expect(await nginx.ask('{}', PATH, 'POST', { [header]: value })).toEqual({ status: 200, body: GOOD });
    });

    test('with a line of each call of the service', async () => {
      behave(({ response }) => response.end(GOOD));
      await nginx.ask();
      expect(nginx.calls.at(-1)).toMatch(
        /^\S+ upstream=127\.0\.0\.1:\d+ status=200 seconds=0\.\d+ request="POST \S+ HTTP\/1\.\d"$/,
      );
    });

    test('takes requests of its own host alone', () => {
      expect(readFileSync(CONF, 'utf8').match(/^\s*listen .*$/gm)).toEqual([
        '    listen 127.0.0.1:8770;',
        '    listen 127.0.0.1:8771;',
      ]);
    });
  });

  describe('nginx answers that no host passes', () => {
    test('with any status from 300 on', async () => {
      let status = 0;
      behave(({ response }) => response.writeHead(status, { location: 'https://elsewhere.example.com/' }).end(GOOD));
      for (status = 300; status <= 999; status += status < 600 ? 1 : 57) {
        expect([status, await nginx.ask()]).toEqual([status, { status: 200, body: NOBODY }]);
      }
    }, 60_000);

    test('where the service is down', async () => {
      await upstream.shut();
      await expectNobody();
      await upstream.open();
    });

    test.each<[string, Behaviour]>([
      ['nobody shakes hands', (socket) => socket.resume()],
      ['the connection ends at once', (socket) => socket.destroy()],
      ['the connection is reset', (socket) => socket.resetAndDestroy()],
      ['the server speaks no TLS', (socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n{"hosts":["nova-compute-1"]}')],
    ])('where %s', async (_, behaviour) => {
      become(behaviour);
      await expectNobody();
    });

    test.each<[string, (exchange: Exchange) => void]>([
      ['nothing comes', () => {}],
      ['the connection ends before the answer', ({ socket }) => socket.destroy()],
      ['the head of the answer trickles in', ({ response }) => trickle(response.socket!, HEAD, 100)],
      ['the head of the answer stops half way', ({ response }) => response.socket?.write('HTTP/1.1 200 OK\r\nx:')],
      ['the head of the answer ends half way', ({ response }) => response.socket?.end('HTTP/1.1 200 OK\r\ncontent-le')],
      [
        'the answer trickles in',
        ({ response }) => {
          response.flushHeaders();
          trickle(response, ' '.repeat(100_000), 100);
        },
      ],
      [
        'the answer is cut short',
        ({ response, socket }) =>
          response.writeHead(200, { 'content-length': 1_000 }).write(GOOD.slice(0, -2), () => socket.end()),
      ],
      [
        'the answer wants another protocol',
        ({ response }) => response.socket?.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n${GOOD}`),
      ],
      ['the answer is no HTTP', ({ response }) => response.socket?.end('nova-compute-1')],
      ['the answer stops half way', ({ response }) => response.write(GOOD.slice(0, -2))],
      [
        'the head of the answer is too long',
        ({ response }) => response.writeHead(200, { 'x-long': 'x'.repeat(40_000) }).end(GOOD),
      ],
    ])('where a request is taken and %s', async (_, answer) => {
      behave(answer);
      await expectNobody();
    });

    test.each([
      ['no JSON', '<html>'],
      ['empty', ''],
      ['null', 'null'],
      ['an array', '["nova-compute-1"]'],
      ['of more than hosts', '{"hosts":["nova-compute-1"],"error":null}'],
      ['of hosts that are no list', '{"hosts":"nova-compute-1"}'],
      ['of hosts that are no texts', '{"hosts":["nova-compute-1",1]}'],
      ['of hosts with a comma too many', '{"hosts":["nova-compute-1",]}'],
      ['of hosts with a comma missing', '{"hosts":["nova-compute-1""nova-compute-2"]}'],
      ['of a text that does not end', '{"hosts":["nova-compute-1\\"]}'],
      ['of a text with an escape that JSON does not have', '{"hosts":["nova\\x"]}'],
      ['of a text with a line break', '{"hosts":["nova\n"]}'],
      ['followed by another', `${GOOD}${GOOD}`],
      ['larger than Lambda can answer', `{"hosts":["${'x'.repeat(6 * 1024 * 1024)}"]}`],
      ['packed', gzipSync(GOOD)],
    ])('where the answer is %s', async (_, body) => {
      behave(({ response }) => response.end(body));
      await expectNobody();
    });

    test('where the answer is more than PCRE looks at', async () => {
      behave(({ response }) => response.end(`{"hosts":[${'"",'.repeat(2_096_660)}""]}`));
      const { status, body } = await nginx.ask();
      expect([status, body.trim()]).toEqual([200, NOBODY]);
    });

    test('where the server is vouched for by another authority', async () => {
      const other = await stranger.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
      become(serving(other, authority.cert, ({ response }) => response.end(GOOD)));
      await expectNobody();
    });

    test('where the server has another name', async () => {
      const other = await authority.server({
        commonName: 'other.example.com',
        names: [{ type: 'dns', value: 'other.example.com' }],
      });
      become(serving(other, authority.cert, ({ response }) => response.end(GOOD)));
      await expectNobody();
    });

    test("where the service refuses nginx's own certificate", async () => {
      const other = await start({ client: await stranger.client({ commonName: 'nova-scheduler' }) });
      behave(({ response }) => response.end(GOOD));
      await expectNobody(other);
      expect(await nginx.ask()).toEqual({ status: 200, body: GOOD });
    });

    test('where the name of the service is not resolved, at the start and later', async () => {
      await expectNobody(await start({ address: 'trust.invalid:443' }));
    });

    test.each([
      ['another path', '/external-scheduler', 'POST'],
      ['a path below', `${PATH}/`, 'POST'],
      ['another path and method', '/', 'GET'],
    ])('on %s, with no call', async (_, path, method) => {
      become(() => {
        throw new Error('called');
      });
      expect(await nginx.ask('{}', path, method)).toEqual({ status: 200, body: NOBODY });
      expect(upstream.connections).toEqual([]);
    });

    test('to a request that is larger than API Gateway takes', async () => {
      behave(({ response }) => response.end(GOOD));
      expect(await nginx.ask(Buffer.alloc(10 * 1024 * 1024 + 1, ' '))).toEqual({ status: 200, body: NOBODY });
    });

    test('to a request that is no HTTP', async () => {
      const socket = connect(nginx.port, '127.0.0.1', () => socket.end('POST /\x01 HTTP/9.9\r\n\r\n'));
      expect(await text(socket)).toContain(NOBODY);
    });

    test.each<[string, string, (exchange: Exchange) => void]>([
      ['refuses', '403', ({ response }) => response.writeHead(403).end(GOOD)],
      ['says nothing', '200', ({ response }) => response.end()],
      ['says something else', '200', ({ response }) => response.end('<html>')],
      [
        'begins, and says no more',
        '200',
        ({ response }) => response.writeHead(200, { 'content-length': 28 }).write('{'),
      ],
      ['ends the connection', '502', ({ socket }) => socket.destroy()],
      ['takes too long', '504', () => {}],
    ])('with one line in its log where the service %s: %s', async (_, status, answer) => {
      const before = nginx.log.length;
      behave(answer);
      await nginx.ask();
      behave(({ response }) => response.end(GOOD));
      await nginx.ask();
      // nginx lingers over the requests of the tests before, which came to no upstream, and may log them only now.
      const lines = nginx.log.slice(before).filter((line) => !line.includes('upstream=- '));
      expect(
        lines.map((line) => /^\S+ upstream=(\S+) status=(\S+) seconds=\S+ request="(\S+) /.exec(line)?.slice(1)),
      ).toEqual([[`127.0.0.1:${upstream.port}`, status, 'POST']]);
    });
  });
}
