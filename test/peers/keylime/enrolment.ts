import type { Agent } from './agent.ts';

/** What an agent is held to. Without it, it passes if only its key signs. */
export interface Policy {
  /** Registers of the SHA-256 bank, and the values, lower-case hex, of which each may have any. */
  readonly pcrs?: Readonly<Record<number, readonly string[]>>;
  /** A runtime policy (IMA), JSON text. */
  readonly runtimePolicy?: string;
  /** Comes back in `meta_data`. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** What `keylime_tenant -c add` posts to a verifier (7.14.3: keylime/tenant.py, do_cvadd). */
export function enrolmentOf(agent: Agent, { pcrs = {}, runtimePolicy = '', metadata = {} }: Policy): object {
  const mask = Object.keys(pcrs).reduce((bits, pcr) => bits | (1 << Number(pcr)), 0);
  return {
    v: null,
    cloudagent_ip: '127.0.0.1',
    cloudagent_port: agent.port,
    verifier_ip: '127.0.0.1',
    verifier_port: agent.keylime.port,
    tpm_policy: JSON.stringify({ ...pcrs, mask: `0x${mask.toString(16)}` }),
    runtime_policy: Buffer.from(runtimePolicy).toString('base64'),
    runtime_policy_name: null,
    runtime_policy_key: null,
    mb_policy: null,
    mb_policy_name: null,
    ima_sign_verification_keys: null,
    metadata: JSON.stringify(metadata),
    // With null, the verifier fails where it would sign what it posts to the webhook.
    revocation_key: '',
    accept_tpm_hash_algs: ['sha256'],
    accept_tpm_encryption_algs: ['rsa'],
    accept_tpm_signing_algs: ['rsassa'],
    ak_tpm: agent.tpm.attestationKey,
    mtls_cert: agent.cert,
    supported_version: '2.6',
  };
}
