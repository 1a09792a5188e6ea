import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { printAgentIds, type Said } from '../../../infra/cli/agent-ids.ts';
import { agentIdOf, loadAgentIds, parseAgentIds } from '../../../lambda/service/keylime/agent-ids.ts';

const NAMESPACE = '6ba7b811-9dad-11d1-80b4-00c04fd430c8';
const HOST = 'compute-1.example.com';
/** In the namespace of DNS names. */
const ID = '1882f555-6930-50a3-b8f2-45d2a1c8a70d';

const DNS = { agentIds: 'uuid5', namespace: '6ba7b810-9dad-11d1-80b4-00c04fd430c8' };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'agent-ids-'));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

function write(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** Runs the command beside a cdk.json with these settings of Keylime. */
async function run(args: readonly string[], keylime?: unknown, stdin?: string): Promise<Said> {
  const project = mkdtempSync(join(folder, 'project-'));
  writeFileSync(join(project, 'cdk.json'), JSON.stringify({ context: { trust: { keylime } } }));
  writeFileSync(join(project, 'ids.json'), '{"compute-1":"d432fbb3"}');
  return printAgentIds(args, { project, readStdin: () => Promise.resolve(stdin) });
}

describe('agent-ids', () => {
  test('prints a line for each host, with the id that a function would compute', async () => {
    const id = (host: string): string =>
      agentIdOf(host, loadAgentIds({ agentIds: 'uuid5', namespace: NAMESPACE })) ?? '';
    const { code, stderr, stdout } = await run([HOST, 'b', HOST], { namespace: NAMESPACE });
    expect(stdout).toBe(`${HOST}  ${id(HOST)}\n${'b'.padEnd(HOST.length)}  ${id('b')}\n`);
    expect([code, stderr]).toEqual([0, '']);
  });

  test('goes by cdk.json, whose table is beside it, and by the defaults where it says nothing', async () => {
    expect((await run([HOST])).stdout).toBe(`${HOST}  ${ID}\n`);
    expect((await run([HOST], { agentIds: 'name' })).stdout).toBe(`${HOST}  ${HOST}\n`);
    expect((await run(['compute-1'], { agentIds: 'ids.json' })).stdout).toBe('compute-1  d432fbb3\n');
  });

  test('goes by its options rather than by cdk.json', async () => {
    const table = write('table.json', '{"a":"from-the-option"}');
    expect((await run(['a', '--agent-ids', table], { agentIds: 'ids.json' })).stdout).toBe('a  from-the-option\n');
    expect((await run(['a', '--agent-ids', 'name'], { agentIds: 7 })).stdout).toBe('a  a\n');
    expect((await run([HOST, '--agent-ids', 'uuid5'], { agentIds: 'name' })).stdout).toBe(`${HOST}  ${ID}\n`);
    const inNamespace = (await run([HOST], { namespace: NAMESPACE })).stdout;
    expect((await run([HOST, '--namespace', NAMESPACE.toUpperCase()])).stdout).toBe(inNamespace);
    expect((await run([HOST, '--agent-ids', 'uuid5'], { namespace: NAMESPACE })).stdout).toBe(inNamespace);
    expect(inNamespace).not.toContain(ID);
  });

  test('reads hosts from a file beside those it is given, or from standard input', async () => {
    const file = write('hosts.txt', '\uFEFFa\r\n\n b \na');
    expect((await run(['c', '--agent-ids', 'name', '--file', file])).stdout).toBe('c  c\na  a\nb  b\n');
    expect((await run(['--agent-ids', 'name'], undefined, 'd\ne\n')).stdout).toBe('d  d\ne  e\n');
    expect((await run(['c', '--agent-ids', 'name', '--file', '-'], undefined, 'd\n')).stdout).toBe('c  c\nd  d\n');
    expect((await run(['c', '--agent-ids', 'name'], undefined, 'd\n')).stdout).toBe('c  c\n');
  });

  test('as JSON prints what is good as the table, whatever the names', async () => {
    const hosts = [HOST, '__proto__', 'ü', '"\\', '\u009b31m', '\u{e0001}'];
    const { stdout } = await run(['--json', ...hosts]);
    const { ids } = parseAgentIds(stdout);
    expect([...(ids ?? [])]).toEqual(hosts.map((host) => [host, agentIdOf(host, loadAgentIds(DNS))]));
    expect(stdout).toContain(`  "${HOST}": "${ID}",\n`);
  });

  test('says of a list that is no table why it is none', async () => {
    expect(await run(['--json', '--agent-ids', 'name', 'A', 'a'])).toEqual({
      code: 1,
      stdout: '{\n  "A": "A",\n  "a": "a"\n}\n',
      stderr: 'The list as a table has the same agent id for "A" and "a": each host needs one of its own\n',
    });
  });

  test('shows no terminal what it would act upon', async () => {
    const hosts = ['\u001b[2J', '\u009b31m', 'a\u202eb', '\u{e0001}'];
    for (const args of [[], ['--json'], ['--agent-ids', 'name']]) {
      const { stderr, stdout } = await run([...args, ...hosts]);
      expect((stdout + stderr).replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    }
    expect((await run(hosts)).stdout).toMatch(/^\\u001b\[2J {2}/);
  });

  test('ends with 1 where a host has no id, and prints the others', async () => {
    expect(await run(['--agent-ids', 'name', 'a', 'b c', ''])).toEqual({
      code: 1,
      stdout: 'a  a\n',
      stderr:
        '"b c" can\'t be an agent id, as which it is used: 1 to 80 letters, digits, "_", "." and "-"\n' +
        '"" is no name of a host: 1 to 255 characters of Unicode\n',
    });
    expect(await run(['compute-2'], { agentIds: 'ids.json' })).toEqual({
      code: 1,
      stdout: '',
      stderr: '"compute-2" is not in the table of agent ids\n',
    });
  });

  test.each<[string, string[], unknown, string]>([
    [
      'what cdk.json says',
      ['a'],
      { agentIds: 'none.json', foo: 1 },
      'The context of cdk.json has faults:\n- trust.keylime.agentIds: "none.json" is not there\n- trust.keylime.foo is not a setting\n',
    ],
    [
      'the table of its option',
      ['a', '--agent-ids', 'none.json'],
      undefined,
      'The file "none.json" has faults:\n- is not there\n',
    ],
    ['its list of hosts', ['--file', 'none.txt'], undefined, 'The file "none.txt" can\'t be read (ENOENT).\n'],
  ])('ends with 1 where %s has faults', async (_, args, keylime, stderr) => {
    expect(await run(args, keylime)).toEqual({ code: 1, stdout: '', stderr });
  });

  test.each<[string[], unknown, RegExp]>([
    [[], undefined, /^No host is named\./],
    [['--file', '-'], undefined, /^No host is named\./],
    [['--fiel', 'a'], undefined, /^Unknown option '--fiel'/],
    [['--\u001b'], undefined, /^Unknown option '--\\u001b'/],
    [['a', '--namespace', 'dns'], undefined, /^--namespace must be the UUID of the namespace/],
    [['a', '--agent-ids', 'hash_ek'], undefined, /^--agent-ids must be uuid5, name, or the path of a JSON file/],
    [['a', '--agent-ids', 'name', '--namespace', NAMESPACE], undefined, /^--namespace is of use only where/],
    [['a', '--namespace', NAMESPACE], { agentIds: 'name' }, /^--namespace is of use only .* cdk\.json says otherwise/],
  ])('ends with 2 where it is called as %j, and says what is wrong', async (args, keylime, fault) => {
    const { code, stderr, stdout } = await run(args, keylime);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(fault);
    expect(stderr).toMatch(/\n\(npm run -s agent-ids -- --help says how\)\n$/);
  });

  test('shows how it is called', async () => {
    const { code, stdout } = await run(['--help', 'a']);
    expect(code).toBe(0);
    for (const option of ['--agent-ids', '--namespace', '--file', '--json']) expect(stdout).toContain(`\n  ${option} `);
  });

  test('runs as a program, on the project’s own cdk.json', () => {
    const script = fileURLToPath(new URL('../../../infra/cli/agent-ids.ts', import.meta.url));
    const { status, stderr, stdout } = spawnSync(process.execPath, [script], { input: `${HOST}\n`, encoding: 'utf8' });
    expect([status, stderr, stdout]).toEqual([0, '', `${HOST}  ${ID}\n`]);
  });
});
