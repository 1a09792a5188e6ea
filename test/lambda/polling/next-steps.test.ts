import { describe, expect, test } from '@jest/globals';
import type { Steps } from '../../../lambda/polling/steps.ts';
import { endingOf, leftBy } from '../../../lambda/polling/unpolled.ts';
import type { Entry } from '../../../lambda/trust/entry.ts';
import type { Reason } from '../../../lambda/trust/reason.ts';
import { attestation, entry, failedTry, HOUR, NOW, SECOND, TIMING } from '../builders.ts';
import { hostsOf, LIMIT_MS, names, OWNER, Story, type ToldShard } from './story.ts';

const NO_ANSWER = { reason: 'pending' } as const;
const refusedWith = (status: number) => ({ reason: 'unreachable' as Reason, refusedWith: status });
const sizes = (batches: readonly { readonly targets: readonly unknown[] }[]): number[] =>
  batches.map(({ targets }) => targets.length);

const handedOver = (story: Story): string[] => story.next().handOver.map(({ host }) => host);

/** What is to be done, by kind, with hosts in place of objects; what is not there is left out. */
function told(steps: Steps<ToldShard>): Record<string, unknown> {
  const kinds = {
    looks: steps.looks.map(({ shard, consistency }) => `${consistency} ${shard.index}`),
    decided: steps.decided.map(({ host }) => host),
    claims: steps.claims.flatMap(({ hosts }) => hosts.map(({ host }) => host)),
    handOver: steps.handOver.map(({ host }) => host),
    sends: steps.sends.map(({ batch }) => hostsOf(batch)),
    aborts: steps.aborts.map(hostsOf),
    drops: steps.drops.map(({ batch }) => hostsOf(batch)),
    writes: steps.writes.map(({ batch }) => hostsOf(batch)),
  };
  return Object.fromEntries(Object.entries(kinds).filter(([, each]) => each.length > 0));
}

describe('hosts of which nothing is known', () => {
  test('are looked at, claimed, polled, written and decided, in this order and each once', () => {
    const story = new Story({ shards: 2 });
    const { waiter } = story.want(['host-0', 'host-1', 'host-2']);
    const looking = story.next();
    expect(told(looking)).toEqual({ looks: ['eventual 0', 'eventual 1'] });
    expect(told(story.next())).toEqual({});
    story.look(looking.looks);
    const claiming = story.next();
    expect(told(claiming)).toEqual({ claims: ['host-0', 'host-2', 'host-1'] });
    expect(told(story.next())).toEqual({});
    story.claim(claiming.claims);
    const polling = story.next();
    expect(told(polling)).toEqual({ sends: [['host-0', 'host-2', 'host-1']] });
    expect(polling.sends[0]?.limitMs).toBe(LIMIT_MS);
    expect(told(story.next())).toEqual({});
    story.now += SECOND;
    story.end(polling.sends[0]!.batch);
    const writing = story.next();
    expect(told(writing)).toEqual({ writes: [['host-0', 'host-2', 'host-1']] });
    expect(waiter.undecided.size).toBe(3);
    story.write(writing.writes);
    expect(told(story.next())).toEqual({ decided: ['host-0', 'host-2', 'host-1'] });
    expect(waiter.polled.size).toBe(3);
    expect(told(story.next())).toEqual({});
    expect(waiter.invocation.polls).toBe(1);
  });

  test('are not claimed before all shards of their request were looked at, so that batches are full', () => {
    const story = new Story({ shards: 2 });
    story.shards[1]!.lookedAt = story.now;
    story.want(names(4));
    const { looks } = story.next();
    expect(looks).toHaveLength(1);
    // Another request, whose shard was looked at, must not wait for looks of later ones for ever.
    expect(told(story.next())).toEqual({});
    story.look(looks);
    expect(story.next().claims.flatMap(({ hosts }) => hosts)).toHaveLength(4);
  });

  test('are claimed once, also while their shard is looked at again', () => {
    const story = new Story();
    const [shard] = story.shards;
    story.want(['host-0', 'host-1']);
    story.look(story.next().looks);
    expect(told(story.next())).toEqual({ claims: ['host-0', 'host-1'] });
    story.now += 6 * SECOND;
    expect(told(story.next())).toEqual({ looks: ['eventual 0'] });
    expect(told(story.next())).toEqual({});
    expect(story.situation.looking.has(shard!)).toBe(true);
  });

  test('are not kept from being claimed by looks that began after their own', () => {
    const story = new Story({ shards: 2 });
    story.want(['host-0']);
    const first = story.next();
    story.want(['host-1']);
    expect(told(story.next())).toEqual({ looks: ['eventual 1'] });
    story.look(first.looks);
    expect(told(story.next())).toEqual({ claims: ['host-0'] });
  });
});

test('a host that is wanted in two shards, as while the layout of the table changes, is claimed in one of them', () => {
  const story = new Story({ shards: 2 });
  const [one, other] = story.shards;
  const wanted = new Map([[one!, ['host-1']]]);
  story.situation.want(wanted, story.want([]).waiter);
  story.situation.want(new Map([[other!, ['host-1', 'host-2']]]), story.want([]).waiter);
  story.look(story.next().looks);
  const { claims } = story.next();
  expect(claims.flatMap(({ hosts }) => hosts.map(({ host }) => host))).toEqual(['host-1', 'host-2']);
  expect(told(story.next())).toEqual({});
});

describe('newcomers that a shard has no room for', () => {
  const unknown = { attestation: attestation({ level: 'unknown', reason: 'unknown' }) };
  const claimed = { claim: { owner: 'another', since: NOW, until: NOW + 20 * SECOND } };

  /** A shard with so many newcomers of which something is known. */
  function taken(count: number, known: Partial<Entry> = unknown): Story {
    const story = new Story({ requestCount: 100, parallelPolls: 10 });
    for (const host of names(count, 1_000)) story.shards[0]!.entries.set(host, entry(known));
    return story;
  }
  const hostsOfClaims = ({ claims }: Pick<Steps<ToldShard>, 'claims'>): string[] =>
    claims.flatMap(({ hosts }) => hosts.map(({ host }) => host));

  test('are left out, and their request waits for the others alone', () => {
    const story = taken(190);
    const { waiter } = story.want(names(20));
    story.look(story.next().looks);
    const steps = story.next();
    expect(hostsOfClaims(steps)).toEqual(names(10));
    story.claim(steps.claims);
    for (const batch of story.sent()) story.end(batch, { reason: 'unreachable' });
    expect(waiter.leftOut.size).toBe(0);
    expect(story.sent()).toEqual([]);
    expect([...waiter.leftOut]).toEqual(names(10, 10));
    expect(waiter.undecided.size).toBe(0);
  });

  test('wait for room where polls are under way that may make some', () => {
    const story = taken(190, claimed);
    story.want(names(20));
    story.look(story.next().looks);
    const steps = story.next();
    expect(hostsOfClaims(steps)).toEqual(names(10));
    expect(steps).toMatchObject({ leftOut: [], isWaiting: true });
    story.claim(steps.claims);
    for (const batch of story.sent()) story.end(batch);
    story.write(story.next().writes);
    story.situation.polls.ended = [];
    for (const host of names(190, 1_000)) story.shards[0]!.entries.set(host, entry({ ...unknown, definite: true }));
    story.situation.wanted.changed(story.shards[0]!);
    expect(hostsOfClaims(story.next())).toEqual(names(10, 10));
  });

  test('are not handed over either, and left out at once', () => {
    const story = taken(190, claimed);
    story.canHandOver = true;
    story.want(names(20), { limitMs: 4 * SECOND });
    story.look(story.next().looks);
    const { claims, handOver, leftOut } = story.next();
    expect(claims).toEqual([]);
    expect(handOver.map(({ host }) => host)).toEqual(names(10));
    expect(leftOut.map(({ host }) => host)).toEqual(names(10, 10));
  });

  test('are no hosts that were ever attested, nor those that others poll, which are waited for', () => {
    const story = taken(200);
    for (const host of names(5)) story.shards[0]!.entries.set(host, entry({ definite: true }));
    story.shards[0]!.entries.set('host-1000', entry(claimed));
    story.want([...names(10), 'host-1000']);
    story.look(story.next().looks);
    const steps = story.next();
    expect(hostsOfClaims(steps)).toEqual(names(5));
    expect(steps.leftOut).toEqual([]);
    expect(steps.isWaiting).toBe(true);
  });

  test('are not those that this environment claims, queues or polls itself', () => {
    const story = taken(0);
    const { waiter } = story.want(names(200));
    expect(story.sent()).toHaveLength(2);
    story.situation.wanted.changed(story.shards[0]!);
    expect(story.next().leftOut).toEqual([]);
    story.want(names(1, 500));
    const steps = story.next();
    expect([steps.claims, steps.leftOut]).toEqual([[], []]);
    expect(waiter.leftOut.size).toBe(0);
  });
});

describe('a host that somebody else has claimed', () => {
  const claimedByOther = (story: Story) => ({ owner: 'another', since: story.now, until: story.now + 22 * SECOND });

  function waiting(): Story {
    const story = new Story();
    story.shards[0]!.entries.set('host-0', { ...story.shards[0]!.known('x'), claim: claimedByOther(story) });
    story.want(['host-0']);
    story.look(story.next().looks);
    return story;
  }

  test('is waited for: looked at again after a while, strongly, and ever more seldom', () => {
    const story = waiting();
    const delays: (number | undefined)[] = [];
    for (let i = 0; i < 20; i++) {
      const steps = story.next();
      expect(told(steps)).toEqual({});
      delays.push(steps.rereadInMs);
      story.situation.reread = 'due';
      const again = story.next();
      expect(told(again)).toEqual({ looks: ['strong 0'] });
      story.look(again.looks);
    }
    expect(delays[0]).toBeCloseTo(200 * 0.875);
    expect(delays.at(-1)).toBeCloseTo(1_000 * 0.875);
    expect(delays).toEqual(delays.toSorted((a, b) => a! - b!));
  });

  test('is looked at again also where it was found in the moment in which another look was due', () => {
    const story = waiting();
    story.situation.reread = 'due';
    const steps = story.next();
    expect(told(steps)).toEqual({});
    expect(steps.rereadInMs).toBeDefined();
  });

  test('is taken over when the claim has ended', () => {
    const story = waiting();
    story.next();
    story.now += 22 * SECOND;
    story.situation.reread = 'due';
    story.look(story.next().looks);
    expect(told(story.next())).toEqual({ claims: ['host-0'] });
  });

  test('is free again where the claim on it was lost in a race', () => {
    const story = new Story();
    story.want(['host-0', 'host-1']);
    story.look(story.next().looks);
    const { claims } = story.next();
    story.shards[0]!.entries.set('host-1', { ...story.shards[0]!.known('x'), claim: claimedByOther(story) });
    story.claim(claims, (host) => host !== 'host-1');
    expect(told(story.next())).toEqual({ sends: [['host-0']] });
    expect([...story.situation.busy]).toEqual(['host-0']);
  });

  test('is left to it by whoever refreshes', () => {
    const story = new Story();
    story.shards[0]!.entries.set('host-0', { ...story.shards[0]!.known('x'), claim: claimedByOther(story) });
    const { waiter } = story.want(['host-0', 'host-1'], { refresh: {} });
    story.look(story.next().looks);
    expect(told(story.next())).toEqual({ decided: ['host-0'], claims: ['host-1'] });
    expect(waiter.undecided).toEqual(new Set(['host-1']));
  });
});

describe('what nobody waits for any more', () => {
  function polling(): { story: Story; leave: () => void; steps: Steps<ToldShard> } {
    const story = new Story({ parallelPolls: 1 });
    const { leave } = story.want(names(20));
    story.look(story.next().looks);
    story.claim(story.next().claims);
    const steps = story.next();
    expect(sizes(steps.sends.map(({ batch }) => batch))).toEqual([10]);
    return { story, leave, steps };
  }

  test('is aborted where it is polled, once, and leaves the queue with its claim ended', () => {
    const { story, leave, steps } = polling();
    leave();
    const ending = story.next();
    expect(ending.aborts).toEqual([steps.sends[0]!.batch]);
    expect(ending.drops.map(({ batch, isWanted }) => [hostsOf(batch), isWanted])).toEqual([[names(10, 10), false]]);
    const { writes } = story.next();
    expect(writes.map(({ batch }) => hostsOf(batch))).toEqual([names(10, 10)]);
    story.write(writes);
    for (const host of names(10, 10)) expect(story.shards[0]!.known(host).claim).toBeUndefined();
    expect(story.situation.busy).toEqual(new Set(names(10)));
  });

  test('goes on as long as anybody waits for one of its hosts', () => {
    const { story, leave } = polling();
    story.want(['host-3', 'host-13']);
    leave();
    expect(told(story.next())).toEqual({});
  });
});

test('a batch whose claim would end before its poll is dropped, and its hosts are claimed anew', () => {
  const story = new Story({ parallelPolls: 1 });
  story.want(names(20));
  const [first] = story.sent();
  story.now += 12 * SECOND;
  const steps = story.next();
  expect(told(steps)).toEqual({ drops: [names(10, 10)], looks: ['eventual 0'] });
  story.look(steps.looks);
  story.end(first!);
  const again = story.sent();
  expect(again.map(hostsOf)).toEqual([names(10, 10)]);
});

test('claims end with the batch that is dropped, those on hosts that nobody waits for any more, too', () => {
  const story = new Story({ requestCount: 2, parallelPolls: 1 });
  story.want(names(3));
  const other = story.want(['host-3']);
  const [first] = story.sent();
  other.leave();
  story.now += 12 * SECOND;
  story.end(first!, undefined, 12 * SECOND);
  expect(story.sent().map(hostsOf)).toEqual([['host-2']]);
  expect(story.shards[0]!.known('host-3').claim).toBeUndefined();
});

test('hosts that the table takes no claim of are polled all the same, one poll at a time', () => {
  const story = new Story();
  story.want(names(20));
  story.look(story.next().looks);
  const { claims } = story.next();
  story.situation.claimed(
    claims,
    claims.map(({ shard, hosts }) => ({ shard, targets: hosts.map((host) => ({ ...host, shard })), until: undefined })),
  );
  const { sends } = story.next();
  expect(sizes(sends.map(({ batch }) => batch))).toEqual([10]);
  story.end(sends[0]!.batch);
  expect(sizes(story.sent())).toEqual([10]);
});

test('hosts that are polled apart leave a fifth of the polls at once to all others, whoever came first', () => {
  const story = new Story({ parallelPolls: 5 });
  for (const host of names(30)) {
    story.shards[0]!.entries.set(host, { definite: false, asked: 0, company: { most: 1, at: story.now } });
  }
  story.want(names(30));
  expect(sizes(story.sent())).toEqual([1, 1, 1, 1]);
  story.want(names(10, 100));
  expect(sizes(story.sent())).toEqual([10]);
});

describe('a request that has less time than a poll may take', () => {
  function short(): { story: Story; steps: Steps<ToldShard> } {
    const story = new Story();
    story.canHandOver = true;
    story.want(names(2), { limitMs: 4 * SECOND });
    story.look(story.next().looks);
    return { story, steps: story.next() };
  }

  test('has its hosts handed over, claims nothing, and reads on', () => {
    const { story, steps } = short();
    expect(told(steps)).toEqual({ handOver: names(2) });
    expect(steps.rereadInMs).toBeDefined();
    expect(told(story.next())).toEqual({});
  });

  test('has each handed over once in twenty seconds, whoever asks', () => {
    const { story } = short();
    story.now += 19_999;
    story.want(names(3), { limitMs: 4 * SECOND });
    story.look(story.next().looks);
    expect(handedOver(story)).toEqual(['host-2']);
    story.now += 1;
    story.want(names(3), { limitMs: 4 * SECOND });
    expect(handedOver(story)).toEqual(names(2));
  });

  test('has one handed over again of which something has become known that does not decide it', () => {
    const { story } = short();
    story.now += 3 * SECOND;
    const late = attestation({
      sentAt: story.now - 2 * SECOND,
      receivedAt: story.now - SECOND,
      vtime: story.now - HOUR,
    });
    story.shards[0]!.entries.set('host-1', { definite: true, asked: 0, attestation: late });
    story.now += 8 * SECOND;
    story.want(names(2), { limitMs: 4 * SECOND });
    story.look(story.next().looks);
    expect(handedOver(story)).toEqual(['host-1']);
  });

  test('polls for itself where nobody takes them', () => {
    const { story } = short();
    story.situation.notHandedOver(names(2));
    story.canHandOver = false;
    expect(told(story.next())).toEqual({ claims: names(2) });
  });

  test('has them polled here where a request that waits for them, too, has the time', () => {
    const { story } = short();
    story.want(['host-1']);
    expect(told(story.next())).toEqual({ claims: ['host-1'] });
  });
});

describe('what a request leaves at its end', () => {
  test('is what nobody decided, or what its own poll left pending, and nobody polls', () => {
    const story = new Story();
    const [shard] = story.shards;
    const { waiter } = story.want(names(6));
    waiter.decide('host-0', { definite: true, asked: 0, attestation: attestation() }, true);
    const pending = failedTry({ reason: 'pending', endedAt: story.now });
    waiter.decide('host-1', { definite: false, asked: 0, lastTry: pending }, true);
    waiter.decide('host-2', { definite: false, asked: 0, lastTry: failedTry() }, true);
    const claim = { owner: 'another', since: story.now, until: story.now + SECOND };
    shard!.entries.set('host-3', { definite: false, asked: 0, claim });
    shard!.entries.set('host-4', { definite: false, asked: 0, claim: { ...claim, owner: OWNER } });
    story.situation.busy.add('host-5');
    const around = { now: story.now, owner: OWNER, plan: story.plan };
    const byShard = story.byShard(names(6));
    const left = leftBy(waiter, byShard, story.situation, around);
    expect(left.map(({ host }) => host)).toEqual(['host-1', 'host-4']);
    story.situation.handedOver(left.slice(0, 1), story.now);
    expect(leftBy(waiter, byShard, story.situation, around)).toEqual(left.slice(1));
  });
});

describe('hosts whose attestation ends soon', () => {
  test('are found for a hand-over, but those that somebody polls or that were handed over just now', () => {
    const story = new Story();
    const byShard = story.byShard(names(5));
    const ending = attestation({
      sentAt: NOW - 50 * SECOND,
      receivedAt: NOW - 49 * SECOND,
      validUntil: NOW + 8 * SECOND,
    });
    const claim = { owner: 'another', since: NOW, until: NOW + 20 * SECOND };
    for (const host of names(5)) story.shards[0]!.entries.set(host, entry({ attestation: ending }));
    story.shards[0]!.entries.set('host-1', entry({ attestation: attestation() }));
    story.shards[0]!.entries.set('host-2', entry({ attestation: ending, claim }));
    story.situation.busy.add('host-3');
    const around = { now: NOW, owner: OWNER, plan: story.plan, timing: TIMING };
    const found = endingOf(byShard, story.situation, around);
    expect(found).toEqual([
      { host: 'host-0', most: 10 },
      { host: 'host-4', most: 10 },
    ]);
    story.situation.handedOver(found.slice(0, 1), NOW);
    expect(endingOf(byShard, story.situation, around)).toEqual(found.slice(1));
  });

  test('are polled by who refreshes, and by no request', () => {
    for (const refresh of [{}, undefined]) {
      const story = new Story();
      const ending = attestation({
        sentAt: NOW - 50 * SECOND,
        receivedAt: NOW - 49 * SECOND,
        validUntil: NOW + 8 * SECOND,
      });
      story.shards[0]!.entries.set('host-0', entry({ attestation: ending, definite: true }));
      const { waiter } = story.want(['host-0'], refresh === undefined ? {} : { refresh });
      const sent = story.sent();
      expect(sent.map(hostsOf)).toEqual(refresh === undefined ? [] : [['host-0']]);
      for (const batch of sent) story.end(batch);
      expect(story.sent()).toEqual([]);
      expect(waiter.undecided.size).toBe(0);
    }
  });
});

describe('a batch to which nobody was answered', () => {
  /** A hundred hosts were polled in vain, as one batch, and are asked about again after the pause. */
  function doubtful(): Story {
    const story = new Story({ requestCount: 100, parallelPolls: 10 });
    story.want(names(100));
    const [batch] = story.sent();
    story.now += LIMIT_MS;
    story.end(batch!, NO_ANSWER, LIMIT_MS);
    expect(story.sent()).toEqual([]);
    story.now += 6 * SECOND;
    story.want(names(100));
    return story;
  }

  test('is claimed whole, but only three of its hosts are polled, each alone', () => {
    const story = doubtful();
    expect(sizes(story.sent())).toEqual([1, 1, 1]);
    expect(story.situation.busy.size).toBe(100);
  });

  test('is polled in parts, on the same claims, as soon as one of them is answered about', () => {
    const story = doubtful();
    const [probe] = story.sent();
    story.now += SECOND;
    story.end(probe!);
    // A fifth of the polls is left to others, and two probes go on.
    expect(sizes(story.sent())).toEqual([10, 10, 10, 10, 10, 10]);
  });

  test('leaves room for others also when many wait for an answer at once', () => {
    const story = new Story({ requestCount: 10, parallelPolls: 10 });
    const company = { most: 5, at: story.now - 60 * SECOND, before: 10 };
    for (const host of names(100)) story.shards[0]!.entries.set(host, { definite: false, asked: 0, company });
    story.want(names(100));
    const probes = story.sent();
    expect(sizes(probes)).toEqual([1, 1, 1]);
    story.now += SECOND;
    for (const probe of probes) story.end(probe);
    expect(sizes(story.sent())).toEqual([5, 5, 5, 5, 5, 5, 5, 5]);
    story.want(['new-200']);
    expect(story.sent().map(hostsOf)).toEqual([['new-200']]);
  });

  test('shares the outcome of the probes where nobody is answered: the service hangs', () => {
    const story = doubtful();
    const probes = story.sent();
    story.now += LIMIT_MS;
    for (const probe of probes) story.end(probe, NO_ANSWER, LIMIT_MS);
    expect(story.sent()).toEqual([]);
    for (const host of names(100)) {
      const { claim, company, lastTry } = story.shards[0]!.known(host);
      expect({ claim, company: company?.most, pauseMs: lastTry?.pauseMs }).toEqual({
        claim: undefined,
        company: 100,
        pauseMs: 10 * SECOND,
      });
    }
  });

  test('is polled in full again when a service that hung is back', () => {
    const story = doubtful();
    const probes = story.sent();
    story.now += LIMIT_MS;
    for (const probe of probes) story.end(probe, NO_ANSWER, LIMIT_MS);
    story.sent();
    story.now += 11 * SECOND;
    story.want(names(100));
    const [probe] = story.sent();
    story.now += SECOND;
    story.end(probe!);
    expect(sizes(story.sent())).toEqual([97]);
  });

  test.each([
    ['refused', { reason: 'refused', refusedWith: 500 }],
    ['answered with a status that says nothing of hosts', { reason: 'unreachable' }],
    ['not answered', NO_ANSWER],
  ] as const)('is scattered by no probes that are %s', (_, failure) => {
    const story = doubtful();
    const probes = story.sent();
    story.now += LIMIT_MS;
    for (const probe of probes) story.end(probe, failure, LIMIT_MS);
    story.sent();
    const probed = new Set(probes.flatMap(hostsOf));
    for (const host of names(100).filter((each) => !probed.has(each))) {
      expect(story.shards[0]!.known(host)).toMatchObject({ company: { most: 100 }, lastTry: { reason: 'pending' } });
    }
  });

  test('gets the outcome of probes also where its request left while they were polled', () => {
    const story = doubtful();
    const { leave } = story.want(names(100));
    const probes = story.sent();
    story.now += 15 * SECOND;
    story.situation.wanted.remove(
      story.byShard(names(100)),
      [...story.situation.wanted.waitersOf([{ shard: story.shards[0]!, host: 'host-1' }])][0]!,
    );
    leave();
    const steps = story.next();
    expect(steps.aborts).toHaveLength(3);
    expect(steps.drops).toEqual([]);
    for (const probe of probes) story.end(probe, NO_ANSWER, 15 * SECOND);
    story.sent();
    for (const host of names(100)) {
      const { claim, company } = story.shards[0]!.known(host);
      expect({ claim, company: company?.most }).toEqual({ claim: undefined, company: 100 });
    }
    expect(story.situation.busy.size).toBe(0);
  });

  test('has its probes polled on for whoever still waits for it', () => {
    const story = doubtful();
    const probes = story.sent();
    const rest = names(100).filter((host) => !probes.flatMap(hostsOf).includes(host));
    story.want(rest.slice(0, 1));
    for (const waiter of story.situation.wanted.waitersOf(probes[0]!.targets)) {
      story.situation.wanted.remove(story.byShard(names(100)), waiter);
    }
    expect(told(story.next())).toEqual({});
    story.now += SECOND;
    story.end(probes[0]!);
    expect(story.sent().flatMap(hostsOf)).toContain(rest[0]);
  });

  test('has the outcome of those probes that had the time, though the last had not', () => {
    const story = doubtful();
    const [first, second, last] = story.sent();
    story.now += LIMIT_MS;
    story.end(first!, NO_ANSWER, LIMIT_MS);
    story.end(second!, NO_ANSWER, LIMIT_MS);
    story.end(last!, NO_ANSWER, SECOND);
    story.sent();
    expect(story.shards[0]!.known('host-99').company).toMatchObject({ most: 100, before: 100 });
  });

  test('makes a new host wait for nothing', () => {
    const story = doubtful();
    story.want(['new-100']);
    expect(sizes(story.sent())).toEqual([1, 1, 1, 1]);
  });

  test('is not scattered by a poll that was cut short', () => {
    const story = new Story({ requestCount: 100 });
    const { leave } = story.want(names(100));
    const [batch] = story.sent();
    leave();
    expect(story.next().aborts).toEqual([batch]);
    story.now += 500;
    story.end(batch!, NO_ANSWER, 500);
    story.sent();
    expect(story.shards[0]!.known('host-0').company).toBeUndefined();
    expect(story.shards[0]!.known('host-0').lastTry).toMatchObject({ reason: 'pending' });
  });

  test('waits for no probe that is not sent: whoever claimed those hosts first may not tell', () => {
    const story = doubtful();
    story.look(story.next().looks);
    const { claims } = story.next();
    const probes = claims.flatMap(({ hosts }) =>
      hosts.filter(({ doubt }) => doubt === 'probe').map(({ host }) => host),
    );
    story.claim(claims, (host) => !probes.includes(host));
    for (const host of probes) {
      const claim = { owner: 'another', since: story.now, until: story.now + 22 * SECOND };
      story.shards[0]!.entries.set(host, { ...story.shards[0]!.known(host), claim });
    }
    expect(sizes(story.sent())).toEqual([1, 1, 1]);
  });
});

describe('a batch that is refused', () => {
  function refused(status = 500): Story {
    const story = new Story({ requestCount: 40, parallelPolls: 3 });
    story.want(names(40));
    const [batch] = story.sent();
    story.now += SECOND;
    story.end(batch!, refusedWith(status));
    return story;
  }

  test('is polled in halves, and these in turn, until the host that is refused stands alone', () => {
    const story = refused();
    const polled: number[] = [];
    for (let sent = story.sent(); sent.length > 0; sent = story.sent()) {
      polled.push(...sizes(sent));
      story.now += 100;
      for (const batch of sent) {
        const isSick = hostsOf(batch).includes('host-7');
        const failure =
          batch.targets.length === 1 ? { reason: 'refused' as const, refusedWith: 500 } : refusedWith(500);
        story.end(batch, isSick ? failure : undefined);
      }
    }
    expect(polled).toEqual([20, 20, 10, 10, 5, 5, 3, 2, 2, 1]);
    expect(story.shards[0]!.known('host-7').lastTry).toMatchObject({ reason: 'refused' });
    expect(story.shards[0]!.known('host-8').attestation).toBeDefined();
  });

  test('is polled in halves once, where both are refused alike: the service refuses everybody', () => {
    const story = refused();
    const halves = story.sent();
    for (const batch of halves) story.end(batch, refusedWith(500));
    const { writes } = story.next();
    expect(sizes(writes.map(({ batch }) => batch))).toEqual([20, 20]);
    story.write(writes);
    expect(story.sent()).toEqual([]);
  });

  test('has no part polled beyond its claim, but its hosts claimed anew', () => {
    const story = refused();
    const [one, other] = story.sent();
    story.now += 15 * SECOND;
    story.end(one!, undefined, 15 * SECOND);
    story.end(other!, refusedWith(500), 15 * SECOND);
    const steps = story.next();
    expect(steps.sends).toEqual([]);
    expect(sizes(steps.drops.map(({ batch }) => batch))).toEqual([10, 10]);
    story.look(steps.looks);
    story.write(steps.writes);
    const again = story.sent();
    // What the refusal has shown of their company is not lost.
    expect(sizes(again)).toEqual([10, 10]);
    expect(again[0]?.claimedUntil).toBe(story.now + 22 * SECOND);
  });

  test('leaves the outcome of the whole to parts that nobody waits for any more', () => {
    const story = new Story({ requestCount: 40, parallelPolls: 1 });
    const { leave } = story.want(names(40));
    const [batch] = story.sent();
    story.now += SECOND;
    story.end(batch!, refusedWith(500));
    leave();
    expect(story.sent()).toEqual([]);
    for (const host of names(40)) {
      expect(story.shards[0]!.known(host)).toMatchObject({ lastTry: { reason: 'unreachable' }, company: { most: 20 } });
      expect(story.shards[0]!.known(host).claim).toBeUndefined();
    }
  });
});

describe('a poll that is late', () => {
  const PLAN = { requestCount: 10, parallelPolls: 5 };

  test('is ended for others’ sake where nobody knows how long answers take, all but one, and sent again after all others', () => {
    const story = new Story(PLAN);
    story.want(names(60));
    const first = story.sent();
    expect(first).toHaveLength(5);
    story.now += 5 * SECOND - 1;
    expect(story.next().setsAside).toEqual([]);
    story.now += 1;
    expect(story.situation.wakesAt).toBe(story.now);
    const { setsAside } = story.next();
    expect(setsAside).toEqual(first.slice(0, 4));
    for (const batch of setsAside) story.end(batch, NO_ANSWER, 5 * SECOND);
    const second = story.sent();
    // The sixth, and then those that were set aside, as far as there is a turn for them.
    expect(sizes(second)).toEqual([10, 10, 10, 10]);
    expect(hostsOf(second[0]!)).toEqual(names(10, 50));
    expect(second.slice(1).map(hostsOf)).toEqual(first.slice(0, 3).map(hostsOf));
    const { company, lastTry } = story.shards[0]!.known('host-0');
    expect({ company, lastTry }).toEqual({});
  });

  test('is left to wait where nobody else does', () => {
    const story = new Story(PLAN);
    story.want(names(50));
    expect(story.sent()).toHaveLength(5);
    story.now += 19 * SECOND;
    expect(story.next()).toMatchObject({ setsAside: [], aborts: [] });
  });

  test('has failed after twice as long as the slowest answer took, and its hosts are polled in parts, at once', () => {
    const story = new Story({ requestCount: 100, parallelPolls: 10 });
    story.want(names(200));
    const [one, other] = story.sent();
    story.now += 3 * SECOND;
    story.end(one!, undefined, 3 * SECOND);
    expect(story.sent()).toEqual([]);
    expect(story.situation.wakesAt).toBe(story.now + 3 * SECOND);
    story.now += 3 * SECOND;
    const { aborts, looks } = story.next();
    expect(aborts).toEqual([other]);
    story.look(looks);
    story.end(other!, NO_ANSWER, 6 * SECOND);
    expect(sizes(story.sent())).toEqual([10, 10, 10, 10, 10, 10, 10, 10]);
  });

  test('but of a host alone has all the time that there is, the first time', () => {
    const story = new Story(PLAN);
    story.want(['host-0']);
    for (const batch of story.sent()) story.end(batch);
    story.shards[0]!.entries.set('host-1', entry({ company: { most: 1, at: story.now } }));
    const silent = failedTry({ endedAt: story.now - 60 * SECOND, sentAt: story.now - 61 * SECOND });
    story.shards[0]!.entries.set('host-2', entry({ company: { most: 0, at: story.now }, lastTry: silent }));
    story.want(['host-1', 'host-2']);
    const limits: [string[], number][] = [];
    for (let i = 0; i < 4; i++) {
      const steps = story.next();
      story.look(steps.looks);
      if (steps.claims.length > 0) story.claim(steps.claims);
      story.write(steps.writes);
      for (const { batch, limitMs } of steps.sends) limits.push([hostsOf(batch), limitMs]);
    }
    expect(limits).toEqual([
      [['host-1'], LIMIT_MS],
      [['host-2'], 2 * SECOND],
    ]);
  });
});
