import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REASONS } from '../../lambda/trust/reason.ts';

/** The variable with which the page is written rather than compared. */
const WRITE = 'WRITE_FAULT_TABLE';
const TESTS = 'test/integration/faults.test.ts';
const PAGE = 'docs/faults.md';
const BEFORE = `# What faults of the attestation server look like

<!-- Made of the titles of the tests in ${TESTS} by \`npm run docs\`; changes here do not last. -->

What can be wrong with an attestation server, or with what it says, and what a scheduler then sees: the \`reason\` with which
the host is rejected. No fault makes a host pass that the server did not vouch for, every request is answered with HTTP
status 200, and when the fault is over the hosts pass again. The line that the function logs for the request names the
reasons under \`rejected\`, what a poll failed of under \`faults\`, and what else is out of the ordinary under \`counts\`. What
each reason means, and what to do, is in the [README](../README.md#request-and-answer).
`;

/** One test as Jest reports it. */
interface TestResult {
  readonly ancestorTitles: readonly string[];
  readonly title: string;
  readonly status: string;
}

/**
 * The page, a section for each group of tests.
 * @throws {Error} where a title is not of the form "fault → what the caller sees"
 */
export function renderPage(tests: readonly TestResult[]): string {
  const sections = new Map<string, [string, string][]>();
  for (const { ancestorTitles, title } of tests) {
    const [fault, sees, ...more] = title.split(' → ');
    if (fault === undefined || sees === undefined || more.length > 0) {
      throw new Error(`the title of a test in ${TESTS} is not "fault → what the caller sees": ${title}`);
    }
    const section = ancestorTitles.join(', ');
    sections.set(section, [...(sections.get(section) ?? []), [fault, withReason(sees)]]);
  }
  return [BEFORE, ...Array.from(sections, ([section, rows]) => `## ${section}\n\n${renderTable(rows)}\n`)].join('\n');
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

/** After all tests of faults ran and passed, compares the page with them, or writes it. */
export default class FaultTable {
  readonly #rootDir: string;
  #error: Error | undefined;

  constructor({ rootDir }: { readonly rootDir: string }) {
    this.#rootDir = rootDir;
  }

  onTestFileResult(_test: unknown, { testFilePath, testResults }: TestFileResult): void {
    if (testFilePath !== join(this.#rootDir, TESTS) || testResults.length === 0) return;
    if (testResults.some(({ status }) => status !== 'passed')) return;
    const page = join(this.#rootDir, PAGE);
    try {
      const text = renderPage(testResults);
      if (process.env[WRITE] !== undefined) writeFileSync(page, text);
      else if (!existsSync(page) || readFileSync(page, 'utf8') !== text) {
        throw new Error(`${PAGE} is not what the tests in ${TESTS} say: make it anew with "npm run docs"`);
      }
    } catch (error) {
      this.#error = error as Error;
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
