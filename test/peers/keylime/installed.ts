import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The program, where .ci/keylime puts it. */
export const VERIFIER = fileURLToPath(new URL('../../../.peers/keylime/bin/keylime_verifier', import.meta.url));
/** What .ci/keylime writes last. */
const STAMP = fileURLToPath(new URL('../../../.peers/keylime/installed', import.meta.url));
const PROGRAMS = ['swtpm', 'tpm2_quote'];

/** What of Keylime, or of the software TPM that its agents need, is not installed; undefined if all is there. */
export function whatKeylimeLacks(): string | undefined {
  if (!existsSync(STAMP) || !existsSync(VERIFIER)) return 'Keylime is not installed';
  const missing = PROGRAMS.find((program) => spawnSync(program, ['--version']).error !== undefined);
  return missing === undefined ? undefined : `${missing} is not installed`;
}

/** Whether the rig can run: `.ci/keylime` has installed all of it. */
export function keylimeIsThere(): boolean {
  return whatKeylimeLacks() === undefined;
}
