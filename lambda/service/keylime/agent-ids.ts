/** Which agent is which host: Keylime knows hosts by ids of their own. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ConfigurationError } from '../../errors.ts';
import { quote } from '../../quote.ts';

/** How ids come from host names: computed as UUIDs, the names themselves, or from a table. */
export type AgentIds =
  | { readonly kind: 'uuid5'; readonly namespace: string }
  | { readonly kind: 'name' }
  | { readonly kind: 'table'; readonly ids: ReadonlyMap<string, string> };

export interface AgentIdSettings {
  /** `uuid5`, `name`, or the path of a JSON file of host → id. */
  readonly agentIds: string;
  /** The namespace of `uuid5`, a UUID. */
  readonly namespace: string;
}

/** What verifier and registrar take for an id (keylime/common/validators.py), but nothing that a path would not keep. */
const AGENT_ID = /^(?!\.+$)[A-Za-z0-9_.-]{1,80}$/;

/** Whether Keylime can have an agent of this id. */
export function isAgentId(id: string): boolean {
  return AGENT_ID.test(id);
}

/** The id of a host's agent; undefined where Keylime can have none. */
export function agentIdOf(host: string, agentIds: AgentIds): string | undefined {
  if (agentIds.kind === 'uuid5') return uuid5(host, agentIds.namespace);
  const id = agentIds.kind === 'name' ? host : agentIds.ids.get(host);
  return id !== undefined && isAgentId(id) ? id : undefined;
}

/** @throws {ConfigurationError} where there is a table, and it can't be read or has faults */
export function loadAgentIds({ agentIds, namespace }: AgentIdSettings): AgentIds {
  if (agentIds === 'uuid5') return { kind: 'uuid5', namespace };
  if (agentIds === 'name') return { kind: 'name' };
  let text: string;
  try {
    text = readFileSync(agentIds, 'utf8');
  } catch (cause) {
    throw new ConfigurationError([`the file of agent ids, ${quote(agentIds)}, can't be read`], { cause });
  }
  const { faults, ids } = parseAgentIds(text);
  if (ids === undefined) throw new ConfigurationError(faults.map((fault) => `the file of agent ids ${fault}`));
  return { kind: 'table', ids };
}

/** The UUID of version 5 (RFC 9562, 5.5) of a name in UTF-8. */
export function uuid5(name: string, namespace: string): string {
  const hash = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name)
    .digest();
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = hash.toString('hex', 0, 16);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** A table of ids, or every fault of it at once. */
export interface ParsedTable {
  /** Absent where there are faults. */
  readonly ids?: ReadonlyMap<string, string>;
  readonly faults: readonly string[];
}

const MOST_FAULTS = 20;

/**
 * Reads a table of ids, a JSON object `{"<host>":"<agent id>",…}`. No id may be given twice: under a second name, a host would have
 * the trust of another.
 */
export function parseAgentIds(text: string): ParsedTable {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch {
    return { faults: ['is not JSON'] };
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    return { faults: ['must be a JSON object, {"<host>": "<agent id>", …}'] };
  }
  const ids = new Map<string, string>();
  const hosts = new Map<string, string>();
  const faults: string[] = [];
  for (const [host, id] of Object.entries(parsed) as [string, unknown][]) {
    const other = typeof id === 'string' ? hosts.get(id.toLowerCase()) : undefined;
    if (host === '') faults.push('has a host without a name');
    else if (typeof id !== 'string' || !isAgentId(id)) {
      faults.push(`has for ${quote(host)} no agent id: 1 to 80 letters, digits, "_", "." and "-"`);
    } else if (other !== undefined) {
      faults.push(`has the same agent id for ${quote(other)} and ${quote(host)}: each host needs one of its own`);
    } else {
      hosts.set(id.toLowerCase(), host);
      ids.set(host, id);
    }
  }
  if (ids.size === 0 && faults.length === 0) faults.push('has no host in it');
  if (faults.length === 0) return { ids, faults };
  const more = faults.length - MOST_FAULTS;
  return { faults: more > 0 ? [...faults.slice(0, MOST_FAULTS), `has ${more} more such faults`] : faults };
}
