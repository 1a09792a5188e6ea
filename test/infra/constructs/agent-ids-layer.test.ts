import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { AgentIdsLayer } from '../../../infra/constructs/agent-ids-layer.ts';
import { parseAgentIds } from '../../../lambda/service/keylime/agent-ids.ts';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'agent-ids-layer-'));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** The asset of a layer with these ids, and the path of its file. */
function layerOf(ids: readonly (readonly [string, string])[], umask?: number): { asset: string; file: string } {
  const before = umask === undefined ? undefined : process.umask(umask);
  try {
    const outdir = mkdtempSync(join(folder, 'cdk.out-'));
    const stack = new Stack(new App({ outdir }), 'Layers');
    new AgentIdsLayer(stack, 'AgentIds', new Map(ids));
    const [layer] = Object.values(Template.fromStack(stack).findResources('AWS::Lambda::LayerVersion')) as {
      readonly Properties: { readonly Content: { readonly S3Key: string } };
    }[];
    const asset = `asset.${layer?.Properties.Content.S3Key.replace('.zip', '')}`;
    return { asset, file: join(outdir, asset, 'agent-ids.json') };
  } finally {
    if (before !== undefined) process.umask(before);
  }
}

const IDS = [
  ['compute-2', 'b2'],
  ['compute-1', 'a1'],
  ['__proto__', 'c3'],
] as const;

describe('the layer of agent ids', () => {
  test('has the table in it, and a function reads it as it was', () => {
    const text = readFileSync(layerOf(IDS).file, 'utf8');
    expect(text).toBe('{"__proto__":"c3","compute-1":"a1","compute-2":"b2"}\n');
    expect(parseAgentIds(text).ids).toEqual(new Map(IDS));
  });

  test('is another where the table is, and not where only its order is', () => {
    const { asset } = layerOf(IDS);
    expect(asset).toMatch(/^asset\.[0-9a-f]{64}$/);
    expect(layerOf(IDS.toReversed()).asset).toBe(asset);
    expect(layerOf(IDS.slice(1)).asset).not.toBe(asset);
  });

  test('can be read by a function, also where files are made for their owner alone', () => {
    const { asset, file } = layerOf(IDS, 0o077);
    expect(statSync(file).mode & 0o777).toBe(0o644);
    expect(asset).toBe(layerOf(IDS).asset);
  });
});
