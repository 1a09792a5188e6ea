import { rmSync } from 'node:fs';
import { type Output, readRecorded, RECORD_FOLDER, type Secret, type SecretKind } from './record.ts';

/** What was found, without the secret itself. */
export interface Finding {
  readonly kind: SecretKind;
  readonly source: string;
}

/** Shorter lines of base64, such as the last of a certificate, may stand anywhere. */
const SHORTEST_LINE = 16;

/** Searches outputs for secrets, each line of a key or certificate by itself, also in the usual encodings. */
export function searchForSecrets(secrets: readonly Secret[], outputs: readonly Output[]): Finding[] {
  const kinds = new Map<string, SecretKind>();
  for (const { kind, text } of secrets) {
    for (const part of partsOf(kind, text)) for (const form of formsOf(part)) kinds.set(form, kind);
  }
  const found = new Map<string, Finding>();
  for (const { source, text } of outputs) {
    for (const [form, kind] of kinds) {
      if (text.includes(form)) found.set(`${kind} ${source}`, { kind, source });
    }
  }
  return [...found.values()];
}

function partsOf(kind: SecretKind, text: string): string[] {
  if (kind !== 'key' && kind !== 'certificate') return [text];
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  return lines.filter((line) => line.length >= SHORTEST_LINE && !line.startsWith('-----'));
}

/** A text as it is, in JSON, in a URL, and in base64 wherever in a longer text it may begin. */
function formsOf(text: string): Set<string> {
  const inBase64 = [0, 1, 2].map((before) => {
    const encoded = Buffer.from('\0'.repeat(before) + text).toString('base64');
    // What its neighbours have a part in is left out.
    const begin = before === 0 ? 0 : 4;
    return encoded.slice(begin, Math.floor((before + Buffer.byteLength(text)) / 3) * 4);
  });
  const inUrlBase64 = inBase64.map((encoded) => encoded.replaceAll('+', '-').replaceAll('/', '_'));
  return new Set([text, JSON.stringify(text).slice(1, -1), encodeURIComponent(text), ...inBase64, ...inUrlBase64]);
}

/** The parts of Jest's results and options that this needs. */
interface TestFileResult {
  readonly testFilePath: string;
  readonly failureMessage?: string | null;
  readonly console?: readonly { readonly message: string }[] | undefined;
}
interface Options {
  readonly rootDir: string;
  readonly nonFlagArgs: readonly string[];
  readonly testNamePattern?: string;
  readonly onlyChanged: boolean;
  readonly onlyFailures: boolean;
  readonly findRelatedTests: boolean;
  readonly shard?: unknown;
}

/** At the end of a test run, searches everything that came out of it for the secrets that went in. */
export default class SecretSearch {
  readonly #options: Options;
  readonly #outputs: Output[] = [];
  #error: Error | undefined;

  constructor(options: Options) {
    this.#options = options;
  }

  onTestFileResult(_test: unknown, { testFilePath, failureMessage, console: printed = [] }: TestFileResult): void {
    const file = testFilePath.replace(`${this.#options.rootDir}/`, '');
    for (const { message } of printed) this.#outputs.push({ source: `the console (${file})`, text: message });
    if (failureMessage) this.#outputs.push({ source: `a failure (${file})`, text: failureMessage });
  }

  onRunComplete(_contexts: unknown, { wasInterrupted }: { readonly wasInterrupted: boolean }): void {
    const folder = process.env[RECORD_FOLDER];
    const recorded = folder === undefined ? { secrets: [], outputs: [] } : readRecorded(folder);
    if (folder !== undefined) rmSync(folder, { recursive: true });
    const outputs = [...recorded.outputs, ...this.#outputs];
    const secrets = [...new Map(recorded.secrets.map((secret) => [secret.text, secret])).values()];
    const bytes = outputs.reduce((sum, { text }) => sum + text.length, 0);
    const searched = `${outputs.length} outputs of ${bytes} bytes for ${secrets.length} secrets`;
    const nothing = recorded.outputs.length === 0 || secrets.length === 0;
    if (nothing && this.#isWhole() && !wasInterrupted) return this.#fail(`not enough was recorded: ${searched}`);
    const findings = searchForSecrets(secrets, outputs);
    if (findings.length === 0) return void process.stderr.write(`Searched ${searched}: none is there.\n`);
    this.#fail(findings.map(({ kind, source }) => `the ${kind} of a test is in ${source}`).join('\n'));
  }

  /** Jest fails the run where there is one. */
  getLastError(): Error | undefined {
    return this.#error;
  }

  #isWhole(): boolean {
    const { nonFlagArgs, testNamePattern, onlyChanged, onlyFailures, findRelatedTests, shard } = this.#options;
    const isFiltered = onlyChanged || onlyFailures || findRelatedTests || Boolean(testNamePattern) || Boolean(shard);
    return nonFlagArgs.length === 0 && !isFiltered;
  }

  #fail(message: string): void {
    this.#error = new Error(message);
    // Jest itself says only that something failed.
    process.stderr.write(`\nThe search for secrets failed:\n${message}\n`);
  }
}
