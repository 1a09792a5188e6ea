/** What a Keylime verifier hints at: that an agent failed. */
import { beforeEach, describe, expect, test } from '@jest/globals';
import { Attester } from '../../fakes/attester.ts';
import { FilterEnvironment, type FilterEnvironmentOptions } from '../../fakes/filter-environment.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { Verifier } from '../../fakes/verifier.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';
import { SECOND } from '../builders.ts';

const HOSTS = Array.from({ length: 30 }, (_, i) => `compute-${i}`);

let clock: VirtualClock;
let dynamodb: MemoryDynamoDb;
let verifier: Verifier;

beforeEach(() => {
  clock = new VirtualClock();
  dynamodb = new MemoryDynamoDb(clock);
  verifier = new Verifier(clock);
});

function environment(options: Partial<FilterEnvironmentOptions> = {}): FilterEnvironment {
  return new FilterEnvironment({ clock, dynamodb, connection: new Attester(clock), verifier, ...options });
}

function failing(id: string): void {
  verifier.record = (other) => (other === id ? { operational_state: 9 } : {});
}

const hint = (agents: readonly string[]) => clock.run(environment().refresher().takeHint({ agents, at: clock.now() }));
const getsOf = (id: string): number => verifier.gets.filter(({ path }) => path.endsWith(`/${id}`)).length;

describe('a hint', () => {
  test('has its host attested at once, and refused to everybody within five seconds', async () => {
    const asking = environment();
    await clock.run(asking.ask(HOSTS));
    await clock.advance(20 * SECOND);
    failing('compute-3');
    const gets = verifier.gets.length;
    expect(await hint(['compute-3'])).toMatchObject({ kind: 'hint', hosts: 1, renewed: 1, due: 0 });
    expect(verifier.gets.length).toBe(gets + 1);
    await clock.advance(5 * SECOND);
    const { passed, reasons } = await clock.run(asking.ask(HOSTS));
    expect(passed).toHaveLength(29);
    expect(reasons.get('compute-3')).toBe('untrusted');
  });

  test('is told to the event bus', async () => {
    const told: unknown[] = [];
    const bus: NonNullable<FilterEnvironmentOptions['bus']> = {
      send: (announcements) => {
        told.push(...announcements);
        return Promise.resolve([...announcements]);
      },
    };
    await clock.run(environment({ bus }).ask(HOSTS));
    await clock.advance(20 * SECOND);
    failing('compute-3');
    await clock.run(
      environment({ bus })
        .refresher()
        .takeHint({ agents: ['compute-3'], at: clock.now() }),
    );
    expect(told).toMatchObject([{ host: 'compute-3', announcement: { from: 'trusted', to: 'untrusted' } }]);
  });

  test('that comes before the verifier itself says so has its host asked about again', async () => {
    await clock.run(environment().ask(HOSTS));
    await clock.advance(20 * SECOND);
    const hintedAt = Math.floor(clock.now() / 1000) - 1;
    const stale = { last_received_quote: hintedAt, last_successful_attestation: hintedAt };
    verifier.record = (id) => (id === 'compute-3' ? stale : {});
    const taken = hint(['compute-3']);
    await clock.advance(SECOND);
    failing('compute-3');
    await taken;
    expect(getsOf('compute-3')).toBe(3);
    const { reasons } = await clock.run(environment().ask(['compute-3']));
    expect(reasons.get('compute-3')).toBe('untrusted');
  });

  test('about a host that is good all the same is no verdict', async () => {
    await clock.run(environment().ask(HOSTS));
    await clock.advance(20 * SECOND);
    await hint(['compute-3']);
    expect(getsOf('compute-3')).toBe(2);
    expect((await clock.run(environment().ask(HOSTS))).passed).toEqual(HOSTS);
  });

  test('of which there are many has its host asked about no more than once within the recheck', async () => {
    await clock.run(environment().ask(HOSTS));
    await clock.advance(20 * SECOND);
    const hintedAt = Math.floor(clock.now() / 1000) - 1;
    const stale = { last_received_quote: hintedAt, last_successful_attestation: hintedAt };
    verifier.record = (id) => (id === 'compute-3' ? stale : {});
    const flood = Array.from({ length: 50 }, () =>
      environment()
        .refresher()
        .takeHint({ agents: ['compute-3'], at: clock.now() }),
    );
    await clock.run(Promise.all(flood));
    const sent = verifier.gets.filter(({ path }) => path.endsWith('/compute-3')).map(({ sentAt }) => sentAt);
    const gaps = sent.slice(1).map((at, i) => at - (sent[i] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(5 * SECOND);
    expect(sent.length).toBeLessThan(8);
  });

  test('within the recheck of an attestation waits for its end', async () => {
    await clock.run(environment().ask(HOSTS));
    await clock.advance(SECOND);
    failing('compute-3');
    const before = clock.now();
    await hint(['compute-3']);
    expect(clock.now() - before).toBeGreaterThanOrEqual(4 * SECOND);
    expect((await clock.run(environment().ask(['compute-3']))).reasons.get('compute-3')).toBe('untrusted');
  });

  test('that comes late, when its host was asked about since, asks nobody', async () => {
    await clock.run(environment().ask(HOSTS));
    const at = clock.now() - SECOND;
    const gets = verifier.gets.length;
    await clock.run(
      environment()
        .refresher()
        .takeHint({ agents: ['compute-3'], at }),
    );
    expect(verifier.gets.length).toBe(gets);
  });

  test('that waited for longer than attestations hold does nothing, and is counted', async () => {
    await clock.run(environment().ask(HOSTS));
    const late = environment();
    const at = clock.now() - 60 * SECOND;
    const reads = dynamodb.calls.length;
    expect(await clock.run(late.refresher().takeHint({ agents: ['compute-3'], at }))).toMatchObject({ hosts: 0 });
    expect(dynamodb.calls.length).toBe(reads);
    expect(late.counts.take().values.get('HandOversLate')).toBe(1);
  });

  test('about an agent of no host that anybody asks about asks nobody', async () => {
    await clock.run(environment().ask(HOSTS));
    const gets = verifier.gets.length;
    expect(await hint(['stranger'])).toMatchObject({ hosts: 0, attested: 0, due: 0 });
    expect(verifier.gets.length).toBe(gets);
  });
});
