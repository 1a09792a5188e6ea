import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { type InvocationLimits, LambdaService } from '../../../../infra/local/aws/lambda-service.ts';

/** A function that does as its events say. */
const FUNCTION = `
export async function handler(event, context) {
  console.log('got ' + JSON.stringify(event));
  if (event.then === 'exit') process.exit(3);
  if (event.then === 'throw') throw new RangeError('thrown on purpose');
  if (event.then === 'hang') await new Promise((resolve) => setTimeout(resolve, 60_000));
  const left = context.getRemainingTimeInMillis();
  return { pid: process.pid, name: context.functionName, id: context.awsRequestId, left, table: process.env.TABLE };
}
`;

interface Returned {
  readonly pid: number;
  readonly name: string;
  readonly id: string;
  readonly left: number;
  readonly table?: string;
}

let folder: string;
const clients: LambdaClient[] = [];
const services: LambdaService[] = [];
const printed: string[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lambda-service-'));
  writeFileSync(join(folder, 'index.mjs'), FUNCTION);
  writeFileSync(join(folder, 'broken.mjs'), "throw new Error('does not load');\n");
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  for (const service of services.splice(0)) await service.close();
  printed.length = 0;
});
afterAll(() => rmSync(folder, { recursive: true }));

async function start(limits: Partial<InvocationLimits> = {}, bundle = 'index.mjs'): Promise<LambdaService> {
  const service = await LambdaService.start({
    functionName: 'refresh',
    bundle: join(folder, bundle),
    env: { TABLE: 'attestations' },
    limits: { retryAfterMs: 0, ...limits },
    print: (line) => printed.push(line),
  });
  services.push(service);
  return service;
}

async function invoke(
  { endpoint }: LambdaService,
  event: unknown,
  more: Partial<ConstructorParameters<typeof InvokeCommand>[0]> = {},
) {
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' };
  const client = new LambdaClient({ endpoint, region: 'us-east-1', credentials, maxAttempts: 1 });
  clients.push(client);
  const Payload = typeof event === 'string' ? event : JSON.stringify(event);
  return client.send(new InvokeCommand({ FunctionName: 'refresh', InvocationType: 'Event', Payload, ...more }));
}

function returnedBy(service: LambdaService): Returned[] {
  return service.invocations.map(({ result }) => result as Returned);
}

function isAlive(pid: number | undefined): boolean {
  try {
    process.kill(pid ?? NaN, 0);
    return true;
  } catch {
    return false;
  }
}

describe('an event', () => {
  test('is taken before the function has run, and handed to it as it is', async () => {
    const service = await start();
    const event = { hosts: ['compute-1', '\ud800', '__proto__'] };
    expect((await invoke(service, event)).StatusCode).toBe(202);
    await service.settled();
    expect(service.invocations).toMatchObject([{ event, state: 'done', tries: 1 }]);
    await service.close();
    expect(printed).toEqual([`got ${JSON.stringify(event)}`]);
  });

  test('reaches the function with its variables and a context like that of Lambda', async () => {
    const service = await start();
    const { requestId } = service.invoke({});
    await service.settled();
    const [returned] = returnedBy(service);
    expect(returned).toMatchObject({ name: 'refresh', id: requestId, table: 'attestations' });
    expect(returned?.left).toBeGreaterThan(290_000);
    expect(returned?.left).toBeLessThanOrEqual(300_000);
  });
});

describe('processes', () => {
  test('are none until the first event, and one for events that come one after the other', async () => {
    const service = await start();
    expect(service.environments).toEqual([]);
    for (let i = 0; i < 3; i++) {
      await invoke(service, { i });
      await service.settled();
    }
    expect(new Set(returnedBy(service).map(({ pid }) => pid)).size).toBe(1);
    expect(returnedBy(service)[0]?.pid).not.toBe(process.pid);
  });

  test('are as many as events at once, up to the limit; what finds no room waits', async () => {
    const service = await start({ concurrency: 2 });
    for (let i = 0; i < 5; i++) service.invoke({ i });
    expect(service.invocations.map(({ state }) => state)).toEqual([
      'running',
      'running',
      'waiting',
      'waiting',
      'waiting',
    ]);
    await service.settled();
    expect(service.invocations.every(({ state }) => state === 'done')).toBe(true);
    expect(service.environments).toHaveLength(2);
  });

  test('are gone with the service, also those that are at work', async () => {
    const service = await start();
    service.invoke({});
    await service.settled();
    service.invoke({ then: 'hang' });
    service.invoke({ then: 'hang' });
    const pids = service.environments.map(({ pid }) => pid);
    expect(pids).toHaveLength(2);
    await service.close();
    expect(pids.filter(isAlive)).toEqual([]);
    expect(printed.join()).not.toMatch(/failed/);
  });
});

describe('an event that the function fails at', () => {
  test.each([
    ['throws', { then: 'throw' }, 'RangeError: thrown on purpose'],
    ['ends its process', { then: 'exit' }, 'Runtime exited: exit status 3'],
    ['does not end', { then: 'hang' }, 'Task timed out after 0.50 seconds'],
  ])('since it %s is tried once more, and then a dead letter', async (_, event, error) => {
    const service = await start({ timeoutMs: 500 });
    await invoke(service, event);
    await service.settled();
    expect(service.invocations).toMatchObject([{ state: 'failed', tries: 2, error }]);
    expect(service.deadLetters).toEqual([event]);
    expect(printed.filter((line) => line.startsWith('Lambda: '))).toEqual([
      `Lambda: refresh failed (${error}) and is tried once more.`,
      `Lambda: refresh failed (${error}); its event is a dead letter.`,
    ]);
  });

  test('does no harm to the next', async () => {
    const service = await start({ retries: 0 });
    service.invoke({ then: 'exit' });
    await service.settled();
    service.invoke({});
    await service.settled();
    expect(service.invocations.map(({ state }) => state)).toEqual(['failed', 'done']);
  });

  test('since it does not load is a dead letter, too', async () => {
    const service = await start({}, 'broken.mjs');
    service.invoke({});
    await service.settled();
    expect(service.invocations).toMatchObject([{ state: 'failed', error: 'Runtime exited: exit status 1' }]);
    expect(printed.join('\n')).toMatch(/does not load/);
  });

  test('is not tried once it is too old', async () => {
    const service = await start({ maxEventAgeMs: -1 });
    service.invoke({});
    await service.settled();
    expect(service.invocations).toMatchObject([{ state: 'failed', tries: 0 }]);
    expect(service.environments).toEqual([]);
  });
});

describe('what is refused', () => {
  test.each([
    ['another function', {}, { FunctionName: 'other' }, 'ResourceNotFoundException'],
    ['a call that waits for the answer', {}, { InvocationType: 'RequestResponse' }, 'InvalidParameterValueException'],
    ['what is not JSON', '{', {}, 'InvalidRequestContentException'],
    ['more than a megabyte', { hosts: ['x'.repeat(1024 * 1024)] }, {}, 'RequestTooLargeException'],
  ] as const)('is %s', async (_, event, more, name) => {
    const service = await start();
    await expect(invoke(service, event, more)).rejects.toMatchObject({ name });
    expect(service.invocations).toEqual([]);
  });

  test('is whatever a test wants, as a throttled or a broken Lambda', async () => {
    const service = await start();
    service.before = () => ({ status: 429, type: 'TooManyRequestsException' });
    await expect(invoke(service, {})).rejects.toMatchObject({ name: 'TooManyRequestsException' });
    service.before = () => Promise.reject(new Error('made to fail'));
    await expect(invoke(service, {})).rejects.toMatchObject({ name: 'ServiceException' });
    expect(service.invocations).toEqual([]);
  });

  test('is any other path', async () => {
    const service = await start();
    expect((await fetch(`${service.endpoint}/2015-03-31/functions`)).status).toBe(404);
  });
});
