import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { format } from 'prettier';
import { parseAllDocuments } from 'yaml';
import { kubernetes } from '../../../lambda/protocols/kubernetes.ts';
import { ROUTE_KEYS } from '../../../lambda/http/routes.ts';

const CONFIGURATION = 'kube-scheduler-configuration.yaml';

interface Configuration {
  readonly apiVersion: string;
  readonly kind: string;
  readonly percentageOfNodesToScore: number;
  readonly profiles?: unknown;
  readonly extenders: readonly Extender[];
}

interface Extender {
  readonly urlPrefix: string;
  readonly filterVerb: string;
  readonly nodeCacheCapable: boolean;
  readonly enableHTTPS: boolean;
  readonly tlsConfig: Readonly<Record<string, unknown>>;
  readonly httpTimeout: string;
  readonly ignorable: boolean;
  readonly managedResources?: unknown;
}

function read(name: string): string {
  return readFileSync(new URL(`../../../infra/schedulers/kubernetes/${name}`, import.meta.url), 'utf8');
}

describe('the files for Kubernetes', () => {
  test.each([CONFIGURATION, 'trust-key-policy.yaml'])('%s is YAML, in its one format', async (name) => {
    const faults = parseAllDocuments(read(name)).flatMap(({ errors, warnings }) => [...errors, ...warnings]);
    expect(faults).toEqual([]);
    expect(await format(read(name), { parser: 'yaml', printWidth: 120, singleQuote: true })).toBe(read(name));
  });
});

describe('the configuration of kube-scheduler', () => {
  const documents = parseAllDocuments(read(CONFIGURATION)).map((document) => document.toJS() as Configuration);
  const [configuration] = documents as [Configuration];
  const [extender] = configuration.extenders as [Extender];

  test('is one, with one extender, in the version that is stable', () => {
    expect(documents).toHaveLength(1);
    expect(configuration).toMatchObject({
      apiVersion: 'kubescheduler.config.k8s.io/v1',
      kind: 'KubeSchedulerConfiguration',
    });
    expect(configuration.extenders).toHaveLength(1);
  });

  test('sends all nodes that fit, whatever the profile', () => {
    expect(configuration.percentageOfNodesToScore).toBe(100);
    expect(configuration.profiles).toBeUndefined();
  });

  test('sends names rather than nodes', () => {
    expect(extender.nodeCacheCapable).toBe(true);
  });

  test('does not place a pod that could not be checked', () => {
    expect(extender.ignorable).toBe(false);
  });

  test('sends every pod', () => {
    expect(extender.managedResources).toBeUndefined();
  });

  test('verifies the server and shows a certificate', () => {
    const path = expect.stringMatching(/^\/\S+$/);
    expect(extender.urlPrefix).toMatch(/^https:/);
    expect(extender.enableHTTPS).toBe(true);
    expect(extender.tlsConfig).toEqual({ caFile: path, certFile: path, keyFile: path });
  });

  test('asks at the route that the function has', () => {
    expect(ROUTE_KEYS).toContain(`POST ${new URL(extender.urlPrefix).pathname}/${extender.filterVerb}`);
  });

  test('waits longer than an answer takes', () => {
    const [, seconds] = /^(\d+)s$/.exec(extender.httpTimeout) ?? [];
    expect(Number(seconds) * 1000).toBeGreaterThan(kubernetes.limitMs());
  });
});
