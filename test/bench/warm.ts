import type { Handler } from '../../infra/local/aws/http-api.ts';
import { reply } from '../../infra/local/oat-server.ts';
import { Cloud } from '../fakes/cloud.ts';
import { answerOf, filterEvent } from '../fakes/events.ts';
import { loadFunction } from '../../infra/local/environment.ts';
import { newContext } from '../../infra/local/aws/http-api.ts';
import { median, progress, type Report } from './report.ts';

const SIZES = [100, 1_000, 10_000, 50_000] as const;
/** How much of the floor the whole handler may cost; at 100 hosts what is fixed dominates. */
const MOST_RATIO: Readonly<Record<number, number>> = { 1_000: 1.6, 10_000: 1.4, 50_000: 1.4 };
const CASES = ['all pass', 'half are rejected'] as const;
const HOSTS_PER_MEASUREMENT = 10_000_000;
const LEAST_RUNS = 60;

type Event = Parameters<Handler>[0];

/** The whole handler with every host in memory, beside the least that any code must do with the same bodies. */
export async function warm(): Promise<Report> {
  const cloud = await Cloud.start();
  const write = process.stdout.write.bind(process.stdout);
  try {
    const oat = await cloud.oat(({ hosts }, response) => {
      const vtime = Date.now();
      const level = (host: string): string => (host.startsWith('bad') ? 'untrusted' : 'trusted');
      reply(
        response,
        hosts.map((host) => ({ host_name: host, trust_lvl: level(host), vtime })),
      );
    });
    // The function's log lines are made, as always, and go nowhere.
    process.stdout.write = () => true;
    const rows: Record<string, string | number>[] = [];
    const bounds: Report['bounds'][number][] = [];
    for (const name of CASES) {
      let smallest: number | undefined;
      for (const size of SIZES) {
        progress(`warm: ${size} hosts, ${name}`);
        // A function of its own for each, with just these hosts in its memory, as the floor has them in its map.
        const env = {
          ...cloud.env(oat, await cloud.table()),
          ATTESTATION_FLEET_SIZE: String(size),
          ATTESTATION_AUTH_TIMEOUT: '3600',
          ATTESTATION_REQUEST_COUNT: '1000',
        };
        const handler = await loadFunction(env, `${name}-${size}`);
        const { handlerMs, floorMs, ratio } = await measure(handler, size, name);
        const perHost = (handlerMs * 1000) / size;
        smallest ??= perHost;
        rows.push({
          case: name,
          hosts: size,
          'handler (ms)': handlerMs,
          'floor (ms)': floorMs,
          'more (ms)': handlerMs - floorMs,
          ratio,
          'µs a host': perHost,
          growth: perHost / smallest,
        });
        const atMost = MOST_RATIO[size];
        if (atMost !== undefined) bounds.push({ what: `ratio at ${size} hosts, ${name}`, measured: ratio, atMost });
      }
    }
    progress('');
    return {
      bench: 'warm: every host in memory, beside JSON.parse, a Map look-up a host and JSON.stringify',
      rows,
      bounds,
    };
  } finally {
    process.stdout.write = write;
    await cloud.close();
  }
}

async function measure(handler: Handler, size: number, name: (typeof CASES)[number]) {
  const hosts = Array.from(
    { length: size },
    (_, i) => `${name === 'half are rejected' && i % 2 === 1 ? 'bad-' : ''}compute-${i}.region-1.example.com`,
  );
  const event = filterEvent(hosts) as Event;
  const known = new Map(hosts.map((host) => [host, !host.startsWith('bad')]));
  const passing = hosts.filter((host) => known.get(host)).length;
  // A fleet this size may need more than one request's time to fill the memory.
  for (let round = 0; answerOf(await handler(event, newContext())).hosts.length !== passing; round++) {
    if (round > 10) throw new Error('the hosts do not pass');
  }
  const runs = Math.max(LEAST_RUNS, Math.ceil(HOSTS_PER_MEASUREMENT / size / 10));
  const handlerMs: number[] = [];
  const floorMs: number[] = [];
  for (let run = -Math.ceil(runs / 2); run < runs; run++) {
    const begun = performance.now();
    await handler(event, newContext());
    const between = performance.now();
    floor(event.body ?? '', known);
    const ended = performance.now();
    if (run < 0) continue;
    handlerMs.push(between - begun);
    floorMs.push(ended - between);
  }
  const ratios = handlerMs.map((ms, i) => ms / (floorMs[i] ?? NaN));
  return { handlerMs: median(handlerMs), floorMs: median(floorMs), ratio: median(ratios) };
}

/** The least: the body parsed, every host looked up, the answer written. */
function floor(body: string, known: ReadonlyMap<string, boolean>): string {
  const { host_states } = JSON.parse(body) as { host_states: { nodename: string }[] };
  const hosts: string[] = [];
  const rejected: string[] = [];
  for (const { nodename } of host_states) (known.get(nodename) === true ? hosts : rejected).push(nodename);
  return JSON.stringify({ hosts, rejected });
}
