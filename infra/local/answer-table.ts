import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { type Entry, levelOf, type Reason } from '../../lambda/entry.ts';
import { clean } from '../../lambda/quote.ts';
import type { Fixture } from './fixtures.ts';

/** A fixture and what was answered to it. */
export interface Answered extends Fixture {
  readonly result: APIGatewayProxyStructuredResultV2;
}

interface FilterAnswer {
  readonly hosts: readonly string[];
  readonly rejected: readonly { readonly reason: Reason; readonly hosts: readonly string[] }[];
  readonly valid_until?: string;
}

const MOST_ROWS = 12;
const LONGEST_NAME = 44;
const COLUMNS = ['host', 'level', 'reason', 'vtime', 'passes?'] as const;

/** The hosts that an answer speaks of. */
export function hostsOf({ result }: Answered): string[] {
  const answer: unknown = JSON.parse(result.body ?? '{}');
  if (result.statusCode !== 200 || !isNative(answer)) return [];
  return [...answer.hosts, ...answer.rejected.flatMap((group) => group.hosts)];
}

/** A readable table of the answers; what the table knows of a host's attestation stands beside it. */
export function renderAnswers(answers: readonly Answered[], entries: ReadonlyMap<string, Entry>): string {
  return answers.map((answer) => `${title(answer)}\n${rows(answer, entries)}`).join('\n');
}

function isNative(answer: unknown): answer is FilterAnswer {
  return typeof answer === 'object' && answer !== null && 'hosts' in answer && 'rejected' in answer;
}

function title({ name, result }: Answered): string {
  return `${name} → ${result.statusCode}`;
}

function rows({ result }: Answered, entries: ReadonlyMap<string, Entry>): string {
  const body: unknown = JSON.parse(result.body ?? '{}');
  if (result.statusCode !== 200) return `  ${(body as { detail?: string }).detail ?? ''}\n`;
  // The other schedulers' answers say little of hosts; they are shown as they are.
  if (!isNative(body)) return `  ${clean(result.body ?? '')}\n`;
  const { hosts, rejected, valid_until } = body;
  const passing = hosts.map((host) => row(host, undefined, entries.get(host), valid_until !== undefined));
  const failing = rejected.flatMap(({ reason, hosts: names }) =>
    names.map((host) => row(host, reason, entries.get(host), true)),
  );
  const all = [...passing, ...failing];
  if (all.length === 0) return '  no hosts\n';
  const shown = [COLUMNS, ...all.slice(0, MOST_ROWS)];
  const widths = COLUMNS.map((_, column) => Math.max(...shown.map((cells) => cells[column]?.length ?? 0)));
  const lines = shown.map(
    (cells) =>
      `  ${cells
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd()}`,
  );
  if (all.length > MOST_ROWS) {
    lines.push(`  … and ${all.length - MOST_ROWS} more; in all ${hosts.length} of ${all.length} pass`);
  }
  return `${lines.join('\n')}\n`;
}

function row(host: string, rejected: Reason | undefined, entry: Entry | undefined, isAsked: boolean): string[] {
  const printable = clean(host);
  const name = printable.length > LONGEST_NAME ? `${printable.slice(0, LONGEST_NAME - 1)}…` : printable;
  const passes = rejected === undefined ? 'yes' : 'no';
  if (!isAsked) return [name, '–', 'no trust asked', '–', passes];
  const reason = rejected ?? entry?.attestation?.reason ?? '–';
  const { vtime } = entry?.attestation ?? {};
  const level = reason === '–' ? '–' : levelOf(reason);
  return [name, level, reason, vtime === undefined ? '–' : new Date(vtime).toISOString(), passes];
}
