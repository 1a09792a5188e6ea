import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';

const START = fileURLToPath(new URL('../../../infra/local/start.ts', import.meta.url));
const INVOKE = fileURLToPath(new URL('../../../infra/local/invoke.ts', import.meta.url));
const FIXTURE = fileURLToPath(new URL('../../events/unknown-host.json', import.meta.url));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(script: string, ...args: string[]): Promise<Ended> {
  const { PATH = '' } = process.env;
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [script, ...args], { env: { PATH } });
    return { code: 0, stdout, stderr };
  } catch (error) {
    return error as Ended;
  }
}

test('start --once prints what each fixture was answered, and ends', async () => {
  const { code, stdout } = await run(START, '--once', '--port', '0');
  expect(code).toBe(0);
  expect(stdout).toMatch(/host +level +reason +vtime +passes\?/);
  expect(stdout).toMatch(/untrusted-1\.example\.com +untrusted +untrusted +\S+Z +no/);
  expect(stdout).toMatch(/988 more; in all 1000 of 1000 pass/);
  expect(stdout).toMatch(/wrong-method → 405/);
  // Other protocols than the native.
  expect(stdout).toMatch(
    /kubernetes-annotation → 200\n.*\n +node-1\.example\.com +trusted +trusted +\S+Z +yes\n +node-2.*yes\n +untrusted-1\.example\.com +untrusted +untrusted +\S+Z +no\n +stranger\.example\.com +unknown +unknown .*no\n/,
  );
  expect(stdout).toMatch(/kubernetes-full-nodes → 200\n.*\n +node-1\.example\.com +trusted +trusted +\S+Z +yes/);
  expect(stdout).toMatch(/kubernetes-no-trust → 200\n(.*\n)+? +untrusted-1\.example\.com +– +no trust asked +– +yes/);
  expect(stdout).toMatch(
    /kubernetes-odd-names → 200\n(.*\n)+? +x+… +– +The name of the node is too long to be one\. +– +no/,
  );
  expect(stdout).toMatch(/kubernetes-no-pod → 200\n +Error: "Pod" must be an object\.\n/);
  expect(stdout).toMatch(/external-scheduler-rebuild → 200\n.*\n +nova-compute-1 +– +no trust asked +– +yes/);
}, 30_000);

test('start --service keylime --once shows what is said of each kind of agent', async () => {
  const { code, stdout } = await run(START, '--once', '--port', '0', '--service', 'keylime');
  expect(code).toBe(0);
  expect(stdout).toMatch(/Attestation +https:\/\/localhost:\d+ \(Keylime verifier,/);
  expect(stdout).toMatch(/compute-1\.example\.com +trusted +trusted +\S+Z +yes/);
  expect(stdout).toMatch(/untrusted-1\.example\.com +untrusted +untrusted +\S+ +no/);
  expect(stdout).toMatch(/stranger\.example\.com +unknown +unknown .*no/);
  expect(stdout).toMatch(/988 more; in all 1000 of 1000 pass/);
}, 60_000);

test('start --without oat shows what an operator would see', async () => {
  const { code, stdout } = await run(START, '--once', '--port', '0', '--without', 'oat');
  expect(code).toBe(0);
  expect(stdout).toMatch(/Attestation +left out/);
  expect(stdout).toMatch(/compute-1\.example\.com +unknown +unreachable +– +no/);
}, 60_000);

test.each([
  [['--port', 'x'], /--port must be a number/],
  [['--without', 'the sun'], /--without takes one of dynamodb, secrets-manager, oat, events, refresh/],
  [['--schedule', '0'], /--schedule must be a whole number of seconds, 1 to 86400/],
  [['--schedule', '2.5'], /--schedule must be/],
  [['--schedule', '60', '--without', 'refresh'], /--schedule needs refresh/],
  [['--service', 'tea'], /--service must be oat or keylime/],
  [['--fast'], /--fast/],
])('start %j is refused with what to do', async (args, message) => {
  const { code, stderr } = await run(START, ...args);
  expect(code).toBe(1);
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/--help/);
});

test('start --help says what there is', async () => {
  const { code, stdout } = await run(START, '--help');
  expect(code).toBe(0);
  for (const option of ['--once', '--port', '--schedule', '--service', '--without', 'AWS_ENDPOINT_URL_LAMBDA'])
    expect(stdout).toContain(option);
});

/** The processes that a process has started and that are there. */
function childrenOf(pid: number | undefined): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('start --service keylime has the route on which verifiers say what happened, and says whom to ask about', async () => {
  const { PATH = '' } = process.env;
  const child = spawn(process.execPath, [START, '--port', '0', '--service', 'keylime'], { env: { PATH } });
  const exited = once(child, 'exit');
  const lines: string[] = [];
  let url = '';
  let status = 0;
  for await (const line of createInterface(child.stdout)) {
    lines.push(line);
    url ||= /^HTTP API +(\S+)/.exec(line)?.[1] ?? '';
    if (!line.startsWith('curl')) continue;
    ({ status } = await fetch(`${url}/keylime/webhook`, { method: 'POST', body: '{}' }));
    child.kill('SIGINT');
  }
  expect(await exited).toEqual([0, null]);
  expect(status).toBe(200);
  // As API Gateway tells of a route of its own.
  expect(lines.find((line) => line.includes('/keylime/webhook'))).toContain('"route":"POST /keylime/webhook"');
  expect(lines.join('\n')).toMatch(/^ {2}stale-1…20 +timeout +its last quote/m);
  expect(lines.find((line) => line.startsWith('curl'))).toContain('stale-9.example.com');
}, 60_000);

test('start --schedule invokes refresh every so often, and Ctrl-C ends it with everything that it started', async () => {
  const { PATH = '' } = process.env;
  // As a terminal does, Ctrl-C is sent to a whole group of processes.
  const child = spawn(process.execPath, [START, '--port', '0', '--schedule', '1'], { env: { PATH }, detached: true });
  const exited = once(child, 'exit');
  const lines: string[] = [];
  let children: number[] = [];
  for await (const line of createInterface(child.stdout)) {
    lines.push(line);
    if (children.length > 0 || !line.includes('"kind":"schedule"')) continue;
    children = childrenOf(child.pid);
    process.kill(-child.pid!, 'SIGINT');
  }
  expect(await exited).toEqual([0, null]);
  const output = lines.join('\n');
  expect(output).toMatch(/Schedule +refresh, every 1 s/);
  expect(output).toMatch(/Schedule: refresh is invoked\./);
  expect(output).toMatch(/^Stopping\.$/m);
  expect(children.length).toBeGreaterThan(0);
  expect(children.filter(isThere)).toEqual([]);
}, 60_000);

test('invoke sends one fixture and prints the answer', async () => {
  const { code, stdout } = await run(INVOKE, FIXTURE);
  expect(code).toBe(0);
  expect(stdout).toMatch(/"statusCode": 200/);
  expect(stdout).toMatch(/"reason": "unknown"/);
});

test.each<[string, string[]]>([
  ['without a fixture', []],
  ['with an option that it does not have', ['--bogus']],
  ['with two fixtures', [FIXTURE, FIXTURE]],
])('invoke %s says how it is used', async (_, args) => {
  expect(await run(INVOKE, ...args)).toMatchObject({ code: 2, stderr: expect.stringContaining('npm run invoke') });
});
