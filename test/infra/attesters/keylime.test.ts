/** What a verifier gets to see through the proxy in front of it: two GETs, and nothing else that anybody tries. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CertificateAuthority, type KeyPair, LOOPBACK_NAMES } from '../../../infra/local/certificates.ts';
import { close, listen } from '../../../infra/local/listen.ts';
import { Agent } from '../../peers/keylime/agent.ts';
import { keylimeIsThere, whatKeylimeLacks } from '../../peers/keylime/installed.ts';
import { Keylime } from '../../peers/keylime/keylime.ts';
import { putRows } from '../../peers/keylime/rows.ts';
import { SoftwareTpm } from '../../peers/keylime/swtpm.ts';
import { recordSecrets } from '../../reporters/record.ts';
import { KeylimeProxy, type KeylimeProxyParts, NGINX } from './keylime-proxy.ts';

const ID = '1882f555-6930-50a3-b8f2-45d2a1c8a70d';
const ONE = `/v2.1/agents/${ID}`;
const ALL = '/v2.1/agents/?bulk=true';
const RECORD = '{"code":200,"status":"Success","results":{"v":"half-of-a-key"}}';
const READER = { commonName: 'trusted-filter', organization: 'example' };
/** Not of now: nginx would say another. */
const DATE = 'Sat, 01 Jan 2022 00:00:00 GMT';
/** What comes after GET, a character a byte. */
const REFUSED = JSON.parse(
  readFileSync(new URL('../../fixtures/keylime-proxy/refused-targets.json', import.meta.url), 'utf8'),
) as readonly string[];
/** Of a connection on which nothing more comes. */
const LIMIT_MS = 10_000;

interface Reached {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
  /** The common name in the client certificate. */
  readonly from: unknown;
}

interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

let servers: CertificateAuthority;
let clients: CertificateAuthority;
let readers: CertificateAuthority;
let server: KeyPair;
let verifierClient: KeyPair;
let reader: KeyPair;

beforeAll(async () => {
  servers = await CertificateAuthority.create('servers');
  clients = await CertificateAuthority.create('clients of the verifier');
  readers = await CertificateAuthority.create('readers');
  server = await servers.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
  verifierClient = await clients.client({ commonName: 'proxy' });
  reader = await readers.client(READER);
  for (const { key } of [server, verifierClient, reader]) recordSecrets(key);
});

/** Sends bytes over a connection of its own and reads what comes until it is closed. */
async function send(port: number, bytes: string | Buffer, client: KeyPair | undefined): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: servers.cert, ...client });
  socket.setTimeout(LIMIT_MS, () => socket.destroy(new Error('nothing came')));
  socket.write(bytes);
  return (await buffer(socket)).toString('latin1');
}

/** Sends one request, byte for byte, and reads its answer. */
async function askAt(port: number, line: string, headers: readonly string[] = [], body = '', client = reader) {
  const head = [line, 'Host: localhost', 'Connection: close', ...headers].join('\r\n');
  return parse(await send(port, Buffer.from(`${head}\r\n\r\n${body}`, 'latin1'), client));
}

function parse(text: string): Answer {
  const [head = '', ...rest] = text.split('\r\n\r\n');
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0), head, body: rest.join('\r\n\r\n') };
}

if (NGINX === undefined) {
  console.warn('left out: nginx is not installed');
  test('left out: nginx is not installed', () => {});
}

(NGINX === undefined ? describe.skip : describe)('nginx in front of a verifier', () => {
  let proxy: KeylimeProxy;
  let verifier: Server;
  let verifierPort: number;
  const proxies: KeylimeProxy[] = [];
  const others: Server[] = [];
  const reached: Reached[] = [];
  let status: number;
  let body: string;
  let more: Record<string, string>;

  /** Takes whatever comes, as one that may do everything would. */
  async function startVerifier(pair: KeyPair): Promise<Server> {
    const tls = { ...pair, ca: clients.cert, requestCert: true, rejectUnauthorized: true };
    const started = createServer({ ...tls, requestTimeout: 0 }, (request, response) => {
      if (request.socket.destroyed) return;
      const socket = request.socket as unknown as Pick<TLSSocket, 'getPeerCertificate'>;
      const { CN } = socket.getPeerCertificate().subject;
      void buffer(request).then((bytes) => {
        const { headers, method, url } = request;
        reached.push({ method, url, headers, body: bytes.toString(), from: CN });
        response.writeHead(status, { date: DATE, 'content-length': Buffer.byteLength(body), ...more }).end(body);
      });
    });
    started.on('tlsClientError', () => {});
    verifierPort = await listen(started);
    return started;
  }

  async function start(parts: Partial<KeylimeProxyParts> = {}): Promise<KeylimeProxy> {
    const of = { port: verifierPort, client: verifierClient, authority: servers.cert };
    const started = await KeylimeProxy.start({ server, readers: readers.cert, verifier: of, ...parts });
    proxies.push(started);
    return started;
  }

  beforeAll(async () => {
    verifier = await startVerifier(server);
    proxy = await start();
  });
  afterAll(async () => {
    for (const each of proxies) await each.stop();
    for (const each of [verifier, ...others]) await close(each);
  });
  beforeEach(() => {
    reached.length = 0;
    [status, body, more] = [200, RECORD, {}];
  });

  const ask = (line: string, headers?: readonly string[], sent?: string, client?: KeyPair): Promise<Answer> =>
    askAt(proxy.port, line, headers, sent, client);

  describe('passes', () => {
    test.each([ONE, ALL, '/v2.1/agents/compute-1.example.com', `/v2.1/agents/${'a_B.9-'.repeat(13)}xy`])(
      'GET %s, with the certificate that the verifier takes',
      async (path) => {
        expect(await ask(`GET ${path} HTTP/1.1`)).toMatchObject({ status: 200, body: RECORD });
        expect(reached).toEqual([
          {
            method: 'GET',
            url: path,
            headers: { host: 'verifier' },
            body: '',
            from: 'proxy',
          },
        ]);
      },
    );

    test("the verifier's own time, once", async () => {
      const { head } = await ask(`GET ${ONE} HTTP/1.1`);
      expect(head.match(/^date:.*$/gim)).toEqual([`date: ${DATE}`]);
    });

    test.each([404, 400, 403, 500])('status %i and its body, as they are', async (code) => {
      [status, body] = [code, '{"code":404,"status":"agent id not found","results":{}}'];
      expect(await ask(`GET ${ONE} HTTP/1.1`)).toMatchObject({ status, body });
    });

    test('a large answer whole, and keeps it in no file while the reader is slow', async () => {
      body = JSON.stringify({ code: 200, results: 'x'.repeat(40_000_000) });
      const to = { host: '127.0.0.1', port: proxy.port, servername: 'localhost', ca: servers.cert, ...reader };
      const socket = connect(to);
      socket.write(`GET ${ALL} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      const [, response] = (await once(verifier, 'request')) as [IncomingMessage, ServerResponse];
      // Until the proxy takes no more of it, or has it all.
      const takenNow = (): number => (response.socket?.bytesWritten ?? 0) - (response.socket?.writableLength ?? 0);
      for (let taken = -1; response.socket !== null && taken !== takenNow();) {
        taken = takenNow();
        await sleep(200);
      }
      expect(parse((await buffer(socket)).toString('latin1')).body.length).toBe(body.length);
      expect(proxy.errors).not.toContain('temporary file');
    });

    test('many requests over one connection, and takes few for them', async () => {
      let connections = 0;
      verifier.on('secureConnection', () => connections++);
      const one = `GET ${ONE} HTTP/1.1\r\nHost: x\r\n`;
      const text = await send(proxy.port, `${`${one}\r\n`.repeat(50)}${one}Connection: close\r\n\r\n`, reader);
      expect(text.match(/HTTP\/1\.1 200/g)).toHaveLength(51);
      expect(reached).toHaveLength(51);
      expect(connections).toBeLessThanOrEqual(1);
    });

    test('a request at which a kept connection to the verifier ends, over a new one', async () => {
      await ask(`GET ${ONE} HTTP/1.1`);
      const end = (request: IncomingMessage): void => void request.socket.destroy();
      verifier.prependOnceListener('request', end);
      expect(await ask(`GET ${ONE} HTTP/1.1`)).toMatchObject({ status: 200 });
      expect(verifier.listeners('request')).not.toContain(end);
    });

    test('no redirect on as one of its own, and does nothing that an answer asks of it', async () => {
      [status, more] = [302, { location: 'https://elsewhere.example.com/', 'x-accel-redirect': ALL }];
      const { head, status: came } = await ask(`GET ${ONE} HTTP/1.1`);
      expect([came, reached.length]).toEqual([302, 1]);
      expect(head).toContain('https://elsewhere.example.com/');
    });
  });

  describe('keeps from the verifier', () => {
    afterEach(() => expect(reached).toEqual([]));

    test.each(['HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'FOO', 'CONNECT'])(
      '%s',
      async (method) => {
        for (const path of [ONE, ALL, '/v2.1/agents/', `${ONE}/reactivate`, `${ONE}/stop`]) {
          const { status: came, body: told } = await ask(`${method} ${path} HTTP/1.1`, ['Content-Length: 2'], '{}');
          expect([path, came]).toEqual([path, 405]);
          expect(told.length).toBeLessThan(200);
        }
      },
    );

    test.each([
      `get ${ONE}`,
      `Get ${ONE}`,
      `GET\t${ONE}`,
      ` GET ${ONE}`,
      `GET  ${ONE}`,
      `GET ${ONE} `,
      `DELETE\n${ONE}`,
    ])('what is written otherwise: %j', async (line) => {
      expect([400, 404]).toContain((await ask(`${line} HTTP/1.1`)).status);
    });

    const targets = [...REFUSED, `/v2.1/agents/${'x'.repeat(7_000)}`, `/${'../'.repeat(100)}v2.1/agents/x`];
    test.each(targets)('GET %j', async (path) => {
      const { status: came, body: told } = await ask(`GET ${path} HTTP/1.1`);
      expect([400, 404]).toContain(came);
      expect(told.length).toBeLessThan(200);
    });

    test.each<[string, number]>([
      ['', 0],
      [' HTTP/0.9', 400],
      [' HTTP/1.2', 404],
      [' HTTP/2.0', 505],
      [' HTTP/9.9', 505],
      [' http/1.1', 400],
      [' HTTP/1.1 HTTP/1.1', 400],
      [' HTTP/01.1', 404],
    ])('a GET in another protocol: %j', async (protocol, code) => {
      expect([code, 400, 404]).toContain((await ask(`GET ${ONE}${protocol}`)).status);
    });

    test('lines and headers that are too long', async () => {
      for (const bytes of [
        `GET /v2.1/agents/${'x'.repeat(100_000)} HTTP/1.1`,
        `GET ${ONE} HTTP/1.1\r\nX: ${'x'.repeat(100_000)}`,
      ]) {
        const answer = await ask(bytes).catch(() => undefined);
        expect([400, 414, undefined]).toContain(answer?.status);
      }
    });

    test('a request with no host, two, or one that is none', async () => {
      const lines = [
        `GET ${ONE} HTTP/1.1\r\n`,
        `GET ${ONE} HTTP/1.1\r\nHost: a\r\nHost: b\r\n`,
        `GET ${ONE} HTTP/1.1\r\nHost: a/../b\r\n`,
      ];
      for (const head of lines)
        expect(parse(await send(proxy.port, `${head}Connection: close\r\n\r\n`, reader)).status).toBe(400);
    });

    test.each([
      ['Content-Length: 4', 'Transfer-Encoding: chunked'],
      ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'],
      ['Transfer-Encoding: xchunked'],
      ['Transfer-Encoding:\x0bchunked'],
      ['Content-Length: 4', 'Content-Length: 5'],
      ['Content-Length: -1'],
      ['Content-Length: 4x'],
      ['Content-Length: 5000'],
    ])('a body whose length is told in two ways, in none that is known, or too large: %s', async (...headers) => {
      const smuggled = `0\r\n\r\nDELETE ${ONE} HTTP/1.1\r\nHost: x\r\n\r\n`.padEnd(5_000);
      const { status: came } = await ask(
        `GET ${ONE} HTTP/1.1`,
        headers.filter((each) => typeof each === 'string'),
        smuggled,
      );
      expect([400, 413, 501]).toContain(came);
    });

    test('those without a certificate', async () => {
      const text = await send(proxy.port, `GET ${ONE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, undefined);
      expect(parse(text).status).toBe(403);
    });

    test('a certificate of another authority, also one of the same name', async () => {
      const strangers = await CertificateAuthority.create('readers');
      for (const client of [verifierClient, await strangers.client(READER), await servers.client(READER)]) {
        expect(await ask(`GET ${ONE} HTTP/1.1`, [], '', client)).toMatchObject({ status: 403 });
      }
    });

    test('a certificate that has ended, or is for servers', async () => {
      const DAY_MS = 86_400_000;
      const ended = { notBefore: new Date(Date.now() - 2 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) };
      for (const client of [await readers.client({ ...READER, ...ended }), await readers.server(READER)]) {
        expect(await ask(`GET ${ONE} HTTP/1.1`, [], '', client)).toMatchObject({ status: 403 });
      }
    });

    test.each([
      { commonName: 'trusted-filter' },
      { commonName: 'kube-scheduler', organization: 'example' },
      { commonName: 'trusted-filter', organization: 'example.org' },
      { commonName: 'trusted-filter2', organization: 'example' },
      { commonName: 'not-trusted-filter', organization: 'example' },
      { commonName: 'Trusted-Filter', organization: 'EXAMPLE' },
      { commonName: 'trusted-filter,O=example' },
      { commonName: 'x', organization: 'CN=trusted-filter,O=example' },
      { commonName: 'trusted-filter\n', organization: 'example' },
      { commonName: 'trusted-filter\0', organization: 'example' },
      { commonName: 'trusted-filter', organization: 'example', unit: 'guests' },
      { commonName: 'example', organization: 'trusted-filter' },
    ])('the right authority with another subject: %j', async (subject) => {
      const { status: came, body: told } = await ask(`GET ${ONE} HTTP/1.1`, [], '', await readers.client(subject));
      expect(came).toBe(403);
      expect(told).not.toContain('filter');
    });

    test('who asks for something else without the right to ask: they are told no more', async () => {
      const guest = await readers.client({ commonName: 'guest' });
      for (const line of ['DELETE /v2.1/agents/x', 'GET /x', `GET ${ALL}`]) {
        expect(await ask(`${line} HTTP/1.1`, [], '', guest)).toMatchObject({ status: 403 });
      }
    });

    test('TLS older than 1.2, and HTTP/2', async () => {
      const old = {
        host: '127.0.0.1',
        port: proxy.port,
        ca: servers.cert,
        ...reader,
        maxVersion: 'TLSv1.1',
        minVersion: 'TLSv1',
      } as const;
      const socket = connect({ ...old, servername: 'localhost', ciphers: 'DEFAULT@SECLEVEL=0' });
      await expect(once(socket, 'secureConnect')).rejects.toMatchObject({
        code: expect.stringMatching(/ALERT|EPROTO|ECONNRESET/),
      });
      const two = connect({
        host: '127.0.0.1',
        port: proxy.port,
        servername: 'localhost',
        ca: servers.cert,
        ...reader,
        ALPNProtocols: ['h2', 'http/1.1'],
      });
      await once(two, 'secureConnect');
      expect(two.alpnProtocol).toBe('http/1.1');
      two.destroy();
    });

    test('everything, where the verifier is another than it should be', async () => {
      const of = { port: verifierPort, client: verifierClient, authority: servers.cert };
      const others = [
        await start({ verifier: { ...of, authority: clients.cert } }),
        await start({ verifier: { ...of, name: 'verifier' } }),
      ];
      for (const { port } of others) expect(await askAt(port, `GET ${ONE} HTTP/1.1`)).toMatchObject({ status: 502 });
    });
  });

  test.each([
    ['Authorization: Bearer abc'],
    ['Authorization: Basic YTpi', 'Proxy-Authorization: Basic YTpi'],
    ['Content-Type: application/json'],
    ['X-Auth-Blob: blob', 'Cookie: a=b'],
    ['X-HTTP-Method-Override: DELETE', 'X-Method-Override: DELETE', 'X-HTTP-Method: DELETE'],
    ['X-Forwarded-For: 127.0.0.1', 'X-Forwarded-Host: x', 'Forwarded: for=127.0.0.1', 'X-Real-IP: 127.0.0.1'],
    ['X-Original-URL: /v2.1/agents/y', 'X-Rewrite-URL: /v2.1/agents/y'],
    ['Expect: 100-continue', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__', 'TE: trailers'],
    ['Range: bytes=0-1', 'If-None-Match: "x"', 'If-Match: "x"', 'Accept-Encoding: gzip'],
    ['Content-Length: 2', 'Transfer-Encoding : chunked', 'X_Auth: x', 'SSL-Client-Cert: x'],
  ])('drops what a request has beside its first line: %s …', async (...headers) => {
    const sent = headers.filter((each) => typeof each === 'string');
    const bytes = sent.some((each) => each.startsWith('Content-Length')) ? '{}' : '';
    await ask(`GET ${ONE} HTTP/1.1`, sent, bytes);
    for (const { body: came, headers: all, method, url } of reached) {
      expect({ method, url, all, came }).toEqual({
        method: 'GET',
        url: ONE,
        all: { host: 'verifier' },
        came: '',
      });
    }
  });

  test('drops a chunked body, and what follows it is a request of its own', async () => {
    const chunked = `GET ${ONE} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`;
    const next = `DELETE ${ONE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
    const text = await send(proxy.port, chunked + next, reader);
    expect(text.match(/HTTP\/1\.1 \d{3}/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 405']);
    expect(reached).toMatchObject([{ method: 'GET', url: ONE, body: '' }]);
  });

  test('lets nothing else through, whatever a request is put together from', async () => {
    const piece = fc.constantFrom(
      '/',
      '//',
      'v2.1',
      '/v2.1/agents/',
      'agents',
      'x',
      ID,
      '.',
      '..',
      '%2e',
      '%2F',
      '%00',
      '?',
      'bulk=true',
      '&',
      ';',
      '#',
      '\\',
      ' ',
      '\t',
      'HTTP/1.1',
      '\xe4',
      'https://localhost',
    );
    const method = fc.constantFrom('GET', 'GET', 'GET', 'get', 'POST', 'DELETE', 'HEAD', 'PUT');
    await fc.assert(
      fc.asyncProperty(
        method,
        fc.constantFrom('', '/v2.1/agents/'),
        fc.array(piece, { maxLength: 5 }),
        async (verb, start, pieces) => {
          reached.length = 0;
          await ask(`${verb} ${start}${pieces.join('')} HTTP/1.1`);
          const path = start + pieces.join('');
          const isMeant =
            verb === 'GET' && (path === ALL || (/^\/v2\.1\/agents\/[\w.-]{1,80}$/.test(path) && !/\/\.+$/.test(path)));
          expect(reached.map(({ method, url }) => `${method} ${url}`)).toEqual(isMeant ? [`GET ${path}`] : []);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('says in its log who asked what, and nothing of the answer', async () => {
    await ask(`GET ${ONE} HTTP/1.1`);
    while (!proxy.log.at(-1)?.includes(ONE)) await new Promise(setImmediate);
    expect(proxy.log.at(-1)).toMatch(
      /^\S+ 127\.0\.0\.1 verify="SUCCESS" subject="CN=trusted-filter,O=example" request="GET \/v2\.1\/agents\/[\w-]+ HTTP\/1\.1" status=200 bytes=\d+ upstream=200 seconds=[\d.]+$/,
    );
    expect(proxy.log.join('\n') + proxy.errors).not.toContain('half-of-a-key');
  });

  test('refuses the fifth reading of all agents at once, and no reading of one', async () => {
    const waiting: (() => void)[] = [];
    const slow = createServer(
      { ...server, ca: clients.cert, requestCert: true },
      (_request, response) => void waiting.push(() => response.end(RECORD)),
    );
    others.push(slow);
    const port = await listen(slow);
    const of = { port, client: verifierClient, authority: servers.cert };
    const other = await start({ verifier: of });
    const four = Array.from({ length: 4 }, () => askAt(other.port, `GET ${ALL} HTTP/1.1`));
    while (waiting.length < 4) await new Promise(setImmediate);
    expect(await askAt(other.port, `GET ${ALL} HTTP/1.1`)).toMatchObject({ status: 429 });
    const single = askAt(other.port, `GET ${ONE} HTTP/1.1`);
    while (waiting.length < 5) await new Promise(setImmediate);
    for (const answer of waiting) answer();
    expect((await Promise.all([...four, single])).map((each) => each.status)).toEqual([200, 200, 200, 200, 200]);
  });

  test('puts off who asks too fast, and refuses who asks much too fast', async () => {
    const other = await start({ changes: { 'rate=500r/s': 'rate=2r/s', 'burst=1000': 'burst=1' } });
    const began = performance.now();
    const answers = await Promise.all(Array.from({ length: 3 }, () => askAt(other.port, `GET ${ONE} HTTP/1.1`)));
    expect(answers.map((each) => each.status).sort()).toEqual([200, 200, 429]);
    expect(performance.now() - began).toBeGreaterThan(400);
  });

  test('ends a verifier that does not answer, by its own time-out', async () => {
    const slow = createServer({ ...server, ca: clients.cert, requestCert: true }, () => {});
    others.push(slow);
    const of = { port: await listen(slow), client: verifierClient, authority: servers.cert };
    const other = await start({ verifier: of, changes: { 'proxy_read_timeout 20s': 'proxy_read_timeout 200ms' } });
    expect(await askAt(other.port, `GET ${ONE} HTTP/1.1`)).toMatchObject({ status: 504 });
  });

  test('is as it is whatever is set for all sites of the host', async () => {
    const http =
      'gzip on; gzip_min_length 1; gzip_types *; gzip_proxied any; merge_slashes on; proxy_set_header Authorization x; server_tokens on; proxy_pass_request_headers on;';
    const other = await start({ http });
    expect(await askAt(other.port, `GET ${ONE} HTTP/1.1`, ['Accept-Encoding: gzip'])).toMatchObject({
      status: 200,
      body: RECORD,
    });
    expect(reached).toMatchObject([{ headers: { host: 'verifier' } }]);
    expect((await askAt(other.port, 'GET //v2.1/agents/x HTTP/1.1')).body).not.toMatch(/nginx\/\d/);
  });
});

if (!keylimeIsThere()) console.warn(`left out: ${whatKeylimeLacks()}`);

(NGINX === undefined || !keylimeIsThere() ? describe.skip : describe)('nginx in front of a real verifier', () => {
  let keylime: Keylime;
  let proxy: KeylimeProxy;

  beforeAll(async () => {
    keylime = await Keylime.start();
    const verifier = { port: keylime.port, client: keylime.operator, authority: keylime.servers.cert };
    proxy = await KeylimeProxy.start({ server, readers: readers.cert, verifier });
    putRows(keylime, [ID, 'compute-1.example.com']);
  });
  afterAll(async () => {
    await proxy.stop();
    await keylime.stop();
  });

  test('hands on what it says of one agent, of all, and of none, with its time', async () => {
    const one = await askAt(proxy.port, `GET ${ONE} HTTP/1.1`, [
      'Content-Type: application/json',
      'Authorization: Bearer abc',
    ]);
    expect(JSON.parse(one.body)).toMatchObject({ code: 200, results: { operational_state: 3 } });
    expect(one.head).toMatch(/^date: \w{3}, \d\d \w{3} \d{4}/im);
    const all = await askAt(proxy.port, `GET ${ALL} HTTP/1.1`);
    expect(Object.keys((JSON.parse(all.body) as { results: object }).results).sort()).toEqual([
      ID,
      'compute-1.example.com',
    ]);
    const none = await askAt(proxy.port, 'GET /v2.1/agents/nobody HTTP/1.1');
    expect(none).toMatchObject({ status: 404, body: expect.stringContaining('agent id not found') });
  });

  test('lets nobody stop, change or delete an agent, which the same certificate of the verifier may do without it', async () => {
    const tpm = await SoftwareTpm.start();
    const agent = await Agent.start(keylime, tpm);
    try {
      await agent.enrol();
      const before = await keylime.untilStatus(agent.id, ({ attestation_count: count }) => count > 0);
      const path = `/v2.1/agents/${agent.id}`;
      for (const order of [
        `PUT ${path}/stop`,
        `PUT ${path}/reactivate`,
        `DELETE ${path}`,
        'POST /v2.1/agents/another',
      ]) {
        expect((await askAt(proxy.port, `${order} HTTP/1.1`, ['Content-Length: 2'], '{}')).status).toBe(405);
      }
      await keylime.untilStatus(agent.id, ({ attestation_count: count }) => count > before.attestation_count);
      await agent.delete();
      expect((await askAt(proxy.port, `GET ${path} HTTP/1.1`)).status).toBe(404);
    } finally {
      await agent.stop();
      await tpm.stop();
    }
  });

  test("the function's certificate opens nothing at the verifier itself", async () => {
    await expect(keylime.ask(ONE, { as: reader })).rejects.toThrow(/alert unknown ca/);
  });
});
