import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { Counts } from '../../../lambda/log/counts.ts';
import { FunctionLog, type Said } from '../../../lambda/log/function-log.ts';

const DIMENSIONS = { function: 'filter', stack: 'blue' } as const;
const SAID: Said = {
  level: 'info',
  message: 'request answered',
  fields: { request_id: 'r', hosts: 2, client: undefined },
  durationMs: 1.5,
  counted: { Requests: 1, Hosts: 2, ServerErrors: 0, HostsPassed: undefined },
};

let print: jest.SpiedFunction<typeof process.stdout.write>;
beforeEach(() => {
  print = jest.spyOn(process.stdout, 'write').mockReturnValue(true);
});
afterEach(() => {
  jest.restoreAllMocks();
  jest.useRealTimers();
});

/** What was written, each write a line. */
function lines(): Record<string, unknown>[] {
  const written = print.mock.calls.map(([text]) => String(text));
  for (const text of written) expect(text).toMatch(/^\{[^\n]*\}\n$/);
  return written.map((text) => JSON.parse(text) as Record<string, unknown>);
}

/** The units of the metrics of a line, by their names. */
function unitsOf(line: Record<string, unknown> | undefined): Record<string, string> {
  const { CloudWatchMetrics } = line?.['_aws'] as {
    CloudWatchMetrics: { Metrics: { Name: string; Unit: string }[] }[];
  };
  return Object.fromEntries(CloudWatchMetrics.flatMap(({ Metrics }) => Metrics.map(({ Name, Unit }) => [Name, Unit])));
}

test('an invocation is one line, which is the log and carries the metrics', () => {
  jest.useFakeTimers({ now: Date.UTC(2026, 10, 23, 16, 1) });
  new FunctionLog(new Counts(), () => DIMENSIONS).say(SAID);
  expect(lines()).toEqual([
    {
      level: 'INFO',
      message: 'request answered',
      timestamp: '2026-11-23T16:01:00.000Z',
      service: 'trusted-filter',
      function: 'filter',
      stack: 'blue',
      request_id: 'r',
      hosts: 2,
      cold_start: true,
      duration_ms: 1.5,
      _aws: {
        Timestamp: Date.UTC(2026, 10, 23, 16, 1),
        CloudWatchMetrics: [
          {
            Namespace: 'TrustedFilter',
            Dimensions: [['service', 'function', 'stack']],
            Metrics: [
              { Name: 'Requests', Unit: 'Count' },
              { Name: 'Hosts', Unit: 'Count' },
              { Name: 'Duration', Unit: 'Milliseconds' },
            ],
          },
        ],
      },
      Requests: 1,
      Hosts: 2,
      Duration: 1.5,
    },
  ]);
});

test('what was counted and measured since the last line is in it, as a field and as metrics', () => {
  const counts = new Counts();
  const log = new FunctionLog(counts, () => DIMENSIONS);
  counts.add('Polls', 2);
  counts.measure('CertificateDaysLeft', 12);
  counts.measure('VtimeDifference', -3);
  log.say({ ...SAID, level: 'warn', measured: { OldestAttestation: 40 } });
  log.say(SAID);
  const [first, second] = lines();
  expect(first).toMatchObject({
    level: 'WARN',
    counts: { Polls: 2 },
    measures: { CertificateDaysLeft: 12, VtimeDifference: -3 },
    Polls: 2,
    CertificateDaysLeft: 12,
    VtimeDifference: -3,
    OldestAttestation: 40,
  });
  expect(unitsOf(first)).toMatchObject({
    Polls: 'Count',
    CertificateDaysLeft: 'None',
    VtimeDifference: 'Milliseconds',
    OldestAttestation: 'Seconds',
  });
  expect(second).toMatchObject({ level: 'INFO', cold_start: false });
  for (const name of ['counts', 'measures', 'faults', 'Polls']) expect(second).not.toHaveProperty(name);
  expect(Object.keys(unitsOf(second))).toEqual(['Requests', 'Hosts', 'Duration']);
});

test('a fault is in the line with its cause, whatever the cause holds, and its count is a metric', () => {
  const counts = new Counts();
  counts.fault('TableFaults', new Error('two\nlines, a "quote" and \u2028'));
  new FunctionLog(counts, () => DIMENSIONS).say({ ...SAID, level: 'error', message: 'request failed' });
  expect(lines()).toMatchObject([
    {
      level: 'ERROR',
      faults: [{ fault: 'TableFaults', cause: 'Error: two\nlines, a "quote" and \u2028' }],
      TableFaults: 1,
    },
  ]);
});

test('no field takes the place of a dimension or a metric', () => {
  const fields = { service: 'x', function: 'x', stack: 'x', Duration: 'x' };
  new FunctionLog(new Counts(), () => DIMENSIONS).say({ ...SAID, fields });
  expect(lines()).toMatchObject([{ service: 'trusted-filter', ...DIMENSIONS, Duration: 1.5 }]);
});

test('a log that nobody reads any more ends nothing', async () => {
  const url = (file: string): string => new URL(`../../../lambda/log/${file}`, import.meta.url).href;
  const script = `
    const { Counts } = await import(${JSON.stringify(url('counts.ts'))});
    const { FunctionLog } = await import(${JSON.stringify(url('function-log.ts'))});
    const log = new FunctionLog(new Counts(), () => ({ function: 'filter', stack: 'blue' }));
    const said = { level: 'info', message: 'm', fields: {}, durationMs: 1, counted: {} };
    process.once('message', () => {
      for (let i = 0; i < 2; i++) log.say(said);
      setImmediate(() => process.send('answered', () => process.disconnect()));
    });
    process.send('ready');`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: fileURLToPath(new URL('../../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'ignore', 'ipc'],
  });
  await once(child, 'message');
  const exited = once(child, 'exit');
  child.stdout?.destroy();
  child.send('go');
  expect(await exited).toEqual([0, null]);
});
