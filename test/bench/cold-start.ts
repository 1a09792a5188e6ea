import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { bundleOptions } from '../../infra/build.ts';
import { median, progress, type Report } from './report.ts';

const RUNS = 40;
const MOST_RATIO = 1.35;
const FILTER = fileURLToPath(new URL('../../dist/filter/index.mjs', import.meta.url));
const BASELINE_ENTRY = 'test/bench/cold-start-baseline.ts';

/** In a fresh process: how long the module takes to initialise, in milliseconds. */
const PROBE =
  'const t=performance.now();await import(process.argv[1]);process.stdout.write(String(performance.now()-t))';

/**
 * Module initialisation of the function beside that of the DynamoDB client and an empty handler, built with the same
 * flags, in fresh processes by turns.
 */
export async function coldStart(): Promise<Report> {
  const folder = await mkdtemp(join(tmpdir(), 'cold-start-'));
  try {
    await build(bundleOptions(BASELINE_ENTRY, folder));
    const baseline = join(folder, 'index.mjs');
    await initialise(FILTER);
    await initialise(baseline);
    const filterMs: number[] = [];
    const baselineMs: number[] = [];
    for (let run = 0; run < RUNS; run++) {
      progress(`cold-start ${run + 1}/${RUNS}`);
      // By turns also in which goes first.
      const order = run % 2 === 0 ? [FILTER, baseline] : [baseline, FILTER];
      for (const bundle of order) (bundle === FILTER ? filterMs : baselineMs).push(await initialise(bundle));
    }
    progress('');
    const ratios = filterMs.map((ms, i) => ms / (baselineMs[i] ?? NaN));
    return {
      bench: 'cold-start',
      rows: [
        row('dist/filter (ms)', filterMs),
        row('DynamoDB client and an empty handler (ms)', baselineMs),
        row('ratio of each pair', ratios),
      ],
      bounds: [{ what: "median of the pairs' ratios", measured: median(ratios), atMost: MOST_RATIO }],
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function initialise(bundle: string): Promise<number> {
  const args = ['--input-type=module', '--eval', PROBE, pathToFileURL(bundle).href];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return Number(stdout);
}

function row(bundle: string, values: readonly number[]): Record<string, string | number> {
  return { bundle, median: median(values), least: Math.min(...values), most: Math.max(...values) };
}
