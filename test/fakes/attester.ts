import type { AnswerLimits, Connection, HttpAnswer } from '../../lambda/service/connection.ts';
import type { Clock } from '../../lambda/clock.ts';
import { PollError } from '../../lambda/errors.ts';

export interface AttesterEntry {
  readonly host_name: string;
  readonly trust_lvl: string;
  readonly vtime: unknown;
}

/** One poll as the attester saw it. */
export interface SeenPoll {
  readonly hosts: readonly string[];
  readonly sentAt: number;
  endedAt: number | undefined;
}

/** An attestation service on the test's clock: takes its time, answers, refuses, and knows what is asked at once. */
export class Attester implements Pick<Connection, 'post'> {
  readonly polls: SeenPoll[] = [];
  /** The most polls of any one host that were under way at once. */
  mostAtOnce = 0;
  latencyMs = 1_000;
  /** How long a poll of these hosts takes. */
  latencyOf: (hosts: readonly string[]) => number = () => this.latencyMs;
  /** With which HTTP status a poll of these hosts is answered. */
  statusOf: (hosts: readonly string[]) => number = () => 200;
  level: (host: string) => string = () => 'trusted';
  vtime: (now: number) => unknown = (now) => now;
  /** Makes the reply's entries otherwise than by level and vtime, or throws instead. */
  reply: (hosts: readonly string[], entries: readonly AttesterEntry[]) => unknown = (_hosts, entries) => ({
    hosts: entries,
  });
  /** Called when a poll of a host begins. */
  onPoll: (host: string) => void = () => {};
  readonly #underWay = new Map<string, number>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How often a host was polled. */
  pollsOf(host: string): number {
    return this.polls.filter(({ hosts }) => hosts.includes(host)).length;
  }

  async post(_path: string, body: string, { signal }: AnswerLimits): Promise<HttpAnswer> {
    const { hosts } = JSON.parse(body) as { hosts: string[] };
    const poll: SeenPoll = { hosts, sentAt: this.#clock.now(), endedAt: undefined };
    this.polls.push(poll);
    for (const host of hosts) {
      this.onPoll(host);
      const atOnce = (this.#underWay.get(host) ?? 0) + 1;
      this.#underWay.set(host, atOnce);
      this.mostAtOnce = Math.max(this.mostAtOnce, atOnce);
    }
    try {
      const vtime = this.vtime(this.#clock.now());
      const entries = hosts.map((host) => ({ host_name: host, trust_lvl: this.level(host), vtime }));
      const status = this.statusOf(hosts);
      await this.#clock.wait(this.latencyOf(hosts), signal);
      if (signal.aborted) throw new PollError('pending', 'the poll got no complete answer in its time');
      if (status !== 200) return { status, body: Buffer.alloc(0) };
      return { status, body: Buffer.from(JSON.stringify(this.reply(hosts, entries))) };
    } finally {
      poll.endedAt = this.#clock.now();
      for (const host of hosts) this.#underWay.set(host, (this.#underWay.get(host) ?? 1) - 1);
    }
  }
}
