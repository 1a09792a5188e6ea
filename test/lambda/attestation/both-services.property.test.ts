/** OpenAttestation and Keylime, told the same of every host: who passes does not depend on which of them is asked. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Attester } from '../../fakes/attester.ts';
import { FilterEnvironment } from '../../fakes/filter-environment.ts';
import { MemoryDynamoDb } from '../../fakes/memory-dynamodb.ts';
import { Verifier } from '../../fakes/verifier.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';

/** What is true of a host at a moment, and how each service says it; `age` is in seconds. */
type Truth =
  | { readonly is: 'trusted' | 'untrusted' | 'pending' | 'timeout' | 'unknown' | 'odd' }
  | { readonly is: 'old'; readonly age: number };

const SECOND = 1_000;
const HOSTS = Array.from({ length: 12 }, (_, i) => `compute-${i}`);

const truths = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Truth>({ is: 'trusted' }) },
  fc.constantFrom<Truth>({ is: 'untrusted' }, { is: 'pending' }, { is: 'timeout' }, { is: 'unknown' }, { is: 'odd' }),
  fc.integer({ min: 0, max: 50 }).map((age): Truth => ({ is: 'old', age })),
);

const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('change' as const), host: fc.nat(11), truth: truths }),
    fc.record({ kind: fc.constant('wait' as const), seconds: fc.integer({ min: 1, max: 70 }) }),
    fc.record({
      kind: fc.constant('ask' as const),
      hosts: fc.subarray(HOSTS, { minLength: 1 }),
      trust: fc.constantFrom('trusted' as const, 'untrusted' as const),
    }),
  ),
  { maxLength: 14 },
);

/** Both services, and what both say of the hosts. */
class World {
  readonly clock = new VirtualClock();
  readonly truths = new Map<string, Truth>();
  readonly oat: FilterEnvironment;
  readonly keylime: FilterEnvironment;

  constructor() {
    const { clock } = this;
    const attester = new Attester(clock);
    attester.latencyMs = 0;
    attester.reply = (hosts) => ({ hosts: hosts.map((host) => this.#entryOf(host)) });
    const verifier = new Verifier(clock);
    verifier.latencyMs = 0;
    verifier.record = (host) => this.#recordOf(host);
    this.oat = new FilterEnvironment({ clock, connection: attester, dynamodb: new MemoryDynamoDb(clock) });
    this.keylime = new FilterEnvironment({
      clock,
      connection: attester,
      verifier,
      dynamodb: new MemoryDynamoDb(clock),
    });
  }

  #truthOf(host: string): Truth {
    return this.truths.get(host) ?? { is: 'trusted' };
  }

  #entryOf(host: string): unknown {
    const truth = this.#truthOf(host);
    const second = Math.floor(this.clock.now() / SECOND) * SECOND;
    if (truth.is === 'old') return { host_name: host, trust_lvl: 'trusted', vtime: second - truth.age * SECOND };
    return { host_name: host, trust_lvl: truth.is === 'odd' ? 'TRUSTED' : truth.is, vtime: second };
  }

  #recordOf(host: string): Record<string, unknown> | undefined {
    const truth = this.#truthOf(host);
    switch (truth.is) {
      case 'untrusted':
        return { operational_state: 9 };
      case 'pending':
        return { operational_state: 2 };
      case 'timeout':
        return { operational_state: 7, last_event_id: 'internal.verifier.not_reachable' };
      case 'unknown':
        return undefined;
      case 'odd':
        return { operational_state: 'good' };
      case 'old': {
        const at = Math.floor(this.clock.now() / SECOND) - truth.age;
        return { last_received_quote: at, last_successful_attestation: at };
      }
      case 'trusted':
        return {};
    }
  }
}

test('the filter passes the same hosts with either service, whatever happens to them', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (story) => {
      const world = new World();
      for (const step of story) {
        if (step.kind === 'change') world.truths.set(HOSTS[step.host] ?? '', step.truth);
        else if (step.kind === 'wait') await world.clock.advance(step.seconds * SECOND);
        else {
          const [byOat, byKeylime] = await world.clock.run(
            Promise.all([world.oat.ask(step.hosts, step.trust), world.keylime.ask(step.hosts, step.trust)]),
          );
          expect(byKeylime.passed).toEqual(byOat.passed);
        }
      }
    }),
    { numRuns: 300 },
  );
});
