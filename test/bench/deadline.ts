import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Cloud } from '../fakes/cloud.ts';
import { Fleet, type Measured } from './fleet.ts';
import { type Line, type Plot, renderPlot } from './plot.ts';
import { percentile } from './percentile.ts';
import { progress, type Report } from './report.ts';

/** How many rounds are measured at each service time, the quickest first. A large fleet takes long to prepare. */
const SIZES = [
  { hosts: 100, rounds: [8, 4, 2] },
  { hosts: 1_000, rounds: [8, 4, 2] },
  { hosts: 5_000, rounds: [4, 3, 2] },
] as const;
/** Up to this size, fleets leave room for each other while they wait for a service that is slower than the deadline. */
const SMALL = 1_000;
const SHARES = [0, 0.5, 0.9, 1] as const;
/** How long the service takes for a poll. */
const SERVICES = [0.1, 1, 7] as const;
const ENVIRONMENTS = 3;
const LIMIT_SECONDS = 4;
const LATER_SECONDS = 8;
const DOCS = new URL('../../docs/', import.meta.url);

/** What is told of one case. */
interface Cell {
  readonly service: number;
  readonly hosts: number;
  readonly cached: number;
  readonly requests: number;
  readonly p50: number;
  readonly p99: number;
  readonly slowest: number;
  /** Of its hosts: on average, and at least. */
  readonly resolved: number;
  readonly leastResolved: number;
  readonly leastLater: number;
  readonly pollsPerHost: number;
}

/** What a request gets that has less time than the service may take, and leaves the polling to `refresh`. */
export async function deadline(): Promise<Report> {
  const cloud = await Cloud.start();
  try {
    const cells: Cell[] = [];
    for (const { hosts, rounds } of SIZES) cells.push(...(await measureSize(cloud, hosts, rounds)));
    progress('');
    const ordered = SERVICES.flatMap((seconds) => cells.filter(({ service }) => service === seconds));
    const report = toReport(ordered);
    await writeFile(fileURLToPath(new URL('deadline.json', DOCS)), `${JSON.stringify(report, null, 2)}\n`);
    await writeFile(fileURLToPath(new URL('deadline.svg', DOCS)), renderPlot(toPlot(ordered)));
    return report;
  } finally {
    await cloud.close();
  }
}

async function measureSize(cloud: Cloud, hosts: number, rounds: readonly number[]): Promise<Cell[]> {
  const fleets: { cached: number; fleet: Fleet }[] = [];
  try {
    progress(`deadline: ${hosts} hosts, starting processes`);
    const times = { limitMs: LIMIT_SECONDS * 1000, laterMs: LATER_SECONDS * 1000 };
    for (const cached of SHARES) {
      const fleet = await Fleet.start(cloud, { hosts, cached, environments: ENVIRONMENTS, ...times });
      fleets.push({ cached, fleet });
    }
    const cells: Cell[] = [];
    for (const [i, service] of SERVICES.entries()) {
      const measured: { cached: number; result: Measured }[] = [];
      const measure = async ({ cached, fleet }: (typeof fleets)[number]): Promise<void> => {
        progress(`deadline: ${hosts} hosts, ${cached * 100} % cached, a service that takes ${service} s`);
        measured.push({ cached, result: await fleet.measure(service * 1000, rounds[i] ?? 1) });
      };
      if (hosts <= SMALL && service > LIMIT_SECONDS) await Promise.all(fleets.map(measure));
      else for (const fleet of fleets) await measure(fleet);
      for (const { cached, result } of measured) cells.push(await toCell({ service, hosts, cached }, result));
    }
    return cells.sort((a, b) => a.cached - b.cached);
  } finally {
    for (const { fleet } of fleets) await fleet.close();
  }
}

async function toCell(
  key: Pick<Cell, 'service' | 'hosts' | 'cached'>,
  { samples, pollsPerHost, later }: Measured,
): Promise<Cell> {
  const seconds = samples.map((sample) => sample.seconds);
  const resolved = samples.map((sample) => sample.resolved);
  return {
    ...key,
    requests: samples.length,
    p50: percentile(seconds, 50),
    p99: percentile(seconds, 99),
    slowest: Math.max(...seconds),
    resolved: resolved.reduce((sum, each) => sum + each, 0) / resolved.length,
    leastResolved: Math.min(...resolved),
    leastLater: Math.min(...(await later).map((sample) => sample.resolved)),
    pollsPerHost,
  };
}

function toReport(cells: readonly Cell[]): Report {
  const cachedOnly = cells.filter(({ cached, service }) => cached === 1 && service >= 1);
  const small = cells.filter(({ hosts }) => hosts <= SMALL);
  return {
    bench: `deadline: ${ENVIRONMENTS} requests at once with ${LIMIT_SECONDS} s for the same hosts, which refresh polls (p99 of fewer than 100 requests is the slowest)`,
    rows: cells.map((cell) => ({
      'service (s)': cell.service,
      hosts: cell.hosts,
      'cached (%)': cell.cached * 100,
      requests: cell.requests,
      'p50 (s)': thousandths(cell.p50),
      'p99 (s)': thousandths(cell.p99),
      'resolved, mean': thousandths(cell.resolved),
      'resolved, least': cell.leastResolved,
      [`resolved ${LATER_SECONDS} s later`]: cell.leastLater,
      'polls a host': thousandths(cell.pollsPerHost),
    })),
    bounds: [
      {
        what: 'slowest answer, in seconds',
        measured: thousandths(Math.max(...cells.map(({ slowest }) => slowest))),
        atMost: LIMIT_SECONDS * 1.1,
      },
      {
        what: 'share resolved less share cached, least of all requests',
        measured: thousandths(Math.min(...cells.map(({ leastResolved, cached }) => leastResolved - cached))),
        atLeast: 0,
      },
      {
        what: "slowest answer with all hosts cached, in the service's time, where that is 1 s and more",
        measured: thousandths(Math.max(...cachedOnly.map(({ slowest, service }) => slowest / service))),
        atMost: 1,
      },
      {
        what: `share resolved ${LATER_SECONDS} s later with up to ${SMALL} hosts, least of all requests`,
        measured: Math.min(...small.map(({ leastLater }) => leastLater)),
        atLeast: 1,
      },
      {
        what: `polls a host that was not cached, with up to ${SMALL} hosts, most of all cases`,
        measured: thousandths(Math.max(...small.map(({ pollsPerHost }) => pollsPerHost))),
        atMost: 1,
      },
    ],
  };
}

function toPlot(cells: readonly Cell[]): Plot {
  const requests = cells.map((cell) => cell.requests);
  // A machine that is busy with other things may answer later than it should: that is to be seen.
  const top = Math.max(LIMIT_SECONDS + 0.5, ...cells.map(({ slowest }) => Math.ceil(slowest * 2) / 2));
  const range = `${Math.min(...requests)} to ${Math.max(...requests)}`;
  return {
    title: `Time to answer a request that has ${LIMIT_SECONDS} s, where refresh polls`,
    subtitle: `${ENVIRONMENTS} environments ask at once for the same hosts; ${range} requests a point: of fewer than 100, the p99 is the slowest`,
    x: { label: 'hosts cached (%)', from: 0, to: 100, ticks: [0, 50, 90, 100] },
    y: { label: 'time to answer (s)', from: 0, to: top, ticks: [0, 1, 2, 3, 4] },
    limit: { at: LIMIT_SECONDS, label: 'deadline' },
    groups: SIZES.map(({ hosts }) => `${hosts.toLocaleString('en')} hosts`),
    kinds: ['p50', 'p99'],
    panels: SERVICES.map((service) => ({
      title: `a service that takes ${service} s`,
      lines: SIZES.flatMap(({ hosts }, group) => {
        const own = cells.filter((cell) => cell.service === service && cell.hosts === hosts);
        return (['p50', 'p99'] as const).map((name, kind): Line => {
          return { group, kind, points: own.map((cell) => ({ x: cell.cached * 100, y: cell[name] })) };
        });
      }),
    })),
  };
}

function thousandths(value: number): number {
  return Math.round(value * 1000) / 1000;
}
