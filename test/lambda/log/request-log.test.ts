/** What a request's line says by way of metrics. */
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Counts } from '../../../lambda/log/counts.ts';
import { FunctionLog } from '../../../lambda/log/function-log.ts';
import { RequestLog, type RequestRecord } from '../../../lambda/log/request-log.ts';

let print: jest.SpiedFunction<typeof process.stdout.write>;
beforeEach(() => {
  print = jest.spyOn(process.stdout, 'write').mockReturnValue(true);
});
afterEach(() => {
  jest.restoreAllMocks();
});

/** The line of a request of which this is noted, and which took so many milliseconds. */
async function lineOf(record: RequestRecord, tookMs = 0): Promise<Record<string, unknown>> {
  const log = new RequestLog(new FunctionLog(new Counts(), () => ({ function: 'filter', stack: 'blue' })));
  const { before, after } = log.middleware();
  const request = { event: {}, context: {}, response: { statusCode: 200 }, error: null, internal: {} } as never;
  const now = jest.spyOn(performance, 'now').mockReturnValue(1_000);
  await before?.(request);
  log.note((request as { event: object }).event, record);
  now.mockReturnValue(1_000 + tookMs);
  await after?.(request);
  return JSON.parse(String(print.mock.calls.at(-1)?.[0])) as Record<string, unknown>;
}

describe('hosts are counted by level', () => {
  const rejected = { untrusted: 2, pending: 3, unknown: 4 };
  test.each<[string, RequestRecord, object]>([
    [
      'where trusted is asked for',
      { required_trust: 'trusted', passed: 5, rejected },
      { HostsTrusted: 5, HostsUntrusted: 2, HostsUnknown: 7 },
    ],
    [
      'where untrusted is asked for',
      { required_trust: 'untrusted', passed: 5, rejected: { trusted: 1, late: 1 } },
      { HostsTrusted: 1, HostsUntrusted: 5, HostsUnknown: 1 },
    ],
    ['and not where no host is of one', { required_trust: 'trusted', passed: 1, rejected: {} }, { HostsTrusted: 1 }],
    ['and not where no trust is asked for, since nobody looked', { passed: 9, rejected: {} }, {}],
    ['and not where the request failed', { required_trust: 'trusted' }, {}],
  ])('%s', async (_, record, expected) => {
    const line = await lineOf(record);
    const counted = Object.entries(line).filter(([name]) => /^Hosts(Trusted|Untrusted|Unknown)$/.test(name));
    expect(Object.fromEntries(counted)).toEqual(expected);
  });
});

describe('the share of its time that a request took', () => {
  test('is percent of what its protocol has', async () => {
    expect(await lineOf({ required_trust: 'trusted', limit_ms: 4_000 }, 3_000)).toMatchObject({ DeadlineUsed: 75 });
  });

  test('is not measured where no trust is asked for: such requests are many, and take next to none', async () => {
    expect(await lineOf({ limit_ms: 4_000 }, 3_000)).not.toHaveProperty('DeadlineUsed');
  });

  test('is not measured where a request was refused before it had any', async () => {
    expect(await lineOf({}, 3_000)).not.toHaveProperty('DeadlineUsed');
  });
});
