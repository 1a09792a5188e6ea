import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { EventBridgeClient, ListRulesCommand, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { EventBusServer } from '../../../../infra/local/aws/event-bus.ts';

const CHANGE = {
  id: '0123abcd',
  host: 'compute-1.example.com',
  from: 'trusted',
  to: 'untrusted',
  reason: 'untrusted',
  vtime: '2026-11-23T16:00:00.000Z',
  polled_at: '2026-11-23T16:00:01.000Z',
};
const UNKNOWN = { id: '4567', host: 'compute-2', reason: 'unreachable', unknown_since: '2026-11-23T15:00:00.000Z' };

const printed: string[] = [];
let bus: EventBusServer;
let client: EventBridgeClient;

beforeAll(async () => {
  bus = await EventBusServer.start((line) => printed.push(line));
  client = new EventBridgeClient({
    endpoint: bus.endpoint,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
  });
});
beforeEach(() => {
  bus.events.length = 0;
  printed.length = 0;
});
afterEach(() => {
  bus.before = () => undefined;
});
afterAll(async () => {
  client.destroy();
  await bus.close();
});

function entry(DetailType: string, detail: unknown, more: object = {}) {
  return { EventBusName: 'trust', Source: 'trusted-filter', DetailType, Detail: JSON.stringify(detail), ...more };
}

function put(...Entries: ReturnType<typeof entry>[]) {
  return client.send(new PutEventsCommand({ Entries }));
}

describe('an event', () => {
  test('is kept as it was sent, with an id of its own', async () => {
    const { FailedEntryCount, Entries } = await put(
      entry('HostTrustChanged', CHANGE),
      entry('HostTrustUnknown', UNKNOWN),
    );
    expect(FailedEntryCount).toBe(0);
    expect(new Set(Entries?.map(({ EventId }) => EventId)).size).toBe(2);
    expect(bus.events).toEqual([
      { bus: 'trust', source: 'trusted-filter', detailType: 'HostTrustChanged', detail: CHANGE },
      { bus: 'trust', source: 'trusted-filter', detailType: 'HostTrustUnknown', detail: UNKNOWN },
    ]);
    await bus.taken(2);
  });

  test('is printed as a line that can be read', async () => {
    await put(
      entry('HostTrustChanged', CHANGE),
      entry('HostTrustUnknown', UNKNOWN),
      entry('Other', { some: ['thing'] }),
    );
    expect(printed).toEqual([
      'Event: HostTrustChanged compute-1.example.com trusted → untrusted (untrusted) id 0123abcd',
      'Event: HostTrustUnknown compute-2 since 2026-11-23T15:00:00.000Z (unreachable) id 4567',
      'Event: Other {"some":["thing"]}',
    ]);
  });

  test('stays one line whatever the host is called', async () => {
    await put(entry('HostTrustChanged', { ...CHANGE, host: 'a\nb\u001b[31m', from: undefined }));
    expect(printed).toEqual(['Event: HostTrustChanged a\\u000ab\\u001b[31m – → untrusted (untrusted) id 0123abcd']);
  });

  test('can be waited for before it is sent', async () => {
    const taken = bus.taken(1);
    await put(entry('HostTrustChanged', CHANGE));
    await taken;
    expect(bus.events).toHaveLength(1);
  });
});

describe('what is no event', () => {
  test.each([
    ['MalformedDetail', entry('HostTrustChanged', null)],
    ['MalformedDetail', entry('HostTrustChanged', [])],
    ['MalformedDetail', entry('HostTrustChanged', undefined, { Detail: '{' })],
    ['InvalidArgument', entry('', CHANGE)],
  ])('is refused as %s, beside others that are taken', async (code, bad) => {
    const { FailedEntryCount, Entries } = await put(bad, entry('HostTrustChanged', CHANGE));
    expect(FailedEntryCount).toBe(1);
    expect(Entries).toEqual([{ ErrorCode: code, ErrorMessage: expect.any(String) }, { EventId: expect.any(String) }]);
    expect(bus.events).toHaveLength(1);
  });

  test('is a call with more than ten', async () => {
    const entries = Array.from({ length: 11 }, () => entry('HostTrustChanged', CHANGE));
    await expect(put(...entries)).rejects.toThrow('1 to 10');
    expect(bus.events).toEqual([]);
  });

  test('is any other call', async () => {
    await expect(client.send(new ListRulesCommand({}))).rejects.toThrow('AWSEvents.ListRules is not served here');
  });
});

describe('a bus in trouble', () => {
  test('takes some events and not others', async () => {
    bus.before = ({ detail }) => (detail['host'] === 'compute-2' ? 'ThrottlingException' : undefined);
    const { FailedEntryCount } = await put(entry('HostTrustChanged', CHANGE), entry('HostTrustUnknown', UNKNOWN));
    expect(FailedEntryCount).toBe(1);
    expect(bus.events.map(({ detail }) => detail['host'])).toEqual(['compute-1.example.com']);
  });

  test('fails as a whole', async () => {
    bus.before = () => Promise.reject(new Error('made to fail'));
    await expect(put(entry('HostTrustChanged', CHANGE))).rejects.toMatchObject({ name: 'InternalException' });
    expect(bus.events).toEqual([]);
  });
});
