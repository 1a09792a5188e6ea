import { describe, expect, test } from '@jest/globals';
import { ComputeAttestation } from '../../../lambda/attestation/compute-attestation.ts';
import type { ComputeAttestationCache } from '../../../lambda/attestation/compute-attestation-cache.ts';
import type { HostAttestation } from '../../../lambda/attestation/look-up.ts';
import type { RequiredTrust } from '../../../lambda/trust/reason.ts';
import { TrustedFilter } from '../../../lambda/attestation/trusted-filter.ts';
import type { Invocation } from '../../../lambda/polling/waiter.ts';
import { attestation, failedTry, HOUR, invocation, NOW, SECOND, StoppedClock, TIMING } from '../builders.ts';

/** What is known of each host; and who asked for which. */
class FakeCache {
  readonly asked: { hosts: readonly string[]; asking: Invocation }[] = [];
  readonly #known: Readonly<Record<string, HostAttestation>>;

  constructor(known: Readonly<Record<string, HostAttestation>>) {
    this.#known = known;
  }

  getHostAttestations(hosts: readonly string[], asking: Invocation): Promise<HostAttestation[]> {
    this.asked.push({ hosts, asking });
    return Promise.resolve(hosts.map((host) => this.#known[host] ?? { level: 'unknown', reason: 'pending' }));
  }
}

const KNOWN = {
  good: attestation({ validUntil: NOW + 30 * SECOND }),
  'good for less long': attestation({ validUntil: NOW + 20 * SECOND }),
  'good and late': attestation({ receivedAt: NOW - SECOND, vtime: NOW - HOUR }),
  bad: attestation({ reason: 'untrusted', validUntil: NOW + 10 * SECOND }),
  'bad and late': attestation({ reason: 'untrusted', receivedAt: NOW - SECOND, vtime: NOW - HOUR }),
  unknown: attestation({ reason: 'unknown', validUntil: NOW + SECOND }),
  odd: attestation({ reason: 'bad-reply', validUntil: NOW + SECOND }),
  unreachable: failedTry(),
} as const;

function filterOver(known: Readonly<Record<string, HostAttestation>> = KNOWN) {
  const attestations = new FakeCache(known);
  const cache = attestations as unknown as ComputeAttestationCache;
  const computeAttestation = new ComputeAttestation(cache, TIMING, new StoppedClock());
  return { filter: new TrustedFilter(computeAttestation), attestations, computeAttestation };
}

describe('a workload that asks for no trust', () => {
  test.each([{}, { trust: undefined }])('passes every host with no question to anybody: %j', async (properties) => {
    const { filter, attestations } = filterOver();
    expect(await filter.hostPasses({ nodename: 'bad' }, properties, invocation())).toBe(true);
    expect(await filter.filterAll(['bad', 'nobody'], properties, invocation())).toEqual({
      reasons: undefined,
      passing: undefined,
      validUntil: undefined,
    });
    expect(attestations.asked).toEqual([]);
  });
});

describe('a workload that asks for trust', () => {
  test.each<[string, trusted: boolean, untrusted: boolean]>([
    ['good', true, false],
    ['bad', false, true],
    ['good and late', true, false],
    ['unknown', false, false],
    ['odd', false, false],
    ['unreachable', false, false],
    ['never heard of', false, false],
  ])(
    'finds that a host that is %s passes for trusted: %s, and for untrusted: %s',
    async (nodename, trusted, untrusted) => {
      const { filter } = filterOver();
      for (const [trust, passes] of [
        ['trusted', trusted],
        ['untrusted', untrusted],
      ] as const) {
        expect(await filter.hostPasses({ nodename }, { trust }, invocation())).toBe(passes);
        const { reasons, passing } = await filter.filterAll([nodename], { trust }, invocation());
        expect(reasons?.[0] === passing).toBe(passes);
      }
    },
  );

  test('has all hosts attested in one go, in their order, one verdict each', async () => {
    const { filter, attestations } = filterOver();
    const hosts = ['bad', 'good', 'unreachable', 'good', 'never heard of', 'odd'];
    const { reasons, passing } = await filter.filterAll(hosts, { trust: 'trusted' }, invocation());
    expect(reasons).toEqual(['untrusted', 'trusted', 'unreachable', 'trusted', 'pending', 'bad-reply']);
    expect(passing).toBe('trusted');
    expect(attestations.asked.map((asked) => asked.hosts)).toEqual([hosts]);
  });

  test('passes its own invocation on', async () => {
    const asking = invocation();
    const { filter, attestations } = filterOver();
    await filter.filterAll(['good'], { trust: 'trusted' }, asking);
    await filter.hostPasses({ nodename: 'good' }, { trust: 'trusted' }, asking);
    expect(attestations.asked.map((asked) => asked.asking === asking)).toEqual([true, true]);
  });

  test.each<[string, RequiredTrust, string[], number | undefined]>([
    [
      'the earliest end among the hosts that pass',
      'trusted',
      ['good', 'good for less long', 'bad', 'unknown'],
      NOW + 20 * SECOND,
    ],
    ['that in any order', 'trusted', ['good for less long', 'good'], NOW + 20 * SECOND],
    ['the end of the recheck, for an answer that was late', 'trusted', ['good', 'good and late'], NOW + 4 * SECOND],
    ['the same for untrusted', 'untrusted', ['good', 'bad', 'unknown'], NOW + 10 * SECOND],
    ['the same for a late untrusted', 'untrusted', ['bad', 'bad and late'], NOW + 4 * SECOND],
    ['nothing, where none passes', 'trusted', ['bad', 'unknown', 'unreachable', 'never heard of'], undefined],
    ['nothing, for no hosts', 'trusted', [], undefined],
  ])('gets a verdict valid until %s', async (_, trust, hosts, validUntil) => {
    const { filter } = filterOver();
    expect((await filter.filterAll(hosts, { trust }, invocation())).validUntil).toBe(validUntil);
  });
});

test('a host whose late attestation has served does not pass, and is late', async () => {
  const late = attestation({ receivedAt: NOW - HOUR, vtime: NOW - 2 * HOUR });
  const { filter, computeAttestation } = filterOver({ late });
  expect((await filter.filterAll(['late'], { trust: 'trusted' }, invocation())).reasons).toEqual(['late']);
  expect(await computeAttestation.isTrusted('late', 'trusted', invocation())).toBe(false);
});

test('a host whose attestation ended since it was looked up does not pass', async () => {
  const ended = attestation({ receivedAt: NOW - HOUR, validUntil: NOW - 1 });
  const { filter, computeAttestation } = filterOver({ ended });
  const { reasons, passing, validUntil } = await filter.filterAll(['ended'], { trust: 'trusted' }, invocation());
  expect(passing).toBe('trusted');
  expect(reasons).toEqual(['pending']);
  expect(validUntil).toBeUndefined();
  // One host is the special case of many, up to this last look.
  expect(await filter.hostPasses({ nodename: 'ended' }, { trust: 'trusted' }, invocation())).toBe(false);
  expect(await computeAttestation.isTrusted('ended', 'trusted', invocation())).toBe(false);
});
