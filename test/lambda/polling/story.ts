/** A story of an environment, told in turns without a clock or a promise: what is known, what is decided, what comes of it. */
import type { Batch } from '../../../lambda/polling/batch.ts';
import { nextSteps } from '../../../lambda/polling/next-steps.ts';
import type { PollEnd } from '../../../lambda/polling/outcome.ts';
import type { PollPlan } from '../../../lambda/polling/polls.ts';
import { Situation } from '../../../lambda/polling/situation.ts';
import type { Steps } from '../../../lambda/polling/steps.ts';
import { newInvocation, type Refresh, Waiter } from '../../../lambda/polling/waiter.ts';
import type { KnownShard } from '../../../lambda/polling/wanted-hosts.ts';
import { newClaim } from '../../../lambda/trust/claim.ts';
import { type RoomTaken, roomTakenByAll } from '../../../lambda/table/newcomers.ts';
import { type Entry, NO_ENTRY, withoutClaim } from '../../../lambda/trust/entry.ts';
import type { Reason } from '../../../lambda/trust/reason.ts';
import { attestation, NOW, SECOND, TIMING } from '../builders.ts';

/** A shard as decisions see it: entries, and when it was looked at last. */
export class ToldShard implements KnownShard {
  readonly index: number;
  readonly entries = new Map<string, Entry>();
  lookedAt = -Infinity;
  readonly #now: () => number;

  constructor(index: number, now: () => number) {
    this.index = index;
    this.#now = now;
  }

  serves(): boolean {
    return this.#now() < this.lookedAt + 5 * SECOND;
  }

  roomTaken(now: number): RoomTaken {
    return roomTakenByAll(this.entries, now, TIMING);
  }

  known(host: string): Entry {
    return this.entries.get(host) ?? NO_ENTRY;
  }
}

export const OWNER = 'this environment';
export const LIMIT_MS = 20 * SECOND;

export class Story {
  now = NOW;
  canHandOver = false;
  readonly plan: PollPlan;
  readonly situation: Situation<ToldShard>;
  readonly shards: ToldShard[];

  constructor({ shards = 1, requestCount = 10, parallelPolls = 4 } = {}) {
    this.plan = { requestCount, parallelPolls };
    this.situation = new Situation({ plan: this.plan, timing: TIMING, limitMs: LIMIT_MS });
    this.shards = Array.from({ length: shards }, (_, i) => new ToldShard(i, () => this.now));
  }

  /** A request that arrives now and waits for hosts, which are spread over the shards in turn. */
  want(hosts: readonly string[], { limitMs = 25 * SECOND, refresh }: { limitMs?: number; refresh?: Refresh } = {}) {
    const { now } = this;
    const answerBy = now + limitMs;
    const deadline = { arrivedAt: now, beganAt: now, answerBy, stopAt: answerBy - 500, tableBy: now + limitMs / 2 };
    const waiter = new Waiter(newInvocation(deadline, refresh));
    void waiter.waitFor(new Set(hosts));
    const byShard = this.byShard(hosts);
    this.situation.want(byShard, waiter);
    return { waiter, leave: () => this.situation.wanted.remove(byShard, waiter) };
  }

  byShard(hosts: readonly string[]): Map<ToldShard, string[]> {
    return Map.groupBy(hosts, (host) => this.shardOf(host));
  }

  shardOf(host: string): ToldShard {
    return this.shards[Number(/\d+$/.exec(host)?.[0] ?? 0) % this.shards.length]!;
  }

  /** What is to be done next, and is under way from now on. */
  next(): Steps<ToldShard> {
    const { now, plan, canHandOver } = this;
    const around = { now, plan, timing: TIMING, owner: OWNER, limitMs: LIMIT_MS, canHandOver, random: () => 0.5 };
    const steps = nextSteps(this.situation, around);
    this.situation.begun(steps, now);
    return steps;
  }

  /** The looks come back, with what the shards hold. */
  look(looks: Steps<ToldShard>['looks']): void {
    for (const { shard } of looks) shard.lookedAt = this.now;
    this.situation.tableLooked(looks);
  }

  /** The claims are written, but on hosts that others were quicker to claim. */
  claim(claims: Steps<ToldShard>['claims'], isTaken: (host: string) => boolean = () => true): void {
    const { owner, since, until } = newClaim(OWNER, this.now, LIMIT_MS);
    const claimed = claims.map(({ shard, hosts }) => {
      const targets = hosts.filter(({ host }) => isTaken(host)).map((host) => ({ ...host, shard }));
      for (const { host } of targets) shard.entries.set(host, { ...shard.known(host), claim: { owner, since, until } });
      return { shard, targets, until };
    });
    this.situation.claimed(claims, claimed);
  }

  /** A poll ends: with an answer about all of its hosts, or with a failure. */
  end(batch: Batch<ToldShard>, failure?: { reason: Reason; refusedWith?: number }, tookMs = SECOND): void {
    const [sentAt, endedAt] = [this.now - tookMs, this.now];
    const said = attestation({ sentAt, receivedAt: endedAt });
    const answered = failure === undefined ? batch.targets.map(({ host }) => [host, said] as const) : [];
    const end: PollEnd = { sentAt, endedAt, attestations: new Map(answered), ...(failure && { failure }) };
    this.situation.pollEnded(batch, end);
  }

  /** The outcomes are written. */
  write(writes: Steps<ToldShard>['writes']): void {
    for (const { batch, outcome } of writes) {
      for (const { shard, host } of batch.targets) {
        shard.entries.set(host, withoutClaim(outcome(host, shard.known(host), this.now), OWNER));
        shard.lookedAt = this.now;
      }
      this.situation.written(batch);
    }
  }

  /** Goes on with everything but polls, until nothing else is to be done; the batches that were sent on the way. */
  sent(): Batch<ToldShard>[] {
    const sent: Batch<ToldShard>[] = [];
    for (;;) {
      const steps = this.next();
      sent.push(...steps.sends.map(({ batch }) => batch));
      this.look(steps.looks);
      if (steps.claims.length > 0) this.claim(steps.claims);
      this.write(steps.writes);
      const { looks, claims, writes, sends, drops, decided } = steps;
      if ([looks, claims, writes, sends, drops, decided].every((each) => each.length === 0)) return sent;
    }
  }
}

export function hostsOf({ targets }: Pick<Batch<ToldShard>, 'targets'>): string[] {
  return targets.map(({ host }) => host);
}

export function names(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, i) => `host-${from + i}`);
}
