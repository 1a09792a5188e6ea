import { setTimeout as sleep } from 'node:timers/promises';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { reply } from '../../infra/local/oat-server.ts';
import { Cloud } from '../fakes/cloud.ts';
import { answerOf, filterEvent } from '../fakes/events.ts';
import type { LambdaEnvironment } from '../fakes/lambda-environment.ts';
import { median, progress, type Report } from './report.ts';

const PROCESSES = 8;
const REQUESTS = 20;
const HOSTS = Array.from({ length: 1_000 }, (_, i) => `compute-${i}.example.com`);
const LATE_HOSTS = HOSTS.slice(0, 200);
const SERVICE_MS = 1_000;
const VALIDITY_MS = 60_000;

/** What the service saw of the hosts that it was asked about. */
class Seen {
  polls = 0;
  mostAtOnce = 0;
  readonly #total = new Map<string, number>();
  readonly #underWay = new Map<string, number>();

  begin(hosts: readonly string[]): void {
    this.polls++;
    for (const host of hosts) {
      this.#total.set(host, (this.#total.get(host) ?? 0) + 1);
      const atOnce = (this.#underWay.get(host) ?? 0) + 1;
      this.#underWay.set(host, atOnce);
      this.mostAtOnce = Math.max(this.mostAtOnce, atOnce);
    }
  }

  end(hosts: readonly string[]): void {
    for (const host of hosts) this.#underWay.set(host, (this.#underWay.get(host) ?? 1) - 1);
  }

  /** The fewest and the most polls of a host so far. */
  perHost(hosts: readonly string[]): { least: number; most: number } {
    const counts = hosts.map((host) => this.#total.get(host) ?? 0);
    return { least: Math.min(...counts), most: Math.max(...counts) };
  }
}

/** How often a host is polled when many environments ask for the same fleet at the same moment. */
export async function polls(): Promise<Report> {
  const cloud = await Cloud.start();
  try {
    const seen = new Seen();
    const oat = await cloud.oat(async ({ hosts }, response) => {
      seen.begin(hosts);
      const vtime = new Date().toISOString();
      await sleep(SERVICE_MS);
      seen.end(hosts);
      reply(
        response,
        hosts.map((host) => ({ host_name: host, trust_lvl: 'trusted', vtime })),
      );
    });
    const env = cloud.env(oat, await cloud.table());
    progress(`polls: starting ${PROCESSES} processes`);
    const environments = await Promise.all(Array.from({ length: PROCESSES }, () => cloud.environment(env)));
    // Environments that have polled before, and know nothing of these hosts.
    await Promise.all(environments.map((environment) => environment.invoke(filterEvent(['another']))));
    progress('polls: cold');
    const cold = await storm(environments);
    const afterCold = seen.perHost(HOSTS);
    for (const environment of environments) environment.turnClock(VALIDITY_MS + 1_000);
    progress('polls: after the validity');
    const later = await storm(environments);
    const afterLater = seen.perHost(HOSTS);
    progress('polls: late times');
    const late = await lateTimes(cloud);
    progress('');
    return {
      bench: `polls: ${PROCESSES} processes × ${REQUESTS} requests at once for the same ${HOSTS.length} hosts, a service that takes ${SERVICE_MS} ms`,
      rows: [
        {
          case: 'cold',
          'polls a host': afterCold.most,
          'fastest (ms)': cold.fastest,
          'median (ms)': cold.median,
          'slowest (ms)': cold.slowest,
        },
        {
          case: 'after the validity',
          'polls a host': afterLater.most - afterCold.most,
          'fastest (ms)': later.fastest,
          'median (ms)': later.median,
          'slowest (ms)': later.slowest,
        },
        { case: `${LATE_HOSTS.length} hosts with late times, one request`, polls: late.first },
        { case: 'the same within the recheck, from two environments', polls: late.again },
      ],
      bounds: [
        { what: 'fewest polls of a host, cold', measured: afterCold.least, atLeast: 1 },
        { what: 'most polls of a host, cold', measured: afterCold.most, atMost: 1 },
        { what: 'fewest polls of a host, after the validity too', measured: afterLater.least, atLeast: 2 },
        { what: 'most polls of a host, after the validity too', measured: afterLater.most, atMost: 2 },
        { what: 'most polls of a host at once', measured: seen.mostAtOnce, atMost: 1 },
        { what: 'requests that passed all hosts, of all', measured: Math.min(cold.whole, later.whole), atLeast: 1 },
        {
          what: "slowest request, in the service's seconds",
          measured: Math.max(cold.slowest, later.slowest) / SERVICE_MS,
          atMost: 3,
        },
        { what: 'polls for 200 hosts with late times', measured: late.first, atMost: 2 },
        { what: 'further polls within the recheck', measured: late.again, atMost: 0 },
      ],
    };
  } finally {
    await cloud.close();
  }
}

async function storm(environments: readonly LambdaEnvironment[]) {
  const times: number[] = [];
  const results: APIGatewayProxyStructuredResultV2[] = [];
  const event = filterEvent(HOSTS);
  const ask = async (environment: LambdaEnvironment): Promise<void> => {
    const begun = performance.now();
    results.push(await environment.invoke(event));
    times.push(performance.now() - begun);
  };
  await Promise.all(environments.flatMap((each) => Array.from({ length: REQUESTS }, () => ask(each))));
  return {
    fastest: Math.min(...times),
    median: median(times),
    slowest: Math.max(...times),
    whole: results.filter((result) => answerOf(result).hosts.length === HOSTS.length).length / times.length,
  };
}

/** A service whose times are older than the validity made the original poll once for each host. */
async function lateTimes(cloud: Cloud): Promise<{ first: number; again: number }> {
  const oat = await cloud.oat(({ hosts }, response) => {
    const vtime = Date.now() - 2 * VALIDITY_MS;
    reply(
      response,
      hosts.map((host) => ({ host_name: host, trust_lvl: 'trusted', vtime })),
    );
  });
  const env = cloud.env(oat, await cloud.table());
  const [one, other] = await Promise.all([cloud.environment(env), cloud.environment(env)]);
  await one.invoke(filterEvent(LATE_HOSTS));
  const first = oat.polls.length;
  await Promise.all([one.invoke(filterEvent(LATE_HOSTS)), other.invoke(filterEvent(LATE_HOSTS))]);
  return { first, again: oat.polls.length - first };
}
