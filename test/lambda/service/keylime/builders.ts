import type { Receipt } from '../../../../lambda/service/keylime/agent-record.ts';
import { NOW, SECOND } from '../../builders.ts';

/** The verifier's clock, in seconds; it is five minutes behind ours. */
export const VERIFIER_NOW = NOW / 1000 - 300;

/** A record as verifier 7.14.3 gives it of an agent that it polls, which was attested three seconds ago and has a policy. */
export const PULLED = {
  operational_state: 3,
  v: 'aGFsZiBvZiBhIGtleQ==',
  ip: '127.0.0.1',
  port: 19001,
  tpm_policy: '{"mask": "0x0"}',
  meta_data: '{}',
  has_mb_refstate: 0,
  has_runtime_policy: 1,
  accept_tpm_hash_algs: ['sha256'],
  accept_tpm_encryption_algs: ['rsa'],
  accept_tpm_signing_algs: ['rsassa'],
  hash_alg: 'sha256',
  enc_alg: 'rsa2048',
  sign_alg: 'rsassa',
  verifier_id: 'default',
  verifier_ip: '127.0.0.1',
  verifier_port: 8881,
  severity_level: null,
  last_event_id: null,
  attestation_count: 4,
  last_received_quote: VERIFIER_NOW - 3,
  last_successful_attestation: VERIFIER_NOW - 3,
  attestation_status: 'PASS',
  attestation_period: '2s',
  maximum_attestation_interval: '10s',
} as const;

/** The same of an agent that reports by itself. */
export const PUSHED = { ...PULLED, ip: null, port: null } as const;

/** The answer came just now and at once, and the poll ended with it. */
export const RECEIPT: Receipt = { sentAt: NOW, receivedAt: NOW, date: VERIFIER_NOW * SECOND, judgedAt: NOW };
