import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { SETTINGS } from '../../lambda/config.ts';
import { quote } from '../../lambda/quote.ts';
import { type AgentIds, parseAgentIds } from '../../lambda/service/keylime/agent-ids.ts';
import { faultOf, type Setting } from '../../lambda/setting.ts';
import { Members } from './members.ts';

/** The context `trust.keylime`, checked. */
export interface KeylimeSettings {
  /** Which agent is which host. */
  readonly agentIds: AgentIds;
  /** The variables of both functions, as far as the context sets them. */
  readonly environment: Readonly<Record<string, string>>;
  /** Those that `filter` has beside them: verifiers call no other. */
  readonly filterEnvironment: Readonly<Record<string, string>>;
}

/** The file in the layer of the table of agent ids, and its path where Lambda has unpacked the layer. */
export const AGENT_IDS_FILE = 'agent-ids.json';
const DEPLOYED_AGENT_IDS = `/opt/${AGENT_IDS_FILE}`;

const NAME = 'trust.keylime';
const OF_BOTH: readonly (Setting<string> & { readonly context: string })[] = [
  SETTINGS.agentIds,
  SETTINGS.namespace,
  SETTINGS.policyRequired,
];

/**
 * Reads the context `trust.keylime`, and the table of agent ids where it names one.
 * @param value undefined counts as nothing set
 * @param folder what the path of the table is relative to
 * @param faults gets every fault of it, each by its name in the context
 */
export function takeKeylime(value: unknown, folder: string, faults: string[]): KeylimeSettings {
  const members = new Members(NAME, value === undefined ? {} : value, faults);
  const environment: Record<string, string> = {};
  for (const setting of OF_BOTH) {
    const given = members.take(setting.context.slice('keylime.'.length));
    if (given === undefined) continue;
    const text = typeof given === 'boolean' ? String(given) : given;
    if (typeof text === 'string' && setting.parse(text) !== undefined) environment[setting.variable] = text;
    else faults.push(faultOf(setting, `trust.${setting.context}`, typeof text === 'string' ? text : ''));
  }
  const agentIds = takeAgentIds(environment, folder, faults);
  if (agentIds.kind !== 'uuid5' && SETTINGS.namespace.variable in environment) {
    faults.push(`${NAME}.namespace is of use only where ${NAME}.agentIds is uuid5`);
  }
  const verifiers = members.take('verifiers');
  const filterEnvironment: Record<string, string> = {};
  if (verifiers !== undefined) {
    const text = JSON.stringify(verifiers);
    if (SETTINGS.verifiers.parse(text) !== undefined) filterEnvironment[SETTINGS.verifiers.variable] = text;
    else faults.push(faultOf(SETTINGS.verifiers, `${NAME}.verifiers`, text));
  }
  members.end();
  return { agentIds, environment, filterEnvironment };
}

/**
 * What of the context does not go together where the service is Keylime, or where `trust.keylime` is set.
 * @param rest what the rest of the context sets: the validity as the function will read it
 */
export function faultsBesideKeylime(
  value: unknown,
  rest: { readonly isKeylime: boolean; readonly hasDomain: boolean; readonly authTimeoutSeconds: number },
): string[] {
  const faults: string[] = [];
  if (value !== undefined && !rest.isKeylime) faults.push(`${NAME} needs trust.service to be keylime`);
  if (!rest.hasDomain && typeof value === 'object' && value !== null && 'verifiers' in value) {
    faults.push(`${NAME}.verifiers needs trust.domain: without it, API Gateway checks who asks`);
  }
  if (rest.isKeylime && rest.authTimeoutSeconds === 0) {
    faults.push(
      'trust.authTimeout must be more than 0 where trust.service is keylime: a quote is some seconds old when it is read',
    );
  }
  return faults;
}

/** The table is read here, and is elsewhere where the function reads it. */
function takeAgentIds(environment: Record<string, string>, folder: string, faults: string[]): AgentIds {
  const { agentIds, namespace } = SETTINGS;
  const kind = environment[agentIds.variable] ?? agentIds.default;
  if (kind === 'name') return { kind };
  if (kind === 'uuid5') {
    const text = environment[namespace.variable] ?? namespace.default;
    return { kind, namespace: namespace.parse(text) ?? namespace.default };
  }
  environment[agentIds.variable] = DEPLOYED_AGENT_IDS;
  const read = readAgentIds(resolve(folder, kind));
  faults.push(...read.faults.map((fault) => `${NAME}.agentIds: ${quote(kind)} ${fault}`));
  return { kind: 'table', ids: read.ids ?? new Map() };
}

/** Reads a table of agent ids from a file, or says what is wrong with it, as the end of a sentence that begins with its path. */
export function readAgentIds(path: string): ReturnType<typeof parseAgentIds> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    return { faults: [code === 'ENOENT' ? 'is not there' : `can't be read (${code})`] };
  }
  return parseAgentIds(text);
}
