import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { SETTINGS } from '../../../lambda/config.ts';
import { CertificateAuthority, type KeyPair, LOOPBACK_NAMES } from '../certificates.ts';

/** The client that docs/kubernetes.md makes a certificate for, and its subject as it stands in `clients` there. */
const CLIENT = { organization: 'example', commonName: 'kube-scheduler' };
const SUBJECT = `CN=${CLIENT.commonName},O=${CLIENT.organization}`;

/** What it takes to demand client certificates on this machine, as the stack's domain with a truststore does. */
export class MutualTlsFront {
  readonly server: KeyPair & { readonly ca: string };
  /** Further variables of the filter. */
  readonly env = { [SETTINGS.clients.variable]: JSON.stringify([SUBJECT]) };
  /** How curl presents the client certificate. */
  readonly curlOptions: string;

  private constructor(server: KeyPair & { readonly ca: string }, folder: string) {
    this.server = server;
    const file = (name: string): string => join(folder, name);
    this.curlOptions = `--cacert ${file('ca.pem')} --cert ${file('client.pem')} --key ${file('client.key')} `;
  }

  /** Makes an authority, and writes `ca.pem`, `client.pem` and `client.key` into a folder. */
  static async make(folder: string): Promise<MutualTlsFront> {
    const authority = await CertificateAuthority.create('trusted-filter local schedulers');
    const server = await authority.server({ commonName: 'localhost', names: LOOPBACK_NAMES });
    const client = await authority.client(CLIENT);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'ca.pem'), authority.cert);
    writeFileSync(join(folder, 'client.pem'), client.cert);
    // A file that is there already would keep its mode, or be somewhere else.
    rmSync(join(folder, 'client.key'), { force: true });
    writeFileSync(join(folder, 'client.key'), client.key, { mode: 0o600, flag: 'wx' });
    return new MutualTlsFront({ ...server, ca: authority.cert }, folder);
  }

  /** An event as it comes from a client that has shown the certificate. */
  authenticated(event: APIGatewayProxyEventV2): APIGatewayProxyEventV2 {
    const clientCert = {
      clientCertPem: '',
      subjectDN: SUBJECT,
      issuerDN: '',
      serialNumber: '',
      validity: { notBefore: '', notAfter: '' },
    };
    return { ...event, requestContext: { ...event.requestContext, authentication: { clientCert } } };
  }
}
