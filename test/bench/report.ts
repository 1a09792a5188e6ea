/** What a bench measured: rows for people, and bounds that decide its exit code. */
export interface Report {
  readonly bench: string;
  readonly rows: readonly Readonly<Record<string, string | number>>[];
  readonly bounds: readonly Bound[];
}

export interface Bound {
  readonly what: string;
  readonly measured: number;
  readonly atMost?: number;
  readonly atLeast?: number;
}

export function isMet({ measured, atMost = Infinity, atLeast = -Infinity }: Bound): boolean {
  return measured <= atMost && measured >= atLeast;
}

/** Prints a table, each bound with what was measured, and the same as one line of JSON. */
export function print(report: Report): void {
  console.log(`\n${report.bench}\n${toTable(report.rows)}\n`);
  for (const bound of report.bounds) {
    const { atLeast, atMost } = bound;
    const limits = [
      ...(atLeast === undefined ? [] : [`at least ${atLeast}`]),
      ...(atMost === undefined ? [] : [`at most ${atMost}`]),
    ];
    const verdict = isMet(bound) ? 'met   ' : 'MISSED';
    console.log(`${verdict}  ${bound.what}: ${round(bound.measured)} (${limits.join(', ')})`);
  }
  console.log(`\n${JSON.stringify(report)}`);
}

function toTable(rows: Report['rows']): string {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = [names, ...rows.map((row) => names.map((name) => format(row[name])))];
  const widths = names.map((_, i) => Math.max(...cells.map((line) => line[i]?.length ?? 0)));
  return cells
    .map((line) =>
      line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
    )
    .join('\n');
}

function format(value: string | number | undefined): string {
  if (value === undefined) return '';
  return typeof value === 'string' ? value : String(round(value));
}

export function round(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toFixed(3));
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1
    ? (sorted[Math.floor(middle)] ?? NaN)
    : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}

/** Says on the terminal how far a long bench is; silent where there is none. */
export function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
