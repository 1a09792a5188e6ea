/** Hosts that a request hands over beside those that it waits for, of those that nobody polls: pure functions of what is known. */
import { isClaimedByOther } from '../trust/claim.ts';
import type { Entry } from '../trust/entry.ts';
import { isEnding, isLeftPending } from '../trust/freshness.ts';
import { mostTogether } from './company.ts';
import type { Surroundings } from './next-steps.ts';
import type { StaleHost } from './polls.ts';
import type { Situation } from './situation.ts';
import type { Waiter } from './waiter.ts';
import type { KnownShard } from './wanted-hosts.ts';

/** Most hosts that a request hands over at its end. */
const MOST_LEFT = 1_000;

type Around = Pick<Surroundings, 'now' | 'owner' | 'plan'>;

/** Hosts whose attestation ends soon: handed over, no later request has to wait for them. */
export function endingOf<S extends KnownShard>(
  hostsByShard: ReadonlyMap<S, readonly string[]>,
  situation: Situation<S>,
  around: Around & Pick<Surroundings, 'timing'>,
): StaleHost[] {
  const { now, timing } = around;
  return unpolled(hostsByShard, situation, around, (_host, entry) => isEnding(entry, now, now, timing));
}

/** Hosts that a request, which ends now, leaves pending: handed over, a later request finds them decided. */
export function leftBy<S extends KnownShard>(
  waiter: Waiter,
  hostsByShard: ReadonlyMap<S, readonly string[]>,
  situation: Situation<S>,
  around: Around,
): StaleHost[] {
  const { deadline } = waiter.invocation;
  const left = new Set(waiter.undecided);
  for (const [host, entry] of waiter.decided) if (isLeftPending(entry, deadline.arrivedAt)) left.add(host);
  return unpolled(hostsByShard, situation, around, (host) => left.has(host)).slice(0, MOST_LEFT);
}

/** Such hosts, but those that somebody polls, or that were handed over just now. */
function unpolled<S extends KnownShard>(
  hostsByShard: ReadonlyMap<S, readonly string[]>,
  { busy, polls, wasHandedOver }: Situation<S>,
  { now, owner, plan }: Around,
  isSuch: (host: string, entry: Entry) => boolean,
): StaleHost[] {
  const together = { ...polls.service, requestCount: plan.requestCount };
  const hosts: StaleHost[] = [];
  for (const [shard, names] of hostsByShard) {
    for (const host of names) {
      const entry = shard.known(host, now);
      if (busy.has(host) || !isSuch(host, entry) || wasHandedOver(host, entry, now)) continue;
      if (isClaimedByOther(entry.claim, owner, now)) continue;
      hosts.push({ host, most: mostTogether(host, entry, now, together) });
    }
  }
  return hosts;
}
