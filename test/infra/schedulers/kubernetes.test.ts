import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { format } from 'prettier';
import { SETTINGS } from '../../../lambda/config.ts';
import { kubernetes } from '../../../lambda/protocols/kubernetes.ts';
import { ROUTE_KEYS } from '../../../lambda/routes.ts';

const FILES = ['kube-scheduler-configuration.yaml', 'trust-key-policy.yaml'] as const;
const [CONFIGURATION, POLICY] = FILES.map(read) as [string, string];

function read(name: string): string {
  return readFileSync(new URL(`../../../infra/schedulers/kubernetes/${name}`, import.meta.url), 'utf8');
}

/** A file without its comments. */
function bare(yaml: string): string {
  return yaml.replace(/^ *#.*\n/gm, '');
}

describe('the files for Kubernetes', () => {
  // Prettier has a parser of YAML; no other comes as a dependency of ours.
  test.each(FILES)('%s is YAML, in its one format', async (name) => {
    expect(await format(read(name), { parser: 'yaml', printWidth: 120, singleQuote: true })).toBe(read(name));
    await expect(format(`${read(name)}\n - [`, { parser: 'yaml' })).rejects.toThrow();
  });

  test.each(FILES)('%s has no tab, and no member twice beside itself', (name) => {
    const yaml = bare(read(name));
    expect(yaml).not.toContain('\t');
    for (const block of yaml.split(/^---$/m)) {
      const top = [...block.matchAll(/^(\w+):/gm)].map(([, member]) => member);
      expect(new Set(top).size).toBe(top.length);
    }
  });
});

describe('the configuration of kube-scheduler', () => {
  const yaml = bare(CONFIGURATION);

  test.each([
    [
      'is of the version that is stable',
      /^apiVersion: kubescheduler\.config\.k8s\.io\/v1\nkind: KubeSchedulerConfiguration$/m,
    ],
    ['sends all nodes that fit', /^percentageOfNodesToScore: 100$/m],
    ['sends names rather than nodes', /^ {4}nodeCacheCapable: true$/m],
    ['does not place a pod that could not be checked', /^ {4}ignorable: false$/m],
    [
      'verifies the server and shows a certificate',
      /^ {4}enableHTTPS: true\n {4}tlsConfig:\n {6}caFile: \/\S+\n {6}certFile: \/\S+\n {6}keyFile: \/\S+$/m,
    ],
  ])('%s', (_, fact) => {
    expect(yaml).toMatch(fact);
  });

  test('asks at the route that the function has', () => {
    const [, path] = /^ {2}- urlPrefix: https:\/\/[\w.-]+(\/\S+)$/m.exec(yaml) ?? [];
    const [, verb] = /^ {4}filterVerb: (\S+)$/m.exec(yaml) ?? [];
    expect(ROUTE_KEYS).toContain(`POST ${path}/${verb}`);
  });

  test('waits longer than an answer takes', () => {
    const [, seconds] = /^ {4}httpTimeout: (\d+)s$/m.exec(yaml) ?? [];
    expect(Number(seconds) * 1000).toBeGreaterThan(kubernetes.limitMs);
  });

  test('turns no verification off, and sends every pod', () => {
    expect(yaml).not.toMatch(/insecure|managedResources|ignorable: true/);
  });
});

describe('the policy on the key', () => {
  const yaml = bare(POLICY);

  test.each([
    [
      'is of the version that is stable',
      /^apiVersion: admissionregistration\.k8s\.io\/v1\nkind: ValidatingAdmissionPolicy$/m,
    ],
    ['lets nothing in that it could not check', /^ {2}failurePolicy: Fail$/m],
    ['looks at pods', /resources: \['pods', /],
    ['looks at what pods are made from', /resources: \['deployments', 'replicasets', 'statefulsets', 'daemonsets'\]/],
    ['looks at jobs', /resources: \['jobs', 'cronjobs'\]/],
    ['has a binding, which denies', /policyName: trusted-filter-key\n {2}validationActions: \['Deny', 'Audit'\]/],
  ])('%s', (_, fact) => {
    expect(yaml).toMatch(fact);
  });

  test('is about the key that the function looks for', () => {
    const [, key] = /- name: key\n\s+expression: "'(.*)'"$/m.exec(yaml) ?? [];
    expect(key).toBe(SETTINGS.kubernetesKey.default);
  });

  test('looks at changes as well as at new objects', () => {
    const operations = [...yaml.matchAll(/operations: (.*)$/gm)].map(([, list]) => list);
    expect(new Set(operations)).toEqual(new Set(["['CREATE', 'UPDATE']"]));
  });

  test.each(['annotations', 'labels', 'selectors', 'terms'])('leaves the %s to those who may ask', (where) => {
    expect(yaml).toMatch(
      new RegExp(
        `variables\\.mayAsk \\|\\| \\(request\\.operation == 'UPDATE'\\s+\\? variables\\.${where}\\[0\\] == variables\\.${where}\\[1\\]\\s+: size\\(variables\\.${where}\\[0\\]\\) == 0\\)`,
      ),
    );
  });

  test('uses the variables that it has, and no other', () => {
    const has = [...yaml.matchAll(/^ {4}- name: (\w+)$/gm)].map(([, name]) => name);
    const uses = [...yaml.matchAll(/\bvariables\.(\w+)/g)].map(([, name]) => name);
    expect([...new Set(uses)].sort()).toEqual([...has].sort());
  });
});
