import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import { SETTINGS } from '../../../lambda/config.ts';
import { podTrust } from '../../../lambda/protocols/pod-trust.ts';
import { type AdmissionRequest, refusals, type ValidatingAdmissionPolicy } from '../../fakes/admission.ts';

const FILE = new URL('../../../infra/schedulers/kubernetes/trust-key-policy.yaml', import.meta.url);
const DOCUMENTS = parseAllDocuments(readFileSync(FILE, 'utf8')).map((document) => document.toJS() as unknown);
const [POLICY, BINDING] = DOCUMENTS as [ValidatingAdmissionPolicy, unknown];

const KEY = SETTINGS.kubernetesKey.default;
const NAMES_NODE = 'A pod that asks for trust must not name its node, which nobody would check.';

const PLACES = ['annotation', 'label', 'node selector', 'node affinity'] as const;
type Place = (typeof PLACES)[number];

const forbidden = (place: Place): string =>
  `Only members of trust-operators may set, change or remove the ${place} that asks for trust.`;

interface Pod {
  readonly metadata?: object;
  readonly spec: object;
}

const PLAIN: Pod = { metadata: { labels: { app: 'ledger' } }, spec: { nodeSelector: { disk: 'ssd' } } };
const ZONE = { key: 'topology.kubernetes.io/zone', operator: 'In', values: ['a'] };

function asking(place: Place, trust = 'trusted'): Pod {
  switch (place) {
    case 'annotation':
      return { ...PLAIN, metadata: { annotations: { [KEY]: trust } } };
    case 'label':
      return { ...PLAIN, metadata: { labels: { app: 'ledger', [KEY]: trust } } };
    case 'node selector':
      return { ...PLAIN, spec: { nodeSelector: { disk: 'ssd', [KEY]: trust } } };
    case 'node affinity':
      return withTerms(term(trust));
  }
}

function term(trust: string, ...others: object[]): object {
  return { matchExpressions: [...others, { key: KEY, operator: 'In', values: [trust] }] };
}

function withTerms(...nodeSelectorTerms: object[]): Pod {
  return withAffinity({ nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } } });
}

function withAffinity(affinity: object): Pod {
  return { ...PLAIN, spec: { affinity } };
}

function onNode(pod: Pod, nodeName = 'node-1'): Pod {
  return { ...pod, spec: { ...pod.spec, nodeName } };
}

type UserInfo = AdmissionRequest['userInfo'];

const serviceAccount = (namespace: string, name: string): UserInfo => ({
  username: `system:serviceaccount:${namespace}:${name}`,
  groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
});

const USER: UserInfo = { username: 'ada', groups: ['developers', 'system:authenticated'] };
const OPERATOR: UserInfo = { username: 'grace', groups: ['system:authenticated', 'trust-operators'] };
const KUBE_SCHEDULER: UserInfo = { username: 'system:kube-scheduler', groups: ['system:authenticated'] };
const KUBELET: UserInfo = { username: 'system:node:node-1', groups: ['system:nodes', 'system:authenticated'] };

const WHO_MAY: readonly UserInfo[] = [
  OPERATOR,
  serviceAccount('trust-system', 'deployer'),
  { username: 'system:kube-controller-manager' },
  ...['replication', 'deployment', 'replicaset', 'statefulset', 'daemon-set', 'job', 'cronjob'].map((what) =>
    serviceAccount('kube-system', `${what}-controller`),
  ),
];

const WHO_MAY_NOT: readonly UserInfo[] = [
  USER,
  { username: 'linus' },
  { username: 'trust-operators', groups: [] },
  { username: 'deployer', groups: ['trust-operators:readers'] },
  serviceAccount('trust-system', 'default'),
  serviceAccount('default', 'deployer'),
  serviceAccount('kube-system', 'default'),
  KUBE_SCHEDULER,
  KUBELET,
];

/** What pods are made from. */
const WORKLOADS: readonly (readonly [kind: string, group: string, resource: string])[] = [
  ['ReplicationController', '', 'replicationcontrollers'],
  ['Deployment', 'apps', 'deployments'],
  ['ReplicaSet', 'apps', 'replicasets'],
  ['StatefulSet', 'apps', 'statefulsets'],
  ['DaemonSet', 'apps', 'daemonsets'],
  ['Job', 'batch', 'jobs'],
  ['CronJob', 'batch', 'cronjobs'],
];

function workload(kind: string, template: Pod, metadata: object = {}): object {
  const spec = { template };
  return { kind, metadata, spec: kind === 'CronJob' ? { jobTemplate: { spec } } : spec };
}

function create(pod: Pod, userInfo = USER): string[] {
  return review({ operation: 'CREATE', userInfo, object: { kind: 'Pod', ...pod } });
}

function update(before: Pod, after: Pod, userInfo = USER, resource = 'pods'): string[] {
  const [oldObject, object] = [before, after].map((pod) => ({ kind: 'Pod', ...pod })) as [object, object];
  return review({ operation: 'UPDATE', resource, userInfo, object, oldObject });
}

function review(request: Pick<AdmissionRequest, 'operation' | 'object'> & Partial<AdmissionRequest>): string[] {
  return refusals(POLICY, { group: '', resource: 'pods', userInfo: USER, oldObject: null, ...request });
}

describe('the policy on the key', () => {
  test('is of the version that is stable, and looks at nothing less than its rules say', () => {
    expect(POLICY).toEqual({
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata: { name: 'trusted-filter-key' },
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: { resourceRules: expect.any(Array) },
        variables: expect.any(Array),
        validations: expect.any(Array),
      },
    });
  });

  test('has a binding, which denies everywhere', () => {
    expect(DOCUMENTS).toHaveLength(2);
    expect(BINDING).toEqual({
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: { name: 'trusted-filter-key' },
      spec: { policyName: POLICY.metadata.name, validationActions: ['Deny', 'Audit'] },
    });
  });

  test.each(PLACES)('is about the %s that the function reads', (place) => {
    expect(podTrust({ ...asking(place) }, KEY)).toBe('trusted');
    expect(create(asking(place))).toEqual([forbidden(place)]);
  });
});

describe('who may not ask', () => {
  test.each<[string, Pod]>([
    ['that is like most', PLAIN],
    ['without metadata', { spec: {} }],
    ['without annotations and labels', { metadata: {}, spec: {} }],
    ['with empty maps', { metadata: { annotations: {}, labels: {} }, spec: { nodeSelector: {} } }],
    ['with empty affinity', withAffinity({})],
    ['with affinity to other pods', withAffinity({ podAffinity: {} })],
    ['with empty affinity to nodes', withAffinity({ nodeAffinity: {} })],
    ['with terms that have no expressions', withTerms({}, { matchFields: [ZONE] })],
    ['with terms on other keys', withTerms({ matchExpressions: [ZONE] })],
    [
      'that has a preference',
      withAffinity({
        nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, preference: term('trusted') }] },
      }),
    ],
    ['that names its node', onNode(PLAIN)],
  ])('creates a pod %s', (_, pod) => {
    expect(create(pod)).toEqual([]);
  });

  test.each<[string, Pod]>([
    ['one of several', withTerms({}, { matchExpressions: [ZONE] }, term('trusted'))],
    ['one of several expressions', withTerms(term('trusted', ZONE))],
    ['another operator', withTerms({ matchExpressions: [{ key: KEY, operator: 'Exists' }] })],
  ])('creates no pod with a term on the key: %s', (_, pod) => {
    expect(create(pod)).toEqual([forbidden('node affinity')]);
  });

  test.each(PLACES)('creates no pod with an empty %s', (place) => {
    expect(create(asking(place, ''))).toEqual([forbidden(place)]);
  });

  describe.each(PLACES)('with the %s', (place) => {
    test('does not set it', () => {
      expect(update(PLAIN, asking(place))).toEqual([forbidden(place)]);
    });

    test('does not change it', () => {
      expect(update(asking(place), asking(place, 'untrusted'))).toEqual([forbidden(place)]);
    });

    test('does not remove it', () => {
      expect(update(asking(place), PLAIN)).toEqual([forbidden(place)]);
    });

    test.each(PLACES.filter((other) => other !== place))('does not move it to the %s', (other) => {
      const refused = update(asking(place), asking(other));
      expect(refused).toHaveLength(2);
      expect(refused).toEqual(expect.arrayContaining([forbidden(place), forbidden(other)]));
    });

    test('changes something else', () => {
      const pod = asking(place);
      const metadata = { annotations: { note: 'new' }, ...pod.metadata, finalizers: ['example.com/ledger'] };
      expect(update(pod, { metadata, spec: { ...pod.spec, activeDeadlineSeconds: 60 } })).toEqual([]);
    });
  });

  test.each(['annotations', 'labels'])('changes other %s beside the key', (map) => {
    const pod = (note: string): Pod => ({ metadata: { [map]: { [KEY]: 'trusted', note } }, spec: {} });
    expect(update(pod('old'), pod('new'))).toEqual([]);
  });

  test.each<[string, Pod[]]>([
    [
      'a node selector beside the key',
      ['ssd', 'nvme'].map((disk) => ({ spec: { nodeSelector: { [KEY]: '', disk } } })),
    ],
    ['an expression beside the key', [withTerms(term('trusted')), withTerms(term('trusted', ZONE))]],
    ['terms without the key', [withTerms({ matchExpressions: [ZONE] }), withTerms({ matchExpressions: [ZONE] }, {})]],
  ])('changes %s', (_, [before, after]) => {
    expect(update(before!, after!)).toEqual([]);
  });

  test.each<[string, Pod]>([
    ['adds a term without the key', withTerms(term('trusted'), { matchExpressions: [ZONE] })],
    ['adds a term with another trust', withTerms(term('trusted'), term('untrusted'))],
    ['adds an expression on the key', withTerms(term('trusted', { key: KEY, operator: 'Exists' }))],
    ['takes the terms away', withAffinity({ nodeAffinity: {} })],
  ])('never %s', (_, after) => {
    expect(update(withTerms(term('trusted')), after)).toEqual([forbidden('node affinity')]);
  });
});

describe('whether a pod may ask', () => {
  test.each(WHO_MAY)('is up to $username', (user) => {
    for (const place of PLACES) {
      expect(create(asking(place), user)).toEqual([]);
      expect(update(PLAIN, asking(place), user)).toEqual([]);
      expect(update(asking(place), asking(place, 'untrusted'), user)).toEqual([]);
      expect(update(asking(place), PLAIN, user)).toEqual([]);
    }
  });

  test.each(WHO_MAY_NOT)('is not up to $username', (user) => {
    for (const place of PLACES) {
      expect(create(asking(place), user)).toEqual([forbidden(place)]);
      expect(update(asking(place), PLAIN, user)).toEqual([forbidden(place)]);
    }
    expect(create(PLAIN, user)).toEqual([]);
  });
});

describe.each(WORKLOADS)('the template of a %s', (kind, group, resource) => {
  function apply(template: Pod, before?: Pod, userInfo = USER): string[] {
    const request = { group, resource, userInfo, object: workload(kind, template) };
    return before === undefined
      ? review({ ...request, operation: 'CREATE' })
      : review({ ...request, operation: 'UPDATE', oldObject: workload(kind, before) });
  }

  test('may be anything that does not ask', () => {
    expect(apply(PLAIN)).toEqual([]);
    expect(apply({ spec: {} }, PLAIN)).toEqual([]);
  });

  test.each(PLACES)('has no %s but of those who may ask', (place) => {
    expect(apply(asking(place))).toEqual([forbidden(place)]);
    expect(apply(asking(place), PLAIN)).toEqual([forbidden(place)]);
    expect(apply(PLAIN, asking(place))).toEqual([forbidden(place)]);
    expect(apply(asking(place), undefined, OPERATOR)).toEqual([]);
    expect(apply(PLAIN, asking(place), OPERATOR)).toEqual([]);
  });

  test('is what counts, not what it stands in', () => {
    const object = workload(kind, PLAIN, asking('annotation').metadata);
    expect(review({ operation: 'CREATE', group, resource, object })).toEqual([]);
  });

  test.each(PLACES)('names no node beside the %s', (place) => {
    for (const user of [USER, OPERATOR]) {
      expect(apply(onNode(asking(place)), asking(place), user)).toEqual([NAMES_NODE]);
    }
    expect(apply(onNode(asking(place)), undefined, OPERATOR)).toEqual([NAMES_NODE]);
    expect(apply(asking(place), onNode(asking(place)))).toEqual([]);
  });

  test('may name a node where it does not ask', () => {
    expect(apply(onNode(PLAIN))).toEqual([]);
    expect(apply(onNode(PLAIN), PLAIN)).toEqual([]);
  });
});

describe('a pod that names its node', () => {
  test.each(WHO_MAY)('does not ask, even if $username creates it', (user) => {
    for (const place of PLACES) expect(create(onNode(asking(place)), user)).toEqual([NAMES_NODE]);
  });

  test('asks in vain for two reasons, where its creator may not ask', () => {
    expect(create(onNode(asking('label')))).toEqual([forbidden('label'), NAMES_NODE]);
  });

  test('names none, where the name is empty', () => {
    expect(create(onNode(asking('annotation'), ''), OPERATOR)).toEqual([]);
  });

  test.each(PLACES)('was bound later, if it has the %s', (place) => {
    const pod = asking(place);
    expect(update(pod, onNode(pod), KUBE_SCHEDULER)).toEqual([]);
    expect(update(onNode(pod), { ...onNode(pod), metadata: { ...pod.metadata, finalizers: [] } })).toEqual([]);
  });

  test('is bound without a look', () => {
    const object = { kind: 'Binding', metadata: { name: 'ledger' }, target: { kind: 'Node', name: 'node-1' } };
    const resource = 'pods/binding';
    expect(review({ operation: 'CREATE', resource, userInfo: KUBE_SCHEDULER, object })).toEqual([]);
  });
});

describe('an update of the status', () => {
  test.each(PLACES)('passes, if the pod has the %s', (place) => {
    const pod = onNode(asking(place));
    const running = { ...pod, status: { phase: 'Running' } };
    expect(update(pod, running, KUBELET, 'pods/status')).toEqual([]);
  });

  test.each(['annotation', 'label'] as const)('does not take the %s back', (place) => {
    for (const pod of [asking(place), onNode(asking(place))]) {
      const without = { ...pod, metadata: {} };
      expect(update(pod, without, USER, 'pods/status')).toEqual([forbidden(place)]);
      expect(update(without, pod, KUBELET, 'pods/status')).toEqual([forbidden(place)]);
      expect(update(pod, without, OPERATOR, 'pods/status')).toEqual([]);
    }
  });
});
