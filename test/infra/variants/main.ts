/**
 * Writes the template of each variant into a folder, for what reads templates alone: `<folder>/everywhere/<variant>.template.json`, and
 * where a variant is for one region, that region's name in the place of `everywhere`.
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeVariant, VARIANTS } from './variants.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('Say into which folder the templates go.');
const dist = fileURLToPath(new URL('../../../dist', import.meta.url));
for (const [name, variant] of Object.entries(VARIANTS)) {
  const into = mkdtempSync(join(tmpdir(), 'trusted-filter-variant-'));
  makeVariant(variant, into, dist).app.synth();
  const of = join(folder, variant.env?.region ?? 'everywhere');
  mkdirSync(of, { recursive: true });
  copyFileSync(join(into, 'TrustedFilter.template.json'), join(of, `${name}.template.json`));
  rmSync(into, { recursive: true });
}
