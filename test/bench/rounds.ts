import { Attester } from '../fakes/attester.ts';
import { FilterEnvironment } from '../fakes/filter-environment.ts';
import { MemoryDynamoDb } from '../fakes/memory-dynamodb.ts';
import { leftBehind, spread } from '../fakes/silent-hosts.ts';
import { lehmer, VirtualClock } from '../fakes/virtual-clock.ts';
import { progress, type Report } from './report.ts';

const HOSTS = 10_000;
const SHARES = [0, 0.002, 0.005, 0.02] as const;
const ROUNDS = 6;
/** From this round on a fleet is in service again. */
const SETTLED = 3;
const SCHEDULE_MS = 300_000;
const POLL_MS = 2_000;
const NEVER_MS = 10_000_000;
const TIMING = { validityMs: 600_000, recheckMs: 5_000 };
const ROUND_LIMIT_MS = 299_000;

interface Round {
  readonly seconds: number;
  /** Healthy hosts that it has not renewed, and those whose attestation has ended by its end. */
  readonly notRenewed: number;
  readonly ended: number;
  readonly polls: number;
}

/**
 * Scheduled rounds of a fleet of which some hosts fall silent after the first. On a virtual clock, so that the seconds are those of polls
 * that take two, and the same on every machine.
 */
export async function rounds(): Promise<Report> {
  const rows: Record<string, string | number>[] = [];
  const bounds: Report['bounds'][number][] = [];
  let usually = NaN;
  for (const share of SHARES) {
    progress(`rounds: ${share * 100} % silent`);
    const told = await tell(share);
    for (const [i, { seconds, notRenewed, ended, polls }] of told.entries()) {
      const title = `${share * 100} % silent`;
      rows.push({ fleet: title, round: i + 1, seconds: seconds, 'not renewed': notRenewed, ended, polls });
    }
    const settled = told.slice(SETTLED - 1);
    if (share === 0) usually = Math.max(...settled.map(({ seconds }) => seconds));
    // With 2 % the first rounds are too short for what there is to find out: ten polls of 2 s at once, some 7,000 s of polls.
    else if (share < 0.01) {
      const slowest = Math.max(...settled.map(({ seconds }) => seconds));
      const what = `${share * 100} % silent, from round ${SETTLED} on`;
      bounds.push({ what: `${what}: healthy hosts not renewed`, measured: sum(settled, 'notRenewed'), atMost: 0 });
      bounds.push({ what: `${what}: times a round without`, measured: slowest / usually, atMost: 2 });
      bounds.push({
        what: `${share * 100} % silent: attestations that ended`,
        measured: sum(told, 'ended'),
        atMost: 0,
      });
    } else {
      const last = told.slice(-1);
      bounds.push({
        what: '2 % silent, the last round: healthy hosts not renewed',
        measured: sum(last, 'notRenewed'),
        atMost: 0,
      });
      bounds.push({
        what: '2 % silent, the last round: times one without',
        measured: sum(last, 'seconds') / usually,
        atMost: 2,
      });
    }
  }
  progress('');
  return { bench: `Scheduled rounds of ${HOSTS} hosts, polls of ${POLL_MS / 1000} s`, rows, bounds };
}

function sum(told: readonly Round[], member: keyof Round): number {
  return told.reduce((total, round) => total + round[member], 0);
}

async function tell(share: number): Promise<Round[]> {
  Math.random = lehmer(5);
  const clock = new VirtualClock();
  const dynamodb = new MemoryDynamoDb(clock);
  const attester = new Attester(clock);
  attester.latencyMs = POLL_MS;
  const hosts = Array.from({ length: HOSTS }, (_, i) => `compute-${i}.example.com`);
  const base = { clock, dynamodb, connection: attester, shardCount: HOSTS / 100, ...TIMING };
  const asking = new FilterEnvironment(base);
  for (let i = 0; i < 4; i++) {
    await clock.run(asking.ask(hosts));
    await clock.advance(70_000);
  }
  const silent = spread(hosts, HOSTS * share);
  attester.latencyOf = (polled) => (polled.some((host) => silent.has(host)) ? NEVER_MS : POLL_MS);
  const refreshing = new FilterEnvironment(base);
  const told: Round[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const [begun, polls] = [clock.now(), attester.polls.length];
    await clock.run(refreshing.refresher(ROUND_LIMIT_MS).round());
    const { notRenewed, ended } = leftBehind(dynamodb, silent, { since: begun, now: clock.now(), timing: TIMING });
    const seconds = (clock.now() - begun) / 1000;
    told.push({ seconds, notRenewed, ended, polls: attester.polls.length - polls });
    await clock.advance(Math.max(0, begun + SCHEDULE_MS - clock.now()));
  }
  return told;
}
