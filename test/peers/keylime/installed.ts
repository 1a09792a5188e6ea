import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('../../../.peers/keylime/', import.meta.url));

/** How to start the verifier: not by its first line, which has the path of the folder that it was installed to. */
export const VERIFIER = [join(FOLDER, 'bin/python'), join(FOLDER, 'bin/keylime_verifier')] as const;

/** What .ci/keylime writes last. */
const STAMP = join(FOLDER, 'installed');
const PROGRAMS = ['swtpm', 'tpm2_quote'];

/** What of Keylime, or of the software TPM that its agents need, is not installed; undefined if all is there. */
export function whatKeylimeLacks(): string | undefined {
  if (!existsSync(STAMP)) return 'Keylime is not installed';
  const missing = PROGRAMS.find((program) => spawnSync(program, ['--version']).error !== undefined);
  return missing === undefined ? undefined : `${missing} is not installed`;
}

/** Whether the rig can run: `.ci/keylime` has installed all of it. */
export function keylimeIsThere(): boolean {
  return whatKeylimeLacks() === undefined;
}
