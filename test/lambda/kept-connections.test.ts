import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { GetItemCommand, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { KeptConnections, SAFE_IDLE_MS } from '../../lambda/kept-connections.ts';
import type { Moment } from '../../lambda/trust/time.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A server that speaks as DynamoDB does, as far as an empty answer, and the client that asks it. */
async function connect(
  answer: Answer = (_request, response) => void response.end('{}'),
  onDate: (date: number, sent: Moment) => void = () => {},
) {
  /** The connection of each request, in their order. */
  const requests: Socket[] = [];
  const server: Server = createServer((request, response) => {
    requests.push(request.socket);
    request.resume().on('end', () => answer(request, response));
  });
  server.keepAliveTimeout = 0;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const clock = { wall: 1_000_000, monotonic: 1_000 };
  const client = new DynamoDBClient({
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
    requestHandler: new KeptConnections(
      { connectionTimeout: 1_000, requestTimeout: 5_000, throwOnRequestTimeout: true },
      { moment: () => ({ wall: clock.wall, monotonic: clock.monotonic }), onDate },
    ),
  });
  closers.push(() => {
    client.destroy();
    server.closeAllConnections();
    server.close();
  });
  const ask = (abortSignal?: AbortSignal) =>
    client.send(new GetItemCommand({ TableName: 'table', Key: { id: { S: 'a' } } }), abortSignal && { abortSignal });
  return { ask, clock, requests, server, connections: () => new Set(requests).size };
}

describe('a kept connection', () => {
  test('carries the next request', async () => {
    const { ask, connections, requests } = await connect();
    await ask();
    await ask();
    expect([requests.length, connections()]).toEqual([2, 1]);
  });

  test.each([
    ['was idle for longer than is safe', SAFE_IDLE_MS, SAFE_IDLE_MS],
    ['was so by the wall clock alone, since a freeze stopped the other', SAFE_IDLE_MS, 1],
    ['was so by the monotonic clock alone, since the other was set back', -3_600_000, SAFE_IDLE_MS],
  ])('that %s is not used again', async (_, wallMs, monotonicMs) => {
    const { ask, clock, connections, requests } = await connect();
    await ask();
    clock.wall += wallMs;
    clock.monotonic += monotonicMs;
    await ask();
    expect([requests.length, connections()]).toEqual([2, 2]);
  });

  test('is used again as long as that is safe', async () => {
    const { ask, clock, connections } = await connect();
    await ask();
    clock.wall += SAFE_IDLE_MS - 1;
    clock.monotonic += SAFE_IDLE_MS - 1;
    await ask();
    expect(connections()).toBe(1);
  });

  test.each<[string, (request: IncomingMessage) => void]>([
    ['is reset by the next request', ({ socket }) => void socket.resetAndDestroy()],
    ['is closed at the next request', ({ socket }) => void socket.destroy()],
    ['swallows the next request', () => {}],
  ])('that %s has it sent once more, over a new one', async (_, forget) => {
    const known = new Set<Socket>();
    const { ask, requests, connections } = await connect((request, response) => {
      if (known.has(request.socket)) forget(request);
      else response.end('{}');
      known.add(request.socket);
    });
    await ask();
    await expect(ask()).resolves.toMatchObject({ $metadata: { httpStatusCode: 200, attempts: 1 } });
    expect([requests.length, connections()]).toEqual([3, 2]);
    await ask();
    expect(requests.length).toBeLessThanOrEqual(5);
  });

  test('that was closed by the other side while it was idle does no harm', async () => {
    const { ask, requests, server } = await connect();
    await ask();
    server.closeIdleConnections();
    await expect(ask()).resolves.toBeDefined();
    expect(requests.length).toBeGreaterThanOrEqual(2);
  });

  test('has all that were idle with it closed, when it turns out to be dead', async () => {
    const dead = new Set<Socket>();
    const { ask, requests } = await connect((request, response) => {
      if (!dead.has(request.socket)) response.end('{}');
    });
    await Promise.all([ask(), ask(), ask()]);
    for (const socket of requests) dead.add(socket);
    await Promise.all([ask(), ask(), ask()]);
    const before = requests.length;
    await ask();
    expect(requests.slice(before).some((socket) => dead.has(socket))).toBe(false);
  });

  test('that answers late, after all, answers the request', async () => {
    const held: ServerResponse[] = [];
    const { ask } = await connect((_request, response) => {
      held.push(response);
      // The first is answered at once; of the second, sent twice, the first way is answered when the second has come.
      if (held.length === 1) response.end('{}');
      if (held.length === 3) held[1]!.end('{}');
    });
    await ask();
    await expect(ask()).resolves.toBeDefined();
    expect(held).toHaveLength(3);
  });
});

describe('a new connection', () => {
  test('that is reset has the request fail: that is a fault of the other side', async () => {
    const { ask, requests } = await connect(({ socket }) => void socket.resetAndDestroy());
    await expect(ask()).rejects.toThrow('ECONNRESET');
    expect(requests).toHaveLength(1);
  });

  test('on which the answer takes its time has the request sent once', async () => {
    const { ask, requests } = await connect((_request, response) => void setTimeout(() => response.end('{}'), 700));
    await ask();
    expect(requests).toHaveLength(1);
  });
});

test('a request that was aborted is not sent again', async () => {
  const abort = new AbortController();
  const { ask, requests } = await connect((_request, response) => {
    if (requests.length === 1) response.end('{}');
    else abort.abort();
  });
  await ask();
  await expect(ask(abort.signal)).rejects.toMatchObject({ name: 'AbortError' });
  expect(requests).toHaveLength(2);
});

test('of every answer it is told when it was given, and when its request was sent; a refusal is one, too', async () => {
  const dates: [number, Moment][] = [];
  const { ask, clock, requests } = await connect(
    (_request, response) => {
      clock.wall += 40;
      clock.monotonic += 40;
      response.setHeader('date', 'Mon, 23 Nov 2026 16:00:00 GMT');
      if (requests.length === 3) response.sendDate = false;
      if (requests.length === 3) response.removeHeader('date');
      response.writeHead(requests.length === 2 ? 400 : 200).end('{}');
    },
    (...date) => void dates.push(date),
  );
  await ask();
  await expect(ask()).rejects.toThrow();
  await ask();
  const at = Date.UTC(2026, 10, 23, 16);
  expect(dates).toEqual([
    [at, { wall: 1_000_000, monotonic: 1_000 }],
    [at, { wall: 1_000_040, monotonic: 1_040 }],
    [NaN, { wall: 1_000_080, monotonic: 1_080 }],
  ]);
});
