import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Writes something that the stack takes for the bundles of its functions into a folder. */
export function writeBundles(dist: string): string {
  for (const name of ['filter', 'refresh']) {
    mkdirSync(join(dist, name), { recursive: true });
    writeFileSync(join(dist, name, 'index.mjs'), `export const handler = () => '${name}';\n`);
  }
  return dist;
}
