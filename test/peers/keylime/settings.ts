import { join } from 'node:path';

/** Where a verifier posts what went wrong, and the authority, PEM text, of who listens there. */
export interface Webhook {
  readonly url: string;
  readonly authority: string;
}

/** The files of the TLS folder, by what they are for. */
export const TLS_FILES = {
  serverCert: 'server.crt',
  serverKey: 'server.key',
  clientCert: 'client.crt',
  clientKey: 'client.key',
  clientAuthority: 'clients.crt',
  serverAuthority: 'servers.crt',
} as const;

/** Components that would read /etc/keylime, were they not given a file of their own. */
export const COMPONENTS = ['verifier', 'registrar', 'tenant', 'ca', 'logging'] as const;

/**
 * The variables of a verifier, in place of a verifier.conf: KEYLIME_<COMPONENT>[_<SECTION>]_<OPTION>. Those that Keylime has no
 * default for are all here. A quote each second; an agent that is not reached is given up after two more tries, a second apart.
 */
export function verifierSettings(folder: string, port: number, webhookUrl?: string): Record<string, string> {
  const verifier = {
    UUID: 'default',
    IP: '127.0.0.1',
    PORT: String(port),
    TLS_DIR: join(folder, 'tls'),
    SERVER_CERT: TLS_FILES.serverCert,
    SERVER_KEY: TLS_FILES.serverKey,
    CLIENT_CERT: TLS_FILES.clientCert,
    CLIENT_KEY: TLS_FILES.clientKey,
    TRUSTED_CLIENT_CA: `['${TLS_FILES.clientAuthority}']`,
    TRUSTED_SERVER_CA: `['${TLS_FILES.serverAuthority}']`,
    ENABLE_AGENT_MTLS: 'True',
    // cv_data.sqlite in KEYLIME_DIR.
    DATABASE_URL: 'sqlite',
    AUTO_MIGRATE_DB: 'True',
    // One alone, so that a deletion is always seen by the one that polls.
    MAX_WORKERS: '1',
    QUOTE_INTERVAL: '1',
    MAX_RETRIES: '2',
    RETRY_INTERVAL: '1',
    EXPONENTIAL_BACKOFF: 'False',
    REQUEST_TIMEOUT: '60',
    SHUTDOWN_DRAIN_TIMEOUT: '1',
    MEASURED_BOOT_IMPORTS: '[]',
    SEVERITY_LABELS: "['info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency']",
    SEVERITY_POLICY: "[{'event_id': '.*', 'severity_label': 'emergency'}]",
    REVOCATIONS_ENABLED_REVOCATION_NOTIFICATIONS: webhookUrl === undefined ? '[]' : "['webhook']",
    ...(webhookUrl === undefined ? {} : { REVOCATIONS_WEBHOOK_URL: webhookUrl }),
  };
  return {
    KEYLIME_DIR: folder,
    ...Object.fromEntries(
      COMPONENTS.map((name) => [`KEYLIME_${name.toUpperCase()}_CONFIG`, join(folder, `${name}.conf`)]),
    ),
    ...Object.fromEntries(Object.entries(verifier).map(([option, value]) => [`KEYLIME_VERIFIER_${option}`, value])),
  };
}
