import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Keylime } from './keylime.ts';

/** Rows of another verifier on the same database are listed, and left alone. */
const OTHER_VERIFIER = 'elsewhere';
const BUSY_LIMIT_MS = 10_000;
/** What the verifier writes where no runtime policy was given (keylime/ima/ima.py, RUNTIME_POLICY_GENERATOR.EmptyAllowList). */
const NO_RUNTIME_POLICY = 1;

export interface RowOptions {
  /** When the agents were last attested, epoch seconds. Default: now. */
  readonly attestedAt?: number;
  /** Their operational state; default 3, GET_QUOTE. */
  readonly state?: number;
  /** Default: one that names register 23, as the verifier writes it. */
  readonly tpmPolicy?: string;
}

/**
 * Puts agents into the verifier's database that it lists as attested and never polls: one row in `verifiermain`, `allowlists` and
 * `mbpolicies` each (7.14.3: keylime/db/verifier_db.py).
 */
export function putRows(keylime: Keylime, ids: readonly string[], options: RowOptions = {}): void {
  const { attestedAt = Math.floor(Date.now() / 1000), state = 3 } = options;
  const tpmPolicy = options.tpmPolicy ?? JSON.stringify({ 23: ['0'.repeat(64)], mask: '0x800000' });
  const agent = {
    ip: '127.0.0.1',
    port: 9002,
    verifier_id: OTHER_VERIFIER,
    verifier_ip: '127.0.0.1',
    verifier_port: keylime.port,
    operational_state: state,
    public_key: '',
    // These columns hold JSON, this one a text in JSON that is itself JSON.
    tpm_policy: JSON.stringify(tpmPolicy),
    meta_data: '{}',
    accept_tpm_hash_algs: '["sha256"]',
    accept_tpm_encryption_algs: '["rsa"]',
    accept_tpm_signing_algs: '["rsassa"]',
    hash_alg: 'sha256',
    enc_alg: 'rsa2048',
    sign_alg: 'rsassa',
    boottime: 0,
    ima_pcrs: '[]',
    next_ima_ml_entry: 0,
    learned_ima_keyrings: '{}',
    supported_version: '2.6',
    attestation_count: 1,
    last_received_quote: attestedAt,
    last_successful_attestation: attestedAt,
    accept_attestations: 1,
  };
  const database = new DatabaseSync(join(keylime.folder, 'cv_data.sqlite'), { timeout: BUSY_LIMIT_MS });
  try {
    database.exec('BEGIN IMMEDIATE');
    const policy = database.prepare('INSERT INTO allowlists (name, generator) VALUES (?, ?)');
    const bootPolicy = database.prepare('INSERT INTO mbpolicies (name) VALUES (?)');
    const names = ['agent_id', 'ima_policy_id', 'mb_policy_id', ...Object.keys(agent)];
    const row = database.prepare(`INSERT INTO verifiermain (${names.join()}) VALUES (${names.map(() => '?').join()})`);
    for (const id of ids) {
      const policyId = policy.run(id, NO_RUNTIME_POLICY).lastInsertRowid;
      row.run(id, policyId, bootPolicy.run(id).lastInsertRowid, ...Object.values(agent));
    }
    database.exec('COMMIT');
  } finally {
    database.close();
  }
}
