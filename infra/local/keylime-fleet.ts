import { SETTINGS } from '../../lambda/config.ts';
import { parseBody } from '../../lambda/http/body.ts';
import { protocolOf } from '../../lambda/http/routes.ts';
import { type Fixture, readFixtures } from './fixtures.ts';
import {
  failed,
  type Life,
  neverReached,
  pushing,
  restarted,
  silent,
  stopped,
  trusted,
  withoutPolicy,
} from './keylime-agents.ts';
import type { KeylimeServerOptions } from './keylime-server.ts';

const HOUR = 3_600;
const MINUTE = 60;
/** How many hosts of each kind there are, beside those of the fixtures. */
const NUMBERS = 20;
const DOMAIN = '.example.com';

interface Kind {
  /** What the filter says of it, as long as validity and policies are those that are set by default. */
  readonly said: string;
  /** What becomes of it, for people. */
  readonly what: string;
  /** @param start when the verifier was started, epoch seconds */
  readonly life: (start: number) => Life;
}

/** What the local verifier knows of a host, by the first part of its name. */
export const KINDS: Readonly<Record<string, Kind>> = {
  compute: { said: 'trusted', what: 'attested every 2 s', life: (start) => trusted(start - HOUR) },
  node: { said: 'trusted', what: 'likewise', life: (start) => trusted(start - HOUR) },
  push: { said: 'trusted', what: 'likewise, in push mode', life: (start) => pushing(start - HOUR) },
  untrusted: {
    said: 'untrusted',
    what: 'its last quote failed',
    life: (start) => failed(start - HOUR, start - MINUTE),
  },
  silent: {
    said: 'trusted, then timeout',
    what: 'its last quote came at the start; 62 s later it is given up',
    life: (start) => silent(start - HOUR, start),
  },
  stale: {
    said: 'timeout',
    what: 'its last quote came 5 min before the start, and the verifier says PASS for ever',
    life: (start) => silent(start - HOUR, start - 5 * MINUTE, Infinity),
  },
  stopped: { said: 'unknown', what: 'stopped by its operator', life: (start) => stopped(start - HOUR, start - MINUTE) },
  new: { said: 'pending', what: 'enrolled, and no quote yet', life: (start) => neverReached(start, Infinity) },
  unchecked: {
    said: 'unchecked',
    what: 'attested, but checked against no policy',
    life: (start) => withoutPolicy(start - HOUR),
  },
  restarted: {
    said: 'not-in-reply, then trusted',
    what: 'the verifier started again, and comes to it a minute after the start',
    life: (start) => restarted(start - HOUR, start, start + MINUTE),
  },
};

/** The hosts that the local verifier knows: some of each kind, with a domain and without one, and those of the fixtures. */
export function hostsOfFleet(fixtures: readonly Fixture[] = readFixtures()): string[] {
  const numbered = Object.keys(KINDS).flatMap((kind) => Array.from({ length: NUMBERS }, (_, i) => `${kind}-${i + 1}`));
  const all = [...numbered, ...numbered.map((host) => host + DOMAIN), ...fixtures.flatMap(hostsOfFixture)];
  return [...new Set(all)].filter((host) => kindOf(host) !== undefined);
}

function kindOf(host: string): Kind | undefined {
  const dash = host.indexOf('-');
  return dash === -1 ? undefined : KINDS[host.slice(0, dash)];
}

function hostsOfFixture({ event }: Fixture): readonly string[] {
  try {
    return protocolOf(event).parse(parseBody(event), Infinity, { kubernetesKey: SETTINGS.kubernetesKey.default }).hosts;
  } catch {
    // Events that are refused are among them, and have no hosts.
    return [];
  }
}

/**
 * Agents for hosts, each with the life of its kind.
 * @param start when the verifier was started, epoch seconds
 * @param idOf the id of a host's agent; a host without one has no agent
 */
export function agentsOf(
  hosts: readonly string[],
  start: number,
  idOf: (host: string) => string | undefined,
): Pick<KeylimeServerOptions, 'agent' | 'ids'> {
  const lives = new Map<string, Life>();
  for (const host of hosts) {
    const kind = kindOf(host);
    const id = idOf(host);
    if (kind !== undefined && id !== undefined) lives.set(id, kind.life(start));
  }
  return { agent: (id, now) => lives.get(id)?.(now), ids: () => lives.keys() };
}

/** A host of each kind that has its own answer. */
export const EXAMPLES = Object.keys(KINDS)
  .filter((kind) => kind !== 'node')
  .map((kind) => `${kind}-9${DOMAIN}`);

/** What is said of the fleet where a person reads it. */
export function describeFleet(): string[] {
  const rows = Object.entries(KINDS).map(([kind, { said, what }]) => [`${kind}-1…${NUMBERS}`, said, what] as const);
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return [
    `The verifier has agents for these hosts, each also with ${DOMAIN} behind its name, and for those of the fixtures:`,
    '',
    ...rows.map(([names, said, what]) => `  ${names.padEnd(widths[0] ?? 0)}  ${said.padEnd(widths[1] ?? 0)}  ${what}`),
    '',
    'No others are known to it. Ask again after a minute, and silent and restarted hosts have changed.',
  ];
}
