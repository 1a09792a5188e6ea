import { describe, expect, test } from '@jest/globals';
import {
  agentRecord,
  type AgentRecord,
  failed,
  type Life,
  neverReached,
  pushing,
  pushRecord,
  restarted,
  silent,
  STATES,
  stopped,
  trusted,
  withoutPolicy,
} from '../../../infra/local/keylime-agents.ts';

const BEGUN = 1_795_738_000;

/** What tells agents apart: state, status, count, seconds from the first quote to the last one and to the last good one. */
function seen(life: Life, after: number): unknown[] {
  const record = life(BEGUN + after);
  const since = (time: number | null): number | null => (time === null || time === 0 ? time : time - BEGUN);
  const { operational_state, attestation_status, attestation_count } = record;
  const times = [record.last_received_quote, record.last_successful_attestation].map(since);
  return [operational_state, attestation_status, attestation_count, ...times];
}

test('a record has the members that 7.14.3 sends, in its order', () => {
  expect(Object.keys(agentRecord({ last_event_id: 'x', v: null }))).toEqual(
    (
      'operational_state v ip port tpm_policy meta_data has_mb_refstate has_runtime_policy accept_tpm_hash_algs ' +
      'accept_tpm_encryption_algs accept_tpm_signing_algs hash_alg enc_alg sign_alg verifier_id verifier_ip verifier_port ' +
      'severity_level last_event_id attestation_count last_received_quote last_successful_attestation attestation_status ' +
      'attestation_period maximum_attestation_interval'
    ).split(' '),
  );
});

test.each<[AgentRecord['attestation_status'], number[]]>([
  ['PENDING', [STATES.REGISTERED, STATES.START, STATES.SAVED, STATES.TERMINATED]],
  ['PASS', [STATES.GET_QUOTE, STATES.GET_QUOTE_RETRY, STATES.PROVIDE_V, STATES.PROVIDE_V_RETRY]],
  ['FAIL', [STATES.FAILED, STATES.INVALID_QUOTE, STATES.TENANT_FAILED]],
])('in pull mode %s is the status of its states, and may be said otherwise', (status, states) => {
  for (const operational_state of states) {
    expect(agentRecord({ operational_state }).attestation_status).toBe(status);
    expect(agentRecord({ operational_state, attestation_status: 'TIMEOUT' }).attestation_status).toBe('TIMEOUT');
  }
});

test.each(['PASS', 'FAIL', 'PENDING', 'TIMEOUT'] as const)('in push mode %s says it all', (status) => {
  expect(pushRecord(status)).toMatchObject({ attestation_status: status, ip: null, port: null, operational_state: 3 });
  expect(pushRecord(status, { operational_state: null })).toMatchObject({ attestation_status: status });
});

describe('An agent', () => {
  test('that is good moves on each two seconds', () => {
    const life = trusted(BEGUN);
    expect(seen(life, 0)).toEqual([5, 'PASS', 1, 0, 0]);
    expect(seen(life, 1)).toEqual([5, 'PASS', 1, 0, 0]);
    expect(seen(life, 2)).toEqual([3, 'PASS', 2, 2, 2]);
    expect(seen(life, 61)).toEqual([3, 'PASS', 31, 60, 60]);
  });

  test('without a policy is as good, and says so', () => {
    const life = withoutPolicy(BEGUN);
    expect(seen(life, 61)).toEqual([3, 'PASS', 31, 60, 60]);
    expect(life(BEGUN)).toMatchObject({ has_runtime_policy: 0, has_mb_refstate: 0, tpm_policy: '{"mask": "0x0"}' });
    expect(trusted(BEGUN)(BEGUN)).toMatchObject({ has_runtime_policy: 1 });
  });

  test('that failed has a last quote that was not good, and is asked for no other', () => {
    const life = failed(BEGUN, BEGUN + 10);
    expect(seen(life, 9)).toEqual([3, 'PASS', 5, 8, 8]);
    for (const after of [10, 1_000]) expect(seen(life, after)).toEqual([9, 'FAIL', 5, 10, 8]);
    expect(life(BEGUN + 10)).toMatchObject({ severity_level: 6, last_event_id: expect.stringContaining('pcr') });
  });

  test('that is silent says PASS with the times of its last quote for 62 s', () => {
    const life = silent(BEGUN, BEGUN + 10);
    expect(seen(life, 9)).toEqual([3, 'PASS', 5, 8, 8]);
    for (const after of [10, 71]) expect(seen(life, after)).toEqual([3, 'PASS', 6, 10, 10]);
    for (const after of [72, 5_000]) expect(seen(life, after)).toEqual([7, 'FAIL', 6, 10, 10]);
    expect(life(BEGUN + 71)).toMatchObject({ last_event_id: null });
    expect(life(BEGUN + 72)).toMatchObject({ last_event_id: 'internal.verifier.not_reachable' });
  });

  test('says PASS for ever where nobody asks it any more', () => {
    expect(seen(silent(BEGUN, BEGUN, Infinity), 1_000_000)).toEqual([3, 'PASS', 1, 0, 0]);
  });

  test('that was stopped stays as it was', () => {
    const life = stopped(BEGUN, BEGUN + 10);
    expect(seen(life, 9)).toEqual([3, 'PASS', 5, 8, 8]);
    expect(seen(life, 1_000)).toEqual([10, 'FAIL', 5, 8, 8]);
  });

  test('that was never reached says PASS without a quote, until it is given up', () => {
    const life = neverReached(BEGUN);
    expect(seen(life, 61)).toEqual([3, 'PASS', 0, 0, 0]);
    expect(seen(life, 62)).toEqual([7, 'FAIL', 0, 0, 0]);
  });

  test('whose verifier started again is pending with its count and times, and goes on from them', () => {
    const life = restarted(BEGUN, BEGUN + 10, BEGUN + 13);
    expect(seen(life, 9)).toEqual([3, 'PASS', 5, 8, 8]);
    expect(seen(life, 12)).toEqual([1, 'PENDING', 5, 8, 8]);
    expect(seen(life, 13)).toEqual([5, 'PASS', 6, 13, 13]);
    expect(seen(life, 15)).toEqual([3, 'PASS', 7, 15, 15]);
  });

  test('in push mode moves on as well, whatever its state says', () => {
    const life = pushing(BEGUN);
    expect(seen(life, 5)).toEqual([3, 'PASS', 3, 4, 4]);
    expect(life(BEGUN)).toMatchObject({ ip: null, port: null });
  });
});
