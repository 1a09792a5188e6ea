/** Prints which Keylime agent is which host, as the functions compute it: `npm run agent-ids`. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SETTINGS } from '../../lambda/config.ts';
import { quote } from '../../lambda/quote.ts';
import { agentIdOf, type AgentIds, parseAgentIds } from '../../lambda/service/keylime/agent-ids.ts';
import { isHostName, LONGEST_NAME } from '../../lambda/trust/host-name.ts';
import { readAgentIds, takeKeylime } from '../settings/keylime-settings.ts';

const HELP = `Prints the id that the Keylime agent of each host must have, as the functions compute it from the host's name.

  npm run -s agent-ids -- [options] [HOST…]

  --agent-ids HOW    uuid5, name, or the path of a JSON file of host → id; by default what cdk.json says in
                     trust.keylime.agentIds, and uuid5 where it says nothing
  --namespace UUID   the namespace of uuid5; by default what cdk.json says in trust.keylime.namespace, and that of
                     DNS names where it says nothing
  --file PATH        hosts from a file, one a line (- for standard input)
  --json             a JSON object of host → id, such as trust.keylime.agentIds can name
  --help             this text

Without HOST and --file, hosts are read from standard input. A host must be named as the scheduler names it.
Ends with 1 where a host has no id, or where a file can't be read or has faults, and with 2 where the command is not
as it must be.

  npm run -s agent-ids -- compute-1.example.com compute-2.example.com
  openstack hypervisor list -f value -c 'Hypervisor Hostname' | npm run -s agent-ids
  kubectl get nodes -o name | sed 's|^node/||' | npm run -s agent-ids -- --json > agent-ids.json
  npm run -s agent-ids -- --agent-ids agent-ids.json --file hosts.txt
`;

/** What a command says, and the code that it ends with. */
export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What surrounds the command. */
export interface Surroundings {
  /** The folder of cdk.json, to which paths in it are relative. */
  readonly project: string;
  /** All of standard input; undefined where a human sits there. */
  readonly readStdin: () => Promise<string | undefined>;
}

class CommandError extends Error {
  readonly code: 1 | 2;

  constructor(code: 1 | 2, lines: readonly string[]) {
    super(lines.join('\n'));
    this.code = code;
  }
}

interface Options {
  readonly agentIds: string | undefined;
  readonly namespace: string | undefined;
  readonly file: string | undefined;
  readonly json: boolean;
  readonly hosts: readonly string[];
}

/** @param args what stands behind the command's name */
export async function printAgentIds(args: readonly string[], { project, readStdin }: Surroundings): Promise<Said> {
  try {
    const options = parseOptions(args);
    if (options === 'help') return { code: 0, stdout: HELP, stderr: '' };
    const agentIds = chooseAgentIds(options, project);
    return render(await readHosts(options, readStdin), agentIds, options.json);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { code: error.code, stdout: '', stderr: `${error.message}\n` };
  }
}

function usage(fault: string): CommandError {
  return new CommandError(2, [fault, '(npm run -s agent-ids -- --help says how)']);
}

function parseOptions(args: readonly string[]): Options | 'help' {
  try {
    const { positionals, values } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        'agent-ids': { type: 'string' },
        namespace: { type: 'string' },
        file: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) return 'help';
    const { 'agent-ids': agentIds, file, json, namespace } = values;
    return { agentIds, namespace, file, json, hosts: positionals };
  } catch (error) {
    throw usage(Error.isError(error) ? visible(error.message) : 'The options are none.');
  }
}

/** By the options, and what they leave open by cdk.json. */
function chooseAgentIds({ agentIds: how, namespace: given }: Options, project: string): AgentIds {
  const namespace = given === undefined ? undefined : SETTINGS.namespace.parse(given);
  if (given !== undefined && namespace === undefined) throw usage(`--namespace ${SETTINGS.namespace.rule}`);
  if (how !== undefined && SETTINGS.agentIds.parse(how) === undefined) {
    throw usage(`--agent-ids ${SETTINGS.agentIds.rule}`);
  }
  if (how !== undefined && how !== 'uuid5') {
    if (namespace !== undefined) throw usage('--namespace is of use only where agent ids are uuid5');
    return how === 'name' ? { kind: how } : { kind: 'table', ids: readTable(how) };
  }
  if (how === 'uuid5' && namespace !== undefined) return { kind: how, namespace };
  const ofContext = readContext(project);
  if (namespace === undefined && (how === undefined || ofContext.kind === how)) return ofContext;
  if (how === undefined && ofContext.kind !== 'uuid5') {
    throw usage(
      '--namespace is of use only where agent ids are uuid5: cdk.json says otherwise, give --agent-ids uuid5',
    );
  }
  return { kind: 'uuid5', namespace: namespace ?? SETTINGS.namespace.default };
}

function readTable(path: string): ReadonlyMap<string, string> {
  const { faults, ids } = readAgentIds(resolve(path));
  if (ids === undefined) throw new CommandError(1, listed(`The file ${quote(path)} has faults:`, faults));
  return ids;
}

/** What the stack would deploy. */
function readContext(project: string): AgentIds {
  const cdkJson = join(project, 'cdk.json');
  let keylime: unknown;
  try {
    const { context } = JSON.parse(readFileSync(cdkJson, 'utf8')) as { context?: { trust?: { keylime?: unknown } } };
    keylime = context?.trust?.keylime;
  } catch (error) {
    throw new CommandError(1, [`${cdkJson} can't be read: ${Error.isError(error) ? visible(error.message) : ''}`]);
  }
  const faults: string[] = [];
  const { agentIds } = takeKeylime(keylime, project, faults);
  if (faults.length > 0) throw new CommandError(1, listed('The context of cdk.json has faults:', faults));
  return agentIds;
}

async function readHosts({ file, hosts }: Options, readStdin: Surroundings['readStdin']): Promise<Set<string>> {
  const isStdin = file === '-' || (file === undefined && hosts.length === 0);
  const list = isStdin ? await readStdin() : file === undefined ? '' : readList(file);
  const lines = list?.replace(/^\uFEFF/, '').split(/\r?\n/) ?? [];
  const named = new Set([...hosts, ...lines.map((line) => line.trim()).filter((line) => line !== '')]);
  if (named.size === 0) throw usage('No host is named.');
  return named;
}

function readList(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new CommandError(1, [
      `The file ${quote(path)} can't be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'}).`,
    ]);
  }
}

function render(hosts: ReadonlySet<string>, agentIds: AgentIds, isJson: boolean): Said {
  const ids: [host: string, id: string][] = [];
  const faults: string[] = [];
  for (const host of hosts) {
    const id = isHostName(host) ? agentIdOf(host, agentIds) : undefined;
    if (id === undefined) faults.push(`${quote(host)} ${whyNot(host, agentIds)}`);
    else ids.push([host, id]);
  }
  // Of a list that is to be a table, what would be wrong with it is said now.
  if (isJson && ids.length > 0) {
    faults.push(...parseAgentIds(toJson(ids)).faults.map((fault) => `The list as a table ${fault}`));
  }
  return {
    code: faults.length === 0 ? 0 : 1,
    stdout: isJson ? toJson(ids) : toTable(ids),
    stderr: faults.map((fault) => `${fault}\n`).join(''),
  };
}

function whyNot(host: string, { kind }: AgentIds): string {
  if (!isHostName(host)) return `is no name of a host: 1 to ${LONGEST_NAME} characters of Unicode`;
  return kind === 'table'
    ? 'is not in the table of agent ids'
    : 'can\'t be an agent id, as which it is used: 1 to 80 letters, digits, "_", "." and "-"';
}

function toJson(ids: readonly (readonly [string, string])[]): string {
  const lines = ids.map(([host, id]) => `  ${visible(JSON.stringify(host))}: ${JSON.stringify(id)}`);
  return lines.length === 0 ? '{}\n' : `{\n${lines.join(',\n')}\n}\n`;
}

function toTable(ids: readonly (readonly [string, string])[]): string {
  const rows = ids.map(([host, id]) => [visible(host), id] as const);
  const width = rows.reduce((most, [host]) => Math.max(most, host.length), 0);
  return rows.map(([host, id]) => `${host.padEnd(width)}  ${id}\n`).join('');
}

/** With what a terminal would act upon written as JSON does. */
function visible(written: string): string {
  return written.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`,
    ).join(''),
  );
}

function listed(heading: string, faults: readonly string[]): string[] {
  return [heading, ...faults.map((fault) => `- ${fault}`)];
}

if (import.meta.main) {
  const { code, stderr, stdout } = await printAgentIds(process.argv.slice(2), {
    project: fileURLToPath(new URL('../../', import.meta.url)),
    readStdin: async () => (process.stdin.isTTY ? undefined : text(process.stdin)),
  });
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  process.exitCode = code;
}
