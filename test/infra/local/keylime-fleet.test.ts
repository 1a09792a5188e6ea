import { expect, test } from '@jest/globals';
import { agentsOf, describeFleet, EXAMPLES, hostsOfFleet, KINDS } from '../../../infra/local/keylime-fleet.ts';

const START = 1_795_738_000;

test('the fleet has twenty hosts of each kind, with and without a domain, and the hosts of the fixtures', () => {
  const hosts = new Set(hostsOfFleet());
  for (const kind of Object.keys(KINDS)) {
    for (const host of [`${kind}-1`, `${kind}-20`, `${kind}-1.example.com`]) expect(hosts).toContain(host);
  }
  expect(hosts).toContain('compute-999.example.com');
  for (const host of ['stranger.example.com', 'nova-compute-1']) expect(hosts).not.toContain(host);
  expect(hostsOfFleet([]).length).toBe(Object.keys(KINDS).length * 40);
});

test.each([
  ['compute', 3, 'PASS', START],
  ['push', 3, 'PASS', START],
  ['untrusted', 9, 'FAIL', START - 62],
  ['silent', 3, 'PASS', START],
  ['stale', 3, 'PASS', START - 300],
  ['stopped', 10, 'FAIL', START - 62],
  ['new', 3, 'PASS', 0],
  ['unchecked', 3, 'PASS', START],
  ['restarted', 1, 'PENDING', START - 2],
])(
  'at the start %s-1 is in state %i, %s',
  (kind, operational_state, attestation_status, last_successful_attestation) => {
    const { agent } = agentsOf([`${kind}-1`], START, (host) => `id-of-${host}`);
    expect(agent(`id-of-${kind}-1`, START)).toMatchObject({
      operational_state,
      attestation_status,
      last_successful_attestation,
    });
  },
);

test('a silent host is given up after a minute; a stale one never, and who has no id is none', () => {
  const { agent, ids } = agentsOf(['silent-1', 'stale-1', 'nobody', 'new-1'], START, (host) =>
    host === 'new-1' ? undefined : host,
  );
  expect([...ids()]).toEqual(['silent-1', 'stale-1']);
  expect(agent('silent-1', START + 62)).toMatchObject({ operational_state: 7 });
  expect(agent('stale-1', START + 86_400)).toMatchObject({ operational_state: 3, attestation_status: 'PASS' });
  expect(agent('nobody', START)).toBeUndefined();
});

test('each kind is described in a line, and but for node, which is as compute, has an example', () => {
  const lines = describeFleet().filter((line) => line.startsWith('  '));
  expect(lines.map((line) => line.trim().split('-')[0])).toEqual(Object.keys(KINDS));
  const kinds = Object.keys(KINDS).filter((kind) => kind !== 'node');
  expect(EXAMPLES.map((host) => host.split('-')[0])).toEqual(kinds);
  expect(hostsOfFleet([])).toEqual(expect.arrayContaining(EXAMPLES));
});
