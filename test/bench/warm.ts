import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { reply } from '../../infra/local/oat-server.ts';
import { Cloud } from '../fakes/cloud.ts';
import { median, progress, type Report } from './report.ts';
import type { Measured, Samples, Task } from './warm-process.ts';

const PROCESS = fileURLToPath(new URL('warm-process.ts', import.meta.url));
const BUNDLE = fileURLToPath(new URL('../../dist/filter/index.mjs', import.meta.url));
const SIZES = [100, 1_000, 10_000, 50_000] as const;
/** How much of the floor the whole handler may cost; the smaller the request, the more is what any request costs. */
const MOST_RATIO: Readonly<Record<number, number>> = { 1_000: 1.9, 10_000: 1.4, 50_000: 1.4 };
/**
 * What any request costs is held here: how much above the floor once warm. As that is little, several processes are measured,
 * and their first requests by themselves.
 */
const FIXED = { hosts: 1_000, atMostMs: 0.35, first: 150, processes: 7 } as const;
/**
 * Up to that size there is a pause before each request, and before each floor: an environment has mostly nothing to do, and what
 * the processor had at hand of it is then gone. Of a large request it makes no part to speak of.
 */
const PAUSE_MS = 1;
const CASES = ['all pass', 'half are rejected'] as const;
const HOSTS_PER_MEASUREMENT = 10_000_000;
const LEAST_RUNS = 60;
const MOST_RUNS = 500;

/** What a process measured, and what it printed meanwhile. */
interface Round extends Measured {
  readonly lines: number;
  readonly bytes: number;
}

/**
 * The whole handler with every host in memory, beside the least that any code must do with the same bodies. Its log lines
 * go to a pipe that is read here, as Lambda reads them.
 */
export async function warm(): Promise<Report> {
  const cloud = await Cloud.start();
  try {
    const oat = await cloud.oat(({ hosts }, response) => {
      const vtime = Date.now();
      const level = (host: string): string => (host.startsWith('bad') ? 'untrusted' : 'trusted');
      reply(
        response,
        hosts.map((host) => ({ host_name: host, trust_lvl: level(host), vtime })),
      );
    });
    const rows: Record<string, string | number>[] = [];
    const bounds: Report['bounds'][number][] = [];
    const all: Round[] = [];
    for (const name of CASES) {
      let smallest: number | undefined;
      for (const size of SIZES) {
        const isFixed = size === FIXED.hosts;
        const rounds: Round[] = [];
        for (let i = 0; i < (isFixed ? FIXED.processes : 1); i++) {
          progress(`warm: ${size} hosts, ${name}`);
          const env = {
            ...cloud.env(oat, await cloud.table()),
            ATTESTATION_FLEET_SIZE: String(size),
            ATTESTATION_AUTH_TIMEOUT: '3600',
            ATTESTATION_REQUEST_COUNT: '1000',
          };
          rounds.push(await runProcess(env, taskOf(name, size)));
        }
        all.push(...rounds);
        if (isFixed) {
          const summary = summarise(rounds.map(({ first }) => first));
          rows.push(row(`${name}, first ${FIXED.first} of a process`, size, summary));
        }
        const summary = summarise(rounds.map((round) => round.warm));
        smallest ??= summary.handlerMs / size;
        rows.push({ ...row(name, size, summary), growth: summary.handlerMs / size / smallest });
        const what = `at ${size} hosts, ${name}`;
        const atMost = MOST_RATIO[size];
        if (atMost !== undefined) bounds.push({ what: `ratio ${what}`, measured: summary.ratio, atMost });
        if (isFixed)
          bounds.push({ what: `ms above the floor ${what}`, measured: summary.moreMs, atMost: FIXED.atMostMs });
      }
    }
    progress('');
    const total = (value: (round: Round) => number): number => all.reduce((sum, round) => sum + value(round), 0);
    const lines = total((round) => round.lines);
    const perRequest = lines / total((round) => round.requests);
    bounds.push({ what: 'lines that were read, a request', measured: perRequest, atLeast: 1, atMost: 1 });
    return {
      bench:
        'warm: every host in memory, beside JSON.parse, a Map look-up a host and JSON.stringify; ' +
        `a line has ${Math.round(total((round) => round.bytes) / lines)} bytes; at ${FIXED.hosts} hosts the median of ${FIXED.processes} processes`,
      rows,
      bounds,
    };
  } finally {
    await cloud.close();
  }
}

function taskOf(name: (typeof CASES)[number], size: number): Task {
  const runs = Math.min(MOST_RUNS, Math.max(LEAST_RUNS, Math.ceil(HOSTS_PER_MEASUREMENT / size / 10)));
  const prefix = (i: number): string => (name === 'half are rejected' && i % 2 === 1 ? 'bad-' : '');
  return {
    hosts: Array.from({ length: size }, (_, i) => `${prefix(i)}compute-${i}.region-1.example.com`),
    first: size === FIXED.hosts ? FIXED.first : 0,
    warmUp: Math.ceil(runs / 2),
    runs,
    pauseMs: size <= FIXED.hosts ? PAUSE_MS : 0,
  };
}

/** A process of its own for each, with just these hosts in its memory, as the floor has them in its map. */
async function runProcess(env: Readonly<Record<string, string>>, task: Task): Promise<Round> {
  const { PATH = '' } = process.env;
  const child = fork(PROCESS, [BUNDLE], { env: { PATH, ...env }, stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  let lines = 0;
  let bytes = 0;
  if (child.stdout !== null) {
    createInterface(child.stdout).on('line', (line) => {
      lines++;
      bytes += Buffer.byteLength(line);
    });
  }
  // Not only ended: what it printed has been read to the end, too.
  const closed = once(child, 'close');
  const answered = once(child, 'message') as Promise<[Measured]>;
  child.send(task);
  const ended = closed.then(([code, signal]) => {
    throw new Error(`The process that is measured ended: ${signal ?? `exit status ${code}`}.`);
  });
  const [measured] = await Promise.race([answered, ended]);
  await closed;
  return { ...measured, lines, bytes };
}

interface Summary {
  readonly handlerMs: number;
  readonly floorMs: number;
  readonly moreMs: number;
  readonly ratio: number;
}

/** The medians of each process; of several processes, their median. */
function summarise(processes: readonly Samples[]): Summary {
  const over = (value: (handlerMs: number, floorMs: number) => number): number =>
    median(processes.map(({ handlerMs, floorMs }) => median(handlerMs.map((ms, i) => value(ms, floorMs[i] ?? NaN)))));
  return {
    handlerMs: over((handlerMs) => handlerMs),
    floorMs: over((_, floorMs) => floorMs),
    moreMs: over((handlerMs, floorMs) => handlerMs - floorMs),
    ratio: over((handlerMs, floorMs) => handlerMs / floorMs),
  };
}

function row(name: string, hosts: number, { handlerMs, floorMs, moreMs, ratio }: Summary) {
  return {
    case: name,
    hosts,
    'handler (ms)': handlerMs,
    'floor (ms)': floorMs,
    'more (ms)': moreMs,
    ratio,
    'µs a host': (handlerMs * 1000) / hosts,
  };
}
