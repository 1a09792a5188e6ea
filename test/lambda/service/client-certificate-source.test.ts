import { expect, describe, test } from '@jest/globals';
import { CertificateAuthority } from '../../../infra/local/certificates.ts';
import type { Secret, SecretStage, SecretValue } from '../../../lambda/service/client-certificate.ts';
import { ClientCertificateSource, Refused } from '../../../lambda/service/client-certificate-source.ts';
import { Counts } from '../../../lambda/log/counts.ts';
import { ClientCertificateError } from '../../../lambda/errors.ts';
import type { CertificateVersion } from '../../../lambda/service/secret-watch.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';
import { HOUR, NOW, SECOND } from '../builders.ts';

const MINUTE = 60 * SECOND;
const DAY = 24 * HOUR;

const authority = await CertificateAuthority.create('Test CA');
const dates = { notBefore: new Date(NOW - DAY), notAfter: new Date(NOW + 10 * DAY) };
const text = JSON.stringify({ ...(await authority.client({ commonName: 'client', ...dates })), ca: authority.cert });
const { key } = JSON.parse(text) as { key: string };
const ended = await authority.client({
  commonName: 'client',
  notBefore: dates.notBefore,
  notAfter: new Date(NOW - 1000),
});

function value(version: string, content = text): SecretValue {
  return { version, text: content };
}

/** A secret whose values a test sets, and whose answers may take their time or fail. */
class FakeSecret implements Secret {
  readonly reads: SecretStage[] = [];
  current: SecretValue | undefined;
  previous: SecretValue | undefined;
  before: () => Promise<void> = () => Promise.resolve();

  constructor(version = 'first') {
    this.current = value(version);
  }

  async read(stage: SecretStage): Promise<SecretValue | undefined> {
    this.reads.push(stage);
    await this.before();
    return stage === 'AWSCURRENT' ? this.current : this.previous;
  }

  /** How often a stage was read. */
  count(stage: SecretStage): number {
    return this.reads.filter((read) => read === stage).length;
  }

  rotate(version: string, content = text): void {
    this.previous = this.current;
    this.current = value(version, content);
  }
}

function setUp(secret = new FakeSecret()) {
  const clock = new VirtualClock(NOW);
  const counts = new Counts();
  const source = new ClientCertificateSource({ secret, clock, counts });
  const { signal } = new AbortController();
  const get = async (): Promise<string> => (await clock.run(source.get())).version;
  const getAnother = async (refused: Refused): Promise<CertificateVersion | undefined> =>
    clock.run(source.getAnother(refused, signal));
  return { secret, clock, counts, source, get, getAnother };
}

/** A poll to which the service refused these versions. */
function refusedOf(...versions: string[]): Refused {
  const refused = new Refused();
  for (const version of versions) refused.versions.add(version);
  return refused;
}

describe('the secret is looked at', () => {
  test('when a poll first needs a certificate, once for all that ask', async () => {
    const { secret, source, clock } = setUp();
    expect(secret.reads).toEqual([]);
    await clock.run(Promise.all([source.get(), source.get(), source.get()]));
    expect(secret.reads).toEqual(['AWSCURRENT']);
  });

  test('again five minutes later and not before; what it holds then is used', async () => {
    const { secret, clock, counts, get } = setUp();
    await get();
    secret.rotate('second');
    await clock.advance(5 * MINUTE - 1);
    await expect(get()).resolves.toBe('first');
    await clock.advance(1);
    await expect(get()).resolves.toBe('second');
    expect(secret.reads).toEqual(['AWSCURRENT', 'AWSCURRENT']);
    expect(counts.take()).toEqual({ values: new Map([['CertificateChanges', 1]]), faults: [] });
  });

  test('also where the clock was set back', async () => {
    const secret = new FakeSecret();
    let offset = 0;
    const clock = new VirtualClock(NOW);
    const source = new ClientCertificateSource({ secret, clock: clock.skewed(() => offset), counts: new Counts() });
    await clock.run(source.get());
    offset = -HOUR;
    await clock.advance(5 * MINUTE - 1);
    await clock.run(source.get());
    expect(secret.reads).toHaveLength(1);
    await clock.advance(1);
    await clock.run(source.get());
    expect(secret.reads).toHaveLength(2);
  });

  test('while a poll waits for it, but no longer than a second; the next poll uses it', async () => {
    const { secret, clock, get } = setUp();
    await get();
    secret.rotate('second');
    secret.before = () => clock.wait(3 * SECOND);
    await clock.advance(5 * MINUTE);
    const begun = clock.now();
    await expect(get()).resolves.toBe('first');
    expect(clock.now() - begun).toBe(SECOND);
    await expect(get()).resolves.toBe('first');
    expect(clock.now() - begun).toBe(SECOND);
    await clock.advance(2 * SECOND);
    await expect(get()).resolves.toBe('second');
    expect(secret.reads).toHaveLength(2);
  });

  test('and the days until its certificate ends are measured', async () => {
    const { clock, counts, get } = setUp();
    await get();
    expect(counts.takeMeasures()).toEqual(new Map([['CertificateDaysLeft', 10]]));
    await clock.advance(12 * HOUR);
    await get();
    expect(counts.takeMeasures()).toEqual(new Map([['CertificateDaysLeft', 9.5]]));
  });
});

describe('what is in use stays in use where the secret', () => {
  const bad: [string, string, RegExp][] = [
    ['is not JSON', `{"key":"${key}`, /the secret is not JSON/],
    ['has no certificate', JSON.stringify({ key, ca: authority.cert }), /the secret has no "cert"/],
    ['has a certificate that is none', JSON.stringify({ cert: key, key, ca: authority.cert }), /not a PEM certificate/],
    ['has another one’s key', JSON.stringify({ ...JSON.parse(text), key: ended.key }), /does not belong to "cert"/],
    [
      'has half of its authorities',
      JSON.stringify({ ...JSON.parse(text), ca: `${authority.cert}\n${authority.cert.slice(0, -40)}` }),
      /certificate 2 in "ca" of the secret can't be read/,
    ],
    [
      'has a certificate that has ended',
      JSON.stringify({ ...ended, ca: authority.cert }),
      /certificate of the secret ended on 2026-11-23T15:59:59.000Z/,
    ],
  ];
  test.each(bad)('%s, and the fault is logged as what it is', async (_case, content, cause) => {
    const { secret, clock, counts, get } = setUp();
    await get();
    secret.rotate('second', content);
    await clock.advance(5 * MINUTE);
    await expect(get()).resolves.toBe('first');
    const { values, faults } = counts.take();
    expect(values).toEqual(new Map([['SecretFaults', 1]]));
    expect(faults).toEqual([{ fault: 'SecretFaults', cause: expect.stringMatching(cause) }]);
    expect(JSON.stringify(faults)).not.toContain(key.split('\n')[1]);
    secret.rotate('third');
    await clock.advance(5 * MINUTE);
    await expect(get()).resolves.toBe('third');
  });

  test('can’t be read', async () => {
    const { secret, clock, counts, get } = setUp();
    await get();
    secret.before = () => Promise.reject(new ClientCertificateError('not now'));
    await clock.advance(5 * MINUTE);
    await expect(get()).resolves.toBe('first');
    expect(counts.take().faults).toEqual([{ fault: 'SecretFaults', cause: 'ClientCertificateError: not now' }]);
  });

  test('holds the same certificate that has ended meanwhile', async () => {
    const { clock, counts, get } = setUp();
    await get();
    await clock.advance(11 * DAY);
    await expect(get()).resolves.toBe('first');
    expect(counts.take().faults).toEqual([{ fault: 'SecretFaults', cause: expect.stringMatching(/ended on/) }]);
  });
});

test('without a good certificate each poll learns why, and looks again', async () => {
  const { secret, counts, get } = setUp();
  secret.current = value('bad', '{}');
  for (const look of [1, 2]) {
    await expect(get()).rejects.toThrow(new ClientCertificateError('the secret has no "cert"'));
    expect(secret.reads).toHaveLength(look);
  }
  expect(counts.take().values).toEqual(new Map([['SecretFaults', 2]]));
  secret.current = value('good');
  await expect(get()).resolves.toBe('good');
});

describe('after a refusal', () => {
  test('the secret is looked at at once, by all refused polls together, and its new certificate is used by all', async () => {
    const { secret, clock, counts, source, get, getAnother } = setUp();
    await get();
    await clock.advance(5 * SECOND);
    secret.rotate('second');
    const others = await Promise.all([getAnother(refusedOf('first')), getAnother(refusedOf('first'))]);
    expect(others.map((other) => other?.version)).toEqual(['second', 'second']);
    expect(secret.reads).toEqual(['AWSCURRENT', 'AWSCURRENT']);
    await expect(get()).resolves.toBe('second');
    expect((await source.get()).version).toBe('second');
    expect(counts.take().values).toEqual(new Map([['CertificateChanges', 1]]));
  });

  test('the secret is looked at no sooner than five seconds after the last look began', async () => {
    const { secret, clock, get, getAnother } = setUp();
    await get();
    await clock.advance(5 * SECOND - 1);
    await getAnother(refusedOf('first'));
    expect(secret.count('AWSCURRENT')).toBe(1);
    await clock.advance(1);
    await getAnother(refusedOf('first'));
    expect(secret.count('AWSCURRENT')).toBe(2);
  });

  test('a certificate that was never accepted fails at once', async () => {
    const { secret, clock, counts, get, getAnother } = setUp();
    await get();
    await expect(getAnother(refusedOf('first'))).resolves.toBeUndefined();
    expect(clock.now()).toBe(NOW);
    expect(secret.reads).toEqual(['AWSCURRENT', 'AWSPREVIOUS']);
    expect(counts.take()).toEqual({ values: new Map(), faults: [] });
  });

  test('a certificate that was accepted before waits for the next look, which may show a new one', async () => {
    const { secret, clock, source, get, getAnother } = setUp();
    await get();
    source.accepted(await source.get(), false);
    await clock.advance(2 * SECOND);
    const another = getAnother(refusedOf('first'));
    secret.rotate('second');
    expect((await another)?.version).toBe('second');
    expect(clock.now()).toBe(NOW + 5 * SECOND);
    expect(secret.count('AWSCURRENT')).toBe(2);
  });

  test('a poll waits for one more look and not for ever', async () => {
    const { secret, clock, source, get, getAnother } = setUp();
    await get();
    source.accepted(await source.get(), false);
    await clock.advance(5 * SECOND);
    const refused = refusedOf('first');
    await expect(getAnother(refused)).resolves.toBeUndefined();
    expect(clock.now()).toBe(NOW + 10 * SECOND);
    expect(secret.count('AWSCURRENT')).toBe(3);
    await expect(getAnother(refused)).resolves.toBeUndefined();
    expect(clock.now()).toBe(NOW + 10 * SECOND);
  });

  test('the wait ends with the poll', async () => {
    const { secret, clock, source, get } = setUp();
    await get();
    source.accepted(await source.get(), false);
    const abort = new AbortController();
    void clock.wait(SECOND).then(() => abort.abort());
    await expect(clock.run(source.getAnother(refusedOf('first'), abort.signal))).resolves.toBeUndefined();
    expect(clock.now()).toBe(NOW + SECOND);
    expect(secret.count('AWSCURRENT')).toBe(1);
  });

  test('a secret that can’t be read then leaves the poll with what is known', async () => {
    const { secret, clock, counts, get, getAnother } = setUp();
    await get();
    await clock.advance(5 * SECOND);
    secret.before = () => Promise.reject(new ClientCertificateError('not now'));
    await expect(getAnother(refusedOf('first'))).resolves.toBeUndefined();
    await expect(get()).resolves.toBe('first');
    expect(counts.take().values).toEqual(new Map([['SecretFaults', 2]]));
  });
});

describe('the previous certificate', () => {
  test('brings no authority back that the current secret does not name', async () => {
    const other = await CertificateAuthority.create('Another CA');
    const { secret, get, getAnother } = setUp();
    secret.rotate('second', JSON.stringify({ ...(JSON.parse(text) as object), ca: other.cert }));
    await get();
    const previous = await getAnother(refusedOf('second'));
    expect(previous?.version).toBe('first');
    expect(previous?.certificate.ca).toBe(other.cert);
  });

  test('is read only when the current one was refused, and no more often than every five seconds', async () => {
    const { secret, clock, get, getAnother } = setUp();
    await get();
    secret.rotate('second');
    await clock.advance(5 * MINUTE);
    await expect(get()).resolves.toBe('second');
    expect(secret.count('AWSPREVIOUS')).toBe(0);
    for (let i = 0; i < 5; i++) expect((await getAnother(refusedOf('second')))?.version).toBe('first');
    expect(secret.count('AWSPREVIOUS')).toBe(1);
    await clock.advance(5 * SECOND);
    await getAnother(refusedOf('second'));
    expect(secret.count('AWSPREVIOUS')).toBe(2);
  });

  test('is tried once by a poll', async () => {
    const { secret, get, getAnother } = setUp();
    secret.rotate('second');
    await get();
    expect((await getAnother(refusedOf('second')))?.version).toBe('first');
    await expect(getAnother(refusedOf('second', 'first'))).resolves.toBeUndefined();
  });

  test('is in use once it was accepted, until a look of every five minutes shows a good current one', async () => {
    const { secret, clock, counts, source, get, getAnother } = setUp();
    secret.rotate('second');
    await get();
    const previous = await getAnother(refusedOf('second'));
    await expect(get()).resolves.toBe('second');
    if (previous !== undefined) source.accepted(previous, true);
    await expect(get()).resolves.toBe('first');
    await clock.advance(5 * MINUTE - 1);
    await expect(get()).resolves.toBe('first');
    await clock.advance(1);
    await expect(get()).resolves.toBe('second');
    expect(counts.take()).toEqual({ values: new Map([['CertificateChanges', 2]]), faults: [] });
  });

  test('that is in use and is refused gives way to the last good current one', async () => {
    const { secret, clock, source, get, getAnother } = setUp();
    secret.rotate('second');
    await get();
    const previous = await getAnother(refusedOf('second'));
    if (previous !== undefined) source.accepted(previous, true);
    await clock.advance(5 * SECOND);
    secret.current = value('third', '{}');
    expect((await getAnother(refusedOf('first')))?.version).toBe('second');
  });

  test('does not come back into use where the current one has changed meanwhile', async () => {
    const { secret, clock, source, get, getAnother } = setUp();
    secret.rotate('second');
    await get();
    const previous = await getAnother(refusedOf('second'));
    await clock.advance(5 * MINUTE);
    secret.rotate('third');
    await expect(get()).resolves.toBe('third');
    if (previous !== undefined) source.accepted(previous, true);
    await expect(get()).resolves.toBe('third');
  });

  describe('with the authorities of the current one, once the secret is rolled back to it,', () => {
    async function rollBack() {
      const other = await CertificateAuthority.create('Another CA');
      const all = setUp();
      const { secret, clock, source, get, getAnother } = all;
      secret.rotate('second', JSON.stringify({ ...(JSON.parse(text) as object), ca: other.cert }));
      await get();
      const mixed = await getAnother(refusedOf('second'));
      if (mixed === undefined) throw new Error('there is no previous one');
      source.accepted(mixed, true);
      expect((await clock.run(source.get())).certificate.ca).toBe(other.cert);
      secret.rotate('first');
      return { ...all, mixed };
    }

    test('gives way to itself with its own', async () => {
      const { clock, source } = await rollBack();
      await clock.advance(5 * MINUTE);
      await expect(clock.run(source.get())).resolves.toMatchObject({
        version: 'first',
        certificate: { ca: authority.cert },
      });
    });

    test('does so too where a refusal shows that', async () => {
      const { clock, source, getAnother } = await rollBack();
      await clock.advance(5 * SECOND);
      await getAnother(refusedOf('first'));
      expect((await clock.run(source.get())).certificate.ca).toBe(authority.cert);
    });

    test('does not come back where a poll is answered that was sent before', async () => {
      const { clock, source, mixed } = await rollBack();
      await clock.advance(5 * MINUTE);
      await clock.run(source.get());
      source.accepted(mixed, true);
      expect((await clock.run(source.get())).certificate.ca).toBe(authority.cert);
    });
  });

  test('of no use is logged as what it is, and as the previous one', async () => {
    const { secret, counts, get, getAnother } = setUp();
    await get();
    secret.previous = value('zeroth', '{}');
    await expect(getAnother(refusedOf('first'))).resolves.toBeUndefined();
    expect(counts.take().faults).toEqual([
      { fault: 'SecretFaults', cause: expect.stringMatching(/previous value .* the secret has no "cert"/) },
    ]);
  });
});
