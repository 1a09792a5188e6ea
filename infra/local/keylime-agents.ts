/** What Keylime's verifier 7.14.3 says of an agent: `results` of `GET /v2.1/agents/{id}`, all members, in its order. */
export interface AgentRecord {
  /** `common/states.py`; 0 to 10. */
  readonly operational_state: number | null;
  /** A half of a payload's key, where the agent was given a payload: nobody's to log. */
  readonly v: string | null;
  /** Null, as the port, of an agent in push mode. */
  readonly ip: string | null;
  readonly port: number | null;
  /** JSON in a text. */
  readonly tpm_policy: string;
  readonly meta_data: string;
  readonly has_mb_refstate: 0 | 1;
  readonly has_runtime_policy: 0 | 1;
  readonly accept_tpm_hash_algs: readonly string[];
  readonly accept_tpm_encryption_algs: readonly string[];
  readonly accept_tpm_signing_algs: readonly string[];
  readonly hash_alg: string;
  readonly enc_alg: string;
  readonly sign_alg: string;
  readonly verifier_id: string;
  readonly verifier_ip: string;
  readonly verifier_port: number;
  readonly severity_level: number | null;
  readonly last_event_id: string | null;
  readonly attestation_count: number | null;
  /** Epoch seconds; 0 is never, and null too. */
  readonly last_received_quote: number | null;
  readonly last_successful_attestation: number | null;
  readonly attestation_status: 'PASS' | 'FAIL' | 'PENDING' | 'TIMEOUT';
  readonly attestation_period: string;
  readonly maximum_attestation_interval: string;
}

/** `common/states.py`. */
export const STATES = {
  REGISTERED: 0,
  START: 1,
  SAVED: 2,
  GET_QUOTE: 3,
  GET_QUOTE_RETRY: 4,
  PROVIDE_V: 5,
  PROVIDE_V_RETRY: 6,
  FAILED: 7,
  TERMINATED: 8,
  INVALID_QUOTE: 9,
  TENANT_FAILED: 10,
} as const;

/** `quote_interval`, in seconds, as Keylime ships it. */
const QUOTE_INTERVAL = 2;
/** How long after its last quote an agent that refuses connections is given up. */
export const GIVEN_UP_AFTER = 62;
/** That a quote was asked for a policy that names a PCR: 10 (IMA) and 11. */
const POLICY = `{"11": ["${'0'.repeat(64)}"], "mask": "0xc00"}`;
const NO_POLICY = '{"mask": "0x0"}';
const NOT_REACHABLE = 'internal.verifier.not_reachable';
/** Severity `emergency`, which every event has in the configuration that Keylime ships. */
const EMERGENCY = 6;

/**
 * A record of an agent in pull mode with a policy. `attestation_status` follows from the state, as in the verifier; times are 0
 * unless given.
 */
export function agentRecord(changes: Partial<AgentRecord> = {}): AgentRecord {
  const operational_state = changes.operational_state === undefined ? STATES.GET_QUOTE : changes.operational_state;
  return {
    operational_state,
    v: null,
    ip: '127.0.0.1',
    port: 9002,
    tpm_policy: POLICY,
    meta_data: '{}',
    has_mb_refstate: 0,
    has_runtime_policy: 1,
    accept_tpm_hash_algs: ['sha512', 'sha384', 'sha256'],
    accept_tpm_encryption_algs: ['ecc', 'rsa'],
    accept_tpm_signing_algs: ['ecschnorr', 'rsassa'],
    hash_alg: 'sha256',
    enc_alg: 'rsa2048',
    sign_alg: 'rsassa',
    verifier_id: 'default',
    verifier_ip: '127.0.0.1',
    verifier_port: 8881,
    severity_level: null,
    last_event_id: null,
    attestation_count: 0,
    last_received_quote: 0,
    last_successful_attestation: 0,
    attestation_status: pullStatus(operational_state),
    attestation_period: `${QUOTE_INTERVAL}s`,
    maximum_attestation_interval: '10s',
    ...changes,
  };
}

/** A record of an agent in push mode, whose state says nothing; in 7.14.3 it is 3, or 1 after a restart. */
export function pushRecord(
  attestation_status: AgentRecord['attestation_status'],
  changes: Partial<AgentRecord> = {},
): AgentRecord {
  return agentRecord({ ip: null, port: null, attestation_status, ...changes });
}

function pullStatus(state: number | null): AgentRecord['attestation_status'] {
  if (state === null) return 'PENDING';
  if (state >= STATES.GET_QUOTE && state <= STATES.PROVIDE_V_RETRY) return 'PASS';
  const failed: readonly number[] = [STATES.FAILED, STATES.INVALID_QUOTE, STATES.TENANT_FAILED];
  return failed.includes(state) ? 'FAIL' : 'PENDING';
}

/** An agent's life in the verifier: what its record is at a time. Times are epoch seconds. */
export type Life = (now: number) => AgentRecord;

/** Quotes that were good, each two seconds after the last, from `begun` to `now`. */
function quotes(begun: number, now: number) {
  const intervals = Math.max(0, Math.floor((now - begun) / QUOTE_INTERVAL));
  const last = begun + intervals * QUOTE_INTERVAL;
  return {
    attestation_count: intervals + 1,
    last_received_quote: last,
    last_successful_attestation: last,
  };
}

/** Good from its first quote on, after which it is given the payload for two seconds. */
export function trusted(begun: number): Life {
  return (now) =>
    agentRecord({
      operational_state: now < begun + QUOTE_INTERVAL ? STATES.PROVIDE_V : STATES.GET_QUOTE,
      ...quotes(begun, now),
    });
}

/** As good as that, but with nothing that it is checked against. */
export function withoutPolicy(begun: number): Life {
  const life = trusted(begun);
  return (now) => ({ ...life(now), has_runtime_policy: 0, tpm_policy: NO_POLICY });
}

/** Good until a quote at `failedAt` is not; the verifier then asks for no other. */
export function failed(begun: number, failedAt: number): Life {
  const life = trusted(begun);
  return (now) => {
    if (now < failedAt) return life(now);
    return {
      ...life(failedAt - 1),
      operational_state: STATES.INVALID_QUOTE,
      last_received_quote: failedAt,
      severity_level: EMERGENCY,
      last_event_id: 'pcr_validation.invalid_pcr_11',
      attestation_status: 'FAIL',
    };
  };
}

/**
 * Good until `silentAt`, when its last quote came. Its record says PASS, with the times of that quote, until the verifier gives it up.
 * @param givenUpAfter seconds; some 62 where connections are refused, some 420 where they hang, and never where the verifier's
 *   worker has died
 */
export function silent(begun: number, silentAt: number, givenUpAfter = GIVEN_UP_AFTER): Life {
  const life = trusted(begun);
  return (now) => {
    const record = { ...life(Math.min(now, silentAt)), operational_state: STATES.GET_QUOTE };
    if (now < silentAt) return life(now);
    if (now < silentAt + givenUpAfter) return record;
    return {
      ...record,
      operational_state: STATES.FAILED,
      severity_level: EMERGENCY,
      last_event_id: NOT_REACHABLE,
      attestation_status: 'FAIL',
    };
  };
}

/** Good until the operator stopped it. */
export function stopped(begun: number, stoppedAt: number): Life {
  const life = trusted(begun);
  return (now) =>
    now < stoppedAt
      ? life(now)
      : { ...life(stoppedAt - 1), operational_state: STATES.TENANT_FAILED, attestation_status: 'FAIL' };
}

/** Enrolled at `enrolled` and never reached, so that there is no quote: PASS, until the verifier gives it up. */
export function neverReached(enrolled: number, givenUpAfter = GIVEN_UP_AFTER): Life {
  return (now) =>
    now < enrolled + givenUpAfter
      ? agentRecord()
      : agentRecord({ operational_state: STATES.FAILED, severity_level: EMERGENCY, last_event_id: NOT_REACHABLE });
}

/** Good, but the verifier started again at `restartedAt`, and comes to the agent only at `reachedAt`. Its count and times are kept. */
export function restarted(begun: number, restartedAt: number, reachedAt: number): Life {
  const before = trusted(begun);
  return (now) => {
    if (now < restartedAt) return before(now);
    const kept = before(restartedAt - 1);
    if (now < reachedAt) return { ...kept, operational_state: STATES.START, attestation_status: 'PENDING' };
    const since = trusted(reachedAt)(now);
    return { ...since, attestation_count: (kept.attestation_count ?? 0) + (since.attestation_count ?? 0) };
  };
}

/** In push mode, good from `begun` on. */
export function pushing(begun: number): Life {
  return (now) => pushRecord('PASS', quotes(begun, now));
}
