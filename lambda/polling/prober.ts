import type { Claimed } from './claims.ts';
import type { Clock } from '../clock.ts';
import type { Counts } from '../log/counts.ts';
import type { Timing } from '../trust/entry.ts';
import type { Batch, PollQueue, Target } from './poll-queue.ts';
import type { Outcome, Polled } from './poller.ts';
import { pickProbes, type Stale } from './polls.ts';
import { ProbeRound } from './probe-round.ts';
import type { ShardActor } from '../table/shard-actor.ts';
import type { Waiter } from './waiter.ts';

export interface ProberParts {
  readonly polls: PollQueue;
  readonly clock: Clock;
  readonly counts: Counts;
  readonly timing: Timing;
  readonly waitersOf: (targets: readonly Target[]) => ReadonlySet<Waiter>;
  /** When a claim that is made now would end. */
  readonly claimEnd: () => number;
  /** Claims hosts of a shard, and has others of it wait. */
  readonly take: (
    shard: ShardActor,
    hosts: Stale<ShardActor>['hosts'],
    waiting: { readonly hosts: readonly string[]; readonly until: number },
  ) => Promise<Claimed>;
  readonly write: (targets: readonly Target[], outcome: Outcome) => Promise<void>;
  /** Told when hosts need not wait any more. */
  readonly ended: () => void;
}

const NOT_POLLED = { isAnswered: false, isConclusive: false };

/** Probes the service for hosts of which it is in doubt why they failed: one round of probes at a time. */
export class Prober {
  readonly #parts: ProberParts;
  #round: ProbeRound | undefined;

  constructor(parts: ProberParts) {
    this.#parts = parts;
  }

  /** Whether the host waits for what the probes show. */
  holds(host: string): boolean {
    return this.#round?.holds(host) === true;
  }

  isWaitedForBy(waiter: Waiter, host: string): boolean {
    return this.#round?.isWaitedForBy(waiter, host) === true;
  }

  /** The hosts that a batch is polled for: those of the whole round, where it is a probe. */
  targetsOf({ targets, round }: Batch): readonly Target[] {
    return round !== undefined && round === this.#round ? round.targets : targets;
  }

  /** Begins a round with a few of the hosts, and has the others wait; or has all wait for the one that goes on. */
  async probe(doubtful: readonly Stale<ShardActor>[]): Promise<void> {
    const { claimEnd, clock, counts, polls, take, waitersOf } = this.#parts;
    const now = clock.now();
    const targets = doubtful.flatMap(({ shard, hosts }) => hosts.map((host) => ({ ...host, shard })));
    const probes = new Set<string>();
    const isNew = this.#round === undefined;
    const round = (this.#round ??= new ProbeRound({
      waiters: waitersOf(targets),
      startedAt: now,
      heldUntil: claimEnd(),
    }));
    round.join(targets);
    if (isNew) {
      const wasAnswered = ({ shard, host }: Target): boolean => shard.known(host, now).attestation !== undefined;
      const candidates = targets.map((target) => ({ target, wasAnswered: wasAnswered(target) }));
      for (const { target } of pickProbes(candidates, Math.random)) probes.add(target.host);
    }
    const claimed = await Promise.all(
      doubtful.map(({ shard, hosts }) => {
        const own = hosts.filter(({ host }) => probes.has(host));
        return take(shard, own, { hosts: hosts.map(({ host }) => host), until: round.heldUntil });
      }),
    );
    if (!isNew) return;
    const queued = claimed.flatMap(({ targets: own, until }) => own.map((target) => ({ target, until })));
    counts.add('Probes', queued.length);
    round.begin(queued.length);
    for (const { target, until } of queued) polls.addProbe(target, until, round);
    // Others have claimed or decided the hosts meanwhile.
    if (queued.length === 0) await this.notice({ round: undefined });
  }

  /**
   * Ends the round, where a poll shows how it ends.
   * @param polled what came of the poll; nothing where it was not polled to its end
   */
  async notice(
    batch: Pick<Batch, 'round'>,
    polled: Pick<Polled, 'isAnswered' | 'isConclusive'> = NOT_POLLED,
  ): Promise<void> {
    const { clock, counts, ended, timing, write } = this.#parts;
    const round = this.#round;
    if (round === undefined) return;
    const { isAnswered, isConclusive } = polled;
    const finding = round.notice({ isProbe: batch.round === round, isAnswered, isConclusive });
    if (finding === undefined) return;
    if (finding === 'hangs') counts.add('ProbesFailed');
    await write(round.targets, round.outcome(finding, clock.now(), timing));
    this.#round = undefined;
    ended();
  }
}
