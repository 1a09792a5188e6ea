import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REASONS } from '../../lambda/trust/reason.ts';

/** The variable with which the page is written rather than compared. */
const WRITE = 'WRITE_FAULT_TABLE';
const PAGE = 'docs/faults.md';

/** What the tests of one file are on the page. */
export interface Part {
  readonly file: string;
  /** What stands before the sections. */
  readonly before: string;
  /** What the headings of the sections begin with. */
  readonly level: string;
}

const OAT_TESTS = 'test/integration/faults.test.ts';
const KEYLIME_TESTS = 'test/integration/keylime-faults.test.ts';
const KEYLIME_HEADING = '## Keylime';

export const OAT: Part = {
  file: OAT_TESTS,
  before: `# What faults of the attestation server look like

<!-- Made of the titles of the tests in ${OAT_TESTS} and ${KEYLIME_TESTS} by \`npm run docs\`; changes here do not last. -->

What can be wrong with an attestation server, or with what it says, and what a scheduler then sees: the \`reason\` with which
the host is rejected. No fault makes a host pass that the server did not vouch for, every request is answered with HTTP
status 200, and when the fault is over the hosts pass again. The line that the function logs for the request names the
reasons under \`rejected\`, what a poll failed of under \`faults\`, and what else is out of the ordinary under \`counts\`. What
each reason means, and what to do, is in the [README](../README.md#request-and-answer).

The first tables are about OpenAttestation and servers like it, those under [Keylime](#keylime) about a verifier.
`,
  level: '##',
};

export const KEYLIME: Part = {
  file: KEYLIME_TESTS,
  before: `${KEYLIME_HEADING}

The same of a Keylime verifier, which is asked about each host by itself: where nothing else is said, it is asked about one.
Recorded answers are in \`test/fixtures/keylime/\`.
`,
  level: '###',
};

/** One test as Jest reports it. */
interface TestResult {
  readonly ancestorTitles: readonly string[];
  readonly title: string;
  readonly status: string;
}

/**
 * A part of the page, a section for each group of tests.
 * @throws {Error} where a title is not of the form "fault → what the caller sees"
 */
export function renderPart({ before, file, level }: Part, tests: readonly TestResult[]): string {
  const sections = new Map<string, [string, string][]>();
  for (const { ancestorTitles, title } of tests) {
    const [fault, sees, ...more] = title.split(' → ');
    if (fault === undefined || sees === undefined || more.length > 0) {
      throw new Error(`the title of a test in ${file} is not "fault → what the caller sees": ${title}`);
    }
    const section = ancestorTitles.join(', ');
    sections.set(section, [...(sections.get(section) ?? []), [fault, withReason(sees)]]);
  }
  const rendered = Array.from(sections, ([section, rows]) => `${level} ${section}\n\n${renderTable(rows)}\n`);
  return [before, ...rendered].join('\n');
}

/** The page of its parts. */
export function renderPage(oat: string, keylime: string): string {
  return `${oat}\n${keylime}`;
}

/** What of a page is a part of it; empty where it does not have that. */
export function findPart(page: string, part: Part): string {
  const end = page.indexOf(`\n${KEYLIME_HEADING}\n`);
  if (end === -1) return part === OAT ? page : '';
  return part === OAT ? page.slice(0, end) : page.slice(end + 1);
}

/** A reason as the word that it is in an answer. */
function withReason(sees: string): string {
  const reason = REASONS.find((word) => sees === word || sees.startsWith(`${word},`));
  return reason === undefined ? sees : `\`${reason}\`${sees.slice(reason.length)}`;
}

/** A table as Prettier writes it. */
function renderTable(rows: readonly [string, string][]): string {
  const escaped = [['fault', 'what the caller sees'], ...rows].map((row) =>
    row.map((cell) => cell.replaceAll('|', '\\|')),
  );
  const widths = [0, 1].map((column) => Math.max(...escaped.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const padded = escaped.map((row) => line(row.map((cell, column) => cell.padEnd(widths[column] ?? 0))));
  return [padded[0], line(widths.map((width) => '-'.repeat(width))), ...padded.slice(1)].join('\n');
}

interface TestFileResult {
  readonly testFilePath: string;
  readonly testResults: readonly TestResult[];
}

/** After all tests of a file of faults ran and passed, compares its part of the page with them; or writes the page, after those of both. */
export default class FaultTable {
  readonly #rootDir: string;
  readonly #rendered = new Map<Part, string>();
  #error: Error | undefined;

  constructor({ rootDir }: { readonly rootDir: string }) {
    this.#rootDir = rootDir;
  }

  onTestFileResult(_test: unknown, { testFilePath, testResults }: TestFileResult): void {
    const part = [OAT, KEYLIME].find(({ file }) => testFilePath === join(this.#rootDir, file));
    if (part === undefined || testResults.length === 0) return;
    if (testResults.some(({ status }) => status !== 'passed')) return;
    try {
      const text = renderPart(part, testResults);
      this.#rendered.set(part, text);
      if (process.env[WRITE] !== undefined) this.#write();
      else this.#compare(part, text);
    } catch (error) {
      this.#error ??= error as Error;
    }
  }

  #write(): void {
    const [oat, keylime] = [this.#rendered.get(OAT), this.#rendered.get(KEYLIME)];
    if (oat !== undefined && keylime !== undefined) {
      writeFileSync(join(this.#rootDir, PAGE), renderPage(oat, keylime));
    }
  }

  #compare(part: Part, text: string): void {
    const page = join(this.#rootDir, PAGE);
    if (!existsSync(page) || findPart(readFileSync(page, 'utf8'), part) !== text) {
      throw new Error(`${PAGE} is not what the tests in ${part.file} say: make it anew with "npm run docs"`);
    }
  }

  onRunComplete(): void {
    // Jest itself says only that something failed.
    if (this.#error !== undefined) process.stderr.write(`\n${this.#error.message}\n`);
  }

  /** Jest fails the run where there is one. */
  getLastError(): Error | undefined {
    return this.#error;
  }
}
