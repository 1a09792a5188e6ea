import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CertificateAuthority, LOOPBACK_NAMES } from '../../../infra/local/certificates.ts';
import { COMPONENTS, TLS_FILES, type Webhook } from './settings.ts';

export interface Authorities {
  /** Who issues the certificate of the verifier as a server. */
  readonly servers: CertificateAuthority;
  /** Whose clients are admitted. */
  readonly clients: CertificateAuthority;
}

/** Makes a verifier's working folder below the temporary one: its certificates, and configuration files with nothing in them. */
export async function makeFolder({ servers, clients }: Authorities, webhook: Webhook | undefined): Promise<string> {
  const server = await servers.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
  const client = await clients.client({ commonName: 'verifier' });
  const files: Readonly<Record<keyof typeof TLS_FILES, string>> = {
    serverCert: server.cert,
    serverKey: server.key,
    clientCert: client.cert,
    clientKey: client.key,
    clientAuthority: clients.cert,
    serverAuthority: `${servers.cert}\n${webhook?.authority ?? ''}`,
  };
  const folder = mkdtempSync(join(tmpdir(), 'keylime-'));
  mkdirSync(join(folder, 'tls'), { mode: 0o700 });
  for (const [name, file] of Object.entries(TLS_FILES)) {
    writeFileSync(join(folder, 'tls', file), files[name as keyof typeof TLS_FILES], { mode: 0o600 });
  }
  for (const component of COMPONENTS) writeFileSync(join(folder, `${component}.conf`), '');
  return folder;
}
