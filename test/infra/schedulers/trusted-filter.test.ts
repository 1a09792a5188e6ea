import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { CertificateAuthority, LOOPBACK_NAMES } from '../../../infra/local/certificates.ts';
import { recordSecrets } from '../../reporters/record.ts';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
/** A Python that has Nova: Debian's own, or the one of a virtual environment. */
const PYTHON = ['python3', '/usr/bin/python3'].find(
  (python) => spawnSync(python, ['-c', 'import nova.scheduler.filters']).status === 0,
);

let certificates = '';

beforeAll(async () => {
  certificates = mkdtempSync(join(tmpdir(), 'trusted-filter-'));
  const authority = await CertificateAuthority.create('test authority');
  const server = await authority.server({ commonName: 'localhost', names: LOOPBACK_NAMES.slice(0, 1) });
  const client = await authority.client({ commonName: 'nova-scheduler' });
  const stranger = await CertificateAuthority.create('another authority');
  recordSecrets(server.key);
  recordSecrets(client.key);
  for (const [name, text] of Object.entries({
    'authority.pem': authority.cert,
    'stranger.pem': stranger.cert,
    'server.pem': server.cert,
    'server.key': server.key,
    'client.pem': client.cert,
    'client.key': client.key,
  })) {
    writeFileSync(join(certificates, name), text, { mode: 0o600 });
  }
});
afterAll(() => rmSync(certificates, { recursive: true, force: true }));

if (PYTHON === undefined) {
  console.warn('left out: python3-nova is not installed');
  test('left out: python3-nova is not installed', () => {});
} else {
  // nova-scheduler of 26.2 runs on eventlet's threads and sockets.
  test.each([
    ["threads of the system's", ''],
    ["eventlet's threads", '1'],
  ])(
    "Nova's own filter handler runs the filter as trusted_filter_test.py says, on %s",
    async (_, underEventlet) => {
      const { PATH = '' } = process.env;
      const env = {
        PATH,
        CERTIFICATES: certificates,
        UNDER_EVENTLET: underEventlet,
        PYTHONDONTWRITEBYTECODE: '1',
        OS_NOVA_DISABLE_EVENTLET_PATCHING: underEventlet === '' ? '1' : '',
      };
      const args = ['-W', 'ignore::DeprecationWarning', '-m', 'unittest', 'trusted_filter_test'];
      const { stderr } = await promisify(execFile)(PYTHON, args, { cwd: FOLDER, env });
      expect(stderr).toMatch(/Ran \d\d tests in/);
      expect(stderr).toMatch(/\nOK\n$/);
    },
    120_000,
  );
}
