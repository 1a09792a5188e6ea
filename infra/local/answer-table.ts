import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { parseBody } from '../../lambda/http/body.ts';
import { SETTINGS } from '../../lambda/config.ts';
import type { Entry } from '../../lambda/trust/entry.ts';
import { levelOf, type Reason } from '../../lambda/trust/reason.ts';
import { MESSAGES } from '../../lambda/protocols/messages.ts';
import { clean } from '../../lambda/quote.ts';
import { protocolOf } from '../../lambda/http/routes.ts';
import type { Fixture } from './fixtures.ts';

/** A fixture and what was answered to it. */
export interface Answered extends Fixture {
  readonly result: APIGatewayProxyStructuredResultV2;
}

interface FilterAnswer {
  readonly hosts: readonly string[];
  readonly rejected: readonly { readonly reason: Reason; readonly hosts: readonly string[] }[];
}

/** `ExtenderFilterResult` of Kubernetes. */
export interface ExtenderAnswer {
  readonly Nodes: { readonly items: readonly { readonly metadata: { readonly name: string } }[] } | null;
  readonly NodeNames: readonly string[] | null;
  readonly FailedNodes: Readonly<Record<string, string>>;
  readonly FailedAndUnresolvableNodes: Readonly<Record<string, string>>;
  readonly Error: string;
}

/** What an answer says, whatever its protocol: of each host why it does not pass, if so, or else one line. */
type View = { readonly hosts: readonly (readonly [string, string | undefined])[] } | { readonly line: string };

const MOST_ROWS = 12;
const LONGEST_NAME = 44;
/** The reason that a sentence stands for. */
const REASON_OF = new Map<string, string>(Object.entries(MESSAGES).map(([reason, message]) => [message, reason]));
const COLUMNS = ['host', 'level', 'reason', 'vtime', 'passes?'] as const;

/** The hosts that an answer speaks of. */
export function hostsOf({ result }: Answered): string[] {
  const view = viewOf(result);
  return 'hosts' in view ? view.hosts.map(([host]) => host) : [];
}

function viewOf({ statusCode, body: text = '{}' }: APIGatewayProxyStructuredResultV2): View {
  const body = JSON.parse(text) as Partial<FilterAnswer & ExtenderAnswer & { readonly detail: string }>;
  if (statusCode !== 200) return { line: body.detail ?? '' };
  if (body.Error !== undefined && body.Error !== '') return { line: `Error: ${body.Error}` };
  if (body.FailedNodes !== undefined) {
    const passing = body.NodeNames ?? body.Nodes?.items.map(({ metadata }) => metadata.name) ?? [];
    const failing = [...Object.entries(body.FailedAndUnresolvableNodes ?? {}), ...Object.entries(body.FailedNodes)];
    return {
      hosts: [...passing.map(pass), ...failing.map(([host, why]) => [host, REASON_OF.get(why) ?? why] as const)],
    };
  }
  if (body.hosts !== undefined) {
    const failing = (body.rejected ?? []).flatMap(({ reason, hosts }) => hosts.map((host) => [host, reason] as const));
    return { hosts: [...body.hosts.map(pass), ...failing] };
  }
  return { line: clean(text) };
}

function pass(host: string): [string, undefined] {
  return [host, undefined];
}

/** Whether the request asked for trust: not every answer tells. */
function isTrustAsked({ event }: Answered): boolean {
  const kubernetesKey = process.env[SETTINGS.kubernetesKey.variable] || SETTINGS.kubernetesKey.default;
  try {
    return protocolOf(event).parse(parseBody(event), Infinity, { kubernetesKey }).trust !== undefined;
  } catch {
    return false;
  }
}

/** A readable table of the answers; what the table knows of a host's attestation stands beside it. */
export function renderAnswers(answers: readonly Answered[], entries: ReadonlyMap<string, Entry>): string {
  return answers.map((answer) => `${title(answer)}\n${rows(answer, entries)}`).join('\n');
}

function title({ name, result }: Answered): string {
  return `${name} → ${result.statusCode}`;
}

function rows(answer: Answered, entries: ReadonlyMap<string, Entry>): string {
  const view = viewOf(answer.result);
  if ('line' in view) return `  ${view.line}\n`;
  const isAsked = isTrustAsked(answer);
  const all = view.hosts.map(([host, why]) => row(host, why, entries.get(host), isAsked));
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
    lines.push(
      `  … and ${all.length - MOST_ROWS} more; in all ${view.hosts.filter(([, why]) => why === undefined).length} of ${all.length} pass`,
    );
  }
  return `${lines.join('\n')}\n`;
}

function row(host: string, why: string | undefined, entry: Entry | undefined, isAsked: boolean): string[] {
  const printable = clean(host);
  const name = printable.length > LONGEST_NAME ? `${printable.slice(0, LONGEST_NAME - 1)}…` : printable;
  const passes = why === undefined ? 'yes' : 'no';
  if (!isAsked) return [name, '–', why ?? 'no trust asked', '–', passes];
  const reason = why ?? entry?.attestation?.reason ?? '–';
  const { vtime } = entry?.attestation ?? {};
  const level = reason in MESSAGES ? levelOf(reason as Reason) : '–';
  return [name, level, reason, vtime === undefined ? '–' : new Date(vtime).toISOString(), passes];
}
