/** The stack as it is synthesized, with bundles that do nothing. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import cdkJson from '../../cdk.json' with { type: 'json' };
import { parseTrustSettings } from '../../infra/settings/trust-settings.ts';
import { TrustedFilterStack } from '../../infra/trusted-filter-stack.ts';

const FLAGS = Object.fromEntries(Object.entries(cdkJson.context).filter(([name]) => name.startsWith('@aws-cdk/')));
const TRUST = { server: 'oat.example.net', secretName: 'filter/certificate' };

export interface Resource {
  readonly Properties: Readonly<Record<string, unknown>>;
}

/** @param trust the context `trust` of cdk.json, beside server and secret */
export function synthesize(trust: object = {}): Template {
  const folder = mkdtempSync(join(tmpdir(), 'trusted-filter-synthesized-'));
  try {
    const dist = join(folder, 'dist');
    for (const name of ['filter', 'refresh']) {
      mkdirSync(join(dist, name), { recursive: true });
      writeFileSync(join(dist, name, 'index.mjs'), `export const handler = () => '${name}';\n`);
    }
    const app = new App({ context: FLAGS, outdir: join(folder, 'cdk.out') });
    const settings = parseTrustSettings({ ...TRUST, ...trust });
    return Template.fromStack(new TrustedFilterStack(app, 'TrustedFilter', { trust: settings, dist }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The properties of the resources of a type. */
export function propertiesOf<T>(from: Template, type: string): T[] {
  return Object.values(from.findResources(type)).map((resource) => (resource as Resource).Properties as T);
}
