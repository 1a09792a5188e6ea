import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { REASONS, type Reason, type RequiredTrust } from '../../../lambda/trust/reason.ts';
import { ConfigurationError, InvalidRequestError, TooManyHostsError } from '../../../lambda/errors.ts';
import { MESSAGES } from '../../../lambda/protocols/messages.ts';
import { kubernetes } from '../../../lambda/protocols/kubernetes.ts';
import type { Verdicts } from '../../../lambda/attestation/compute-attestation.ts';

const KEY = 'trust/trusted-host';
const MAX_NODES = 1_000;
const POD = { metadata: { annotations: { [KEY]: 'trusted' } } };
const REQUIRED = 'requiredDuringSchedulingIgnoredDuringExecution';

type Parts = Partial<Record<'Pod' | 'Nodes' | 'NodeNames', unknown>>;

const request = (parts: Parts): unknown => ({ Pod: POD, Nodes: null, NodeNames: ['node-1'], ...parts });
const parse = (body: unknown, maxNodes = MAX_NODES, kubernetesKey = KEY) =>
  kubernetes.parse(body, maxNodes, { kubernetesKey });

function faultOf(body: unknown, maxNodes = MAX_NODES): unknown {
  try {
    parse(body, maxNodes);
  } catch (error) {
    return error;
  }
  return undefined;
}

/** A pod with required node affinity of these terms. */
function withTerms(...nodeSelectorTerms: unknown[]): object {
  return { spec: { affinity: { nodeAffinity: { [REQUIRED]: { nodeSelectorTerms } } } } };
}

/** A term that looks at the key. */
function term(operator: string, values: unknown, ...others: object[]): object {
  return { matchExpressions: [...others, { key: KEY, operator, values }] };
}

const ZONE = { key: 'topology.kubernetes.io/zone', operator: 'NotIn', values: ['a', 'b'] };

interface Answer {
  Nodes: { items: unknown[] } | null;
  NodeNames: string[] | null;
  FailedNodes: Record<string, string>;
  FailedAndUnresolvableNodes: Record<string, string>;
  Error: string;
}

/** What goes out for a body, where each host has the reason of its name; with no reasons, where nothing was asked. */
function answer(body: unknown, reasonOf?: (host: string) => Reason, passing: RequiredTrust = 'trusted'): Answer {
  const asked = parse(body);
  const verdicts: Verdicts =
    reasonOf === undefined
      ? { reasons: undefined, passing: undefined, validUntil: undefined }
      : { reasons: asked.hosts.map(reasonOf), passing, validUntil: undefined };
  return JSON.parse(JSON.stringify(kubernetes.render(asked, verdicts))) as Answer;
}

const REASON_OF: Readonly<Record<string, Reason>> = {
  good: 'trusted',
  bad: 'untrusted',
  odd: 'unknown',
  new: 'pending',
};
const byName = (host: string): Reason => REASON_OF[host] ?? 'trusted';

test('a request of kube-scheduler has 4 seconds, one less than it waits', () => {
  expect(kubernetes.limitMs()).toBe(4_000);
});

describe('a pod asks for trust', () => {
  test.each<[string, object, RequiredTrust]>([
    ['by an annotation', { metadata: { annotations: { a: 'b', [KEY]: 'trusted' } } }, 'trusted'],
    ['by a label', { metadata: { labels: { [KEY]: 'untrusted' }, annotations: null } }, 'untrusted'],
    ['by its node selector', { spec: { nodeSelector: { [KEY]: 'trusted' } } }, 'trusted'],
    ['by required node affinity', withTerms(term('In', ['trusted'])), 'trusted'],
    ['by affinity beside other expressions', withTerms(term('In', ['untrusted'], ZONE)), 'untrusted'],
    ['by affinity in every term', withTerms(term('In', ['trusted'], ZONE), term('In', ['trusted'])), 'trusted'],
    [
      'by affinity twice in the same term',
      withTerms(term('In', ['trusted'], { key: KEY, operator: 'In', values: ['trusted'] })),
      'trusted',
    ],
    [
      'by affinity beside fields, which do not count',
      withTerms({ ...term('In', ['trusted']), matchFields: [{ key: KEY, operator: 'NotIn', values: ['x'] }] }),
      'trusted',
    ],
    [
      'by all of these, where they agree',
      {
        metadata: { annotations: { [KEY]: 'trusted' }, labels: { [KEY]: 'trusted' } },
        spec: { ...(withTerms(term('In', ['trusted'])) as { spec: object }).spec, nodeSelector: { [KEY]: 'trusted' } },
      },
      'trusted',
    ],
  ])('%s', (_, Pod, trust) => {
    expect(parse(request({ Pod })).trust).toBe(trust);
  });

  test.each<[string, object]>([
    ['without anything', {}],
    ['with nulls', { metadata: null, spec: null }],
    [
      'with deeper nulls',
      { metadata: { annotations: null, labels: null }, spec: { nodeSelector: null, affinity: null } },
    ],
    ['with no node affinity', { spec: { affinity: { nodeAffinity: null, podAffinity: {} } } }],
    ['with no required affinity', { spec: { affinity: { nodeAffinity: { [REQUIRED]: null } } } }],
    ['with no terms', { spec: { affinity: { nodeAffinity: { [REQUIRED]: { nodeSelectorTerms: null } } } } }],
    ['with affinity to other keys', withTerms({ matchExpressions: [ZONE, {}] }, { matchExpressions: null }, null)],
    ['with affinity to a field', withTerms({ matchFields: [{ key: KEY, operator: 'In', values: ['trusted'] }] })],
    [
      'with a preference, which is no requirement',
      {
        spec: {
          affinity: {
            nodeAffinity: {
              preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, preference: term('In', ['trusted']) }],
            },
          },
        },
      },
    ],
    ['with other annotations and labels', { metadata: { annotations: { trust: 'x' }, labels: { [`${KEY}2`]: 'y' } } }],
    ['with the key elsewhere', { [KEY]: 'trusted', metadata: { [KEY]: 'trusted' }, spec: { [KEY]: 'trusted' } }],
  ])('not %s', (_, Pod) => {
    expect(parse(request({ Pod })).trust).toBeUndefined();
  });

  test('by the key that is configured, and no other', () => {
    const of = (annotations: object, key: string) =>
      parse(request({ Pod: { metadata: { annotations } } }), MAX_NODES, key).trust;
    expect(of({ 'example.com/trust': 'untrusted' }, 'example.com/trust')).toBe('untrusted');
    expect(of({ [KEY]: 'untrusted' }, 'example.com/trust')).toBeUndefined();
    // A name that every object of JavaScript answers to.
    expect(of({}, 'constructor')).toBeUndefined();
    expect(of({ constructor: 'trusted' }, 'constructor')).toBe('trusted');
  });
});

describe('a pod is refused', () => {
  const only = 'only "trusted" and "untrusted" can be asked for.';
  const operatorRule = 'only "In" with one value can ask for trust.';

  test.each<[string, object, string]>([
    [
      'for an annotation with another value',
      { metadata: { annotations: { [KEY]: 'unknown' } } },
      `The pod's annotation asks for "unknown" with "${KEY}": ${only}`,
    ],
    [
      'for a value in another case',
      { metadata: { annotations: { [KEY]: 'Trusted' } } },
      `The pod's annotation asks for "Trusted" with "${KEY}": ${only}`,
    ],
    [
      'for an empty label',
      { metadata: { labels: { [KEY]: '' } } },
      `The pod's label asks for "" with "${KEY}": ${only}`,
    ],
    ['for a null', { metadata: { labels: { [KEY]: null } } }, `The pod's label asks for null with "${KEY}": ${only}`],
    [
      'for a node selector with another value',
      { spec: { nodeSelector: { [KEY]: 'true' } } },
      `The pod's node selector asks for "true" with "${KEY}": ${only}`,
    ],
    [
      'for affinity to another value',
      withTerms(term('In', ['yes'])),
      `The pod's node affinity asks for "yes" with "${KEY}": ${only}`,
    ],
    [
      'for a key in another case',
      { metadata: { annotations: { 'Trust/Trusted-Host': 'trusted' } } },
      `The pod's annotation has the key "Trust/Trusted-Host", which asks for nothing: the key is "${KEY}".`,
    ],
    [
      'for a key with other separators',
      { metadata: { labels: { 'trust.trusted_host': 'trusted' } } },
      `The pod's label has the key "trust.trusted_host", which asks for nothing: the key is "${KEY}".`,
    ],
    ...['NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt', 'in', ''].map((operator): [string, object, string] => [
      `for affinity with the operator "${operator}"`,
      withTerms(term(operator, ['trusted'])),
      `The pod's node affinity has "${KEY}" with the operator "${operator}": ${operatorRule}`,
    ]),
    ...[[], ['trusted', 'untrusted'], ['trusted', 'trusted'], null, 'trusted'].map(
      (values): [string, object, string] => [
        `for affinity with the values ${JSON.stringify(values)}`,
        withTerms(term('In', values)),
        `The pod's node affinity has "${KEY}" with the operator "In": ${operatorRule}`,
      ],
    ),
    [
      'for affinity with terms that ask for different trust',
      withTerms(term('In', ['trusted']), term('In', ['untrusted'])),
      "The pod's node affinity asks for other trust in one term than in another.",
    ],
    ...[
      { matchExpressions: [ZONE] },
      {},
      null,
      { matchFields: [{ key: KEY, operator: 'In', values: ['trusted'] }] },
    ].flatMap((other): [string, object, string][] =>
      [
        [term('In', ['trusted']), other],
        [other, term('In', ['trusted'])],
      ].map((terms, i) => [
        `for affinity with a term without the key ${i === 0 ? 'after' : 'before'} one with it: ${JSON.stringify(other)}`,
        withTerms(...terms),
        `The pod's node affinity has a term without "${KEY}" beside one with it: any of them is enough for a node.`,
      ]),
    ),
    [
      'for affinity that asks for both in one term',
      withTerms(term('In', ['trusted'], { key: KEY, operator: 'In', values: ['untrusted'] })),
      'The pod\'s node affinity asks for "untrusted" and "trusted" in the same term.',
    ],
    [
      'for an annotation and a label that disagree',
      { metadata: { annotations: { [KEY]: 'trusted' }, labels: { [KEY]: 'untrusted' } } },
      'The pod asks for "trusted" by its annotation and for "untrusted" by its label.',
    ],
    [
      'for an annotation and affinity that disagree',
      { metadata: { annotations: { [KEY]: 'trusted' } }, ...withTerms(term('In', ['untrusted'])) },
      'The pod asks for "trusted" by its annotation and for "untrusted" by its node affinity.',
    ],
    [
      'for a label and affinity that disagree',
      { metadata: { labels: { [KEY]: 'untrusted' } }, ...withTerms(term('In', ['trusted'])) },
      'The pod asks for "untrusted" by its label and for "trusted" by its node affinity.',
    ],
    [
      'for a label and a node selector that disagree',
      { metadata: { labels: { [KEY]: 'untrusted' } }, spec: { nodeSelector: { [KEY]: 'trusted' } } },
      'The pod asks for "untrusted" by its label and for "trusted" by its node selector.',
    ],
    ['for metadata that is a list', { metadata: [] }, '"Pod.metadata" must be an object or null.'],
    [
      'for annotations that are a text',
      { metadata: { annotations: 'x' } },
      '"Pod.metadata.annotations" must be an object or null.',
    ],
    ['for a spec that is a number', { spec: 7 }, '"Pod.spec" must be an object or null.'],
    [
      'for terms that are no list',
      { spec: { affinity: { nodeAffinity: { [REQUIRED]: { nodeSelectorTerms: {} } } } } },
      `"Pod.spec.affinity.nodeAffinity.${REQUIRED}.nodeSelectorTerms" must be an array or null.`,
    ],
    ['for a term that is a text', withTerms('x'), 'The terms of the node affinity must be objects.'],
    [
      'for an expression that is null',
      withTerms({ matchExpressions: [null] }),
      'The expressions of the node affinity must be objects.',
    ],
  ])('%s', (_, Pod, message) => {
    expect(faultOf(request({ Pod }))).toEqual(new InvalidRequestError(message));
  });
});

describe('a request of kube-scheduler', () => {
  test('is read for its nodes, by name or whole, and keeps their order and every duplicate', () => {
    expect(parse(request({ NodeNames: ['b', 'a', 'b'] })).hosts).toEqual(['b', 'a', 'b']);
    const items = ['b', 'a', 'b'].map((name) => ({ metadata: { name }, status: {} }));
    expect(parse(request({ NodeNames: null, Nodes: { metadata: {}, items } })).hosts).toEqual(['b', 'a', 'b']);
  });

  test.each([
    ['as Go writes them', { Pod: POD, Nodes: null, NodeNames: ['node-1'] }],
    ['in lower case', { pod: POD, nodes: null, nodenames: ['node-1'] }],
    ['in any other', { POD, nodeS: null, nodeNames: ['node-1'] }],
    ['with others beside them', { Pod: POD, NodeNames: ['node-1'], Future: 1, pods: [], '': null, __proto__: null }],
  ])('may have its members %s', (_, body) => {
    expect(parse(body)).toMatchObject({ hosts: ['node-1'], trust: 'trusted' });
  });

  test('has its pod in the log, fit for a line', () => {
    const metadata = { namespace: 'payments', name: `led\nger${'x'.repeat(200)}`, uid: 'u-1', generateName: 'led' };
    const { workload } = parse(request({ Pod: { metadata } }));
    expect(workload).toEqual({ namespace: 'payments', name: `led\\u000ager${'x'.repeat(93)}…`, uid: 'u-1' });
    expect(parse(request({ Pod: { metadata: { name: 7, uid: '' } } })).workload).toBeUndefined();
    expect(parse(request({ Pod: {} })).workload).toBeUndefined();
  });

  const either = 'There must be either "NodeNames" or "Nodes", and the other null.';

  test.each<[string, unknown, string]>([
    ['as a list', [], 'The body must be a JSON object.'],
    ['as null', null, 'The body must be a JSON object.'],
    ['without a pod', { NodeNames: [] }, '"Pod" must be an object.'],
    ['with a pod that is null', request({ Pod: null }), '"Pod" must be an object.'],
    ['with a pod that is a list', request({ Pod: [] }), '"Pod" must be an object.'],
    ['without nodes', { Pod: POD }, either],
    ['with nodes that are null', request({ NodeNames: null }), either],
    ['with nodes in both ways', request({ Nodes: { items: [] } }), either],
    ['with names that are a map', request({ NodeNames: { a: 1 } }), '"NodeNames" must be an array.'],
    ['with nodes that are a bare list', request({ NodeNames: null, Nodes: [] }), '"Nodes" must be an object.'],
    [
      'with items that are a map',
      request({ NodeNames: null, Nodes: { items: {} } }),
      '"Nodes.items" must be an array or null.',
    ],
    [
      'with a member in two cases',
      { Pod: {}, pod: POD, NodeNames: [] },
      'The body has both "Pod" and "pod", and only one of them can count.',
    ],
  ])('is refused %s', (_, body, message) => {
    expect(faultOf(body)).toEqual(new InvalidRequestError(message));
  });

  test.each<[string, (nodes: string[]) => Parts, string]>([
    ['names', (NodeNames) => ({ NodeNames }), '"NodeNames"'],
    ['whole nodes', (items) => ({ NodeNames: null, Nodes: { items } }), '"Nodes.items"'],
  ])('is refused with more %s than configured, whatever they are, and not with as many', (_, parts, what) => {
    expect(faultOf(request(parts(['a', 'a'])), 2)).toBeUndefined();
    const fault = faultOf(request(parts(['a', 'a', ''])), 2);
    expect(fault).toBeInstanceOf(TooManyHostsError);
    expect(fault).toMatchObject({ message: `${what} has 3 nodes; one request may have 2.` });
  });
});

describe('an answer to kube-scheduler', () => {
  test('names the nodes that pass where names came, and has them whole where they came whole', () => {
    expect(answer(request({ NodeNames: ['good', 'bad', 'odd'] }), byName)).toStrictEqual({
      Nodes: null,
      NodeNames: ['good'],
      FailedNodes: { odd: MESSAGES.unknown },
      FailedAndUnresolvableNodes: { bad: MESSAGES.untrusted },
      Error: '',
    });
    const node = (name: string) => ({
      metadata: { name, labels: null },
      spec: { x: [1] },
      status: { deep: { er: 'ü' } },
    });
    const Nodes = { kind: 'NodeList', metadata: { resourceVersion: '7' }, items: ['bad', 'good', 'odd'].map(node) };
    expect(answer(request({ NodeNames: null, Nodes }), byName)).toStrictEqual({
      Nodes: { ...Nodes, items: [node('good')] },
      NodeNames: null,
      FailedNodes: { odd: MESSAGES.unknown },
      FailedAndUnresolvableNodes: { bad: MESSAGES.untrusted },
      Error: '',
    });
  });

  test.each(REASONS)('says of a node that fails for the reason %s whether preemption may help', (reason) => {
    const passing = reason === 'trusted' ? 'untrusted' : 'trusted';
    const { NodeNames, FailedNodes, FailedAndUnresolvableNodes } = answer(request({}), () => reason, passing);
    expect(NodeNames).toEqual([]);
    const isDefinite = reason === 'trusted' || reason === 'untrusted';
    const told = { 'node-1': MESSAGES[reason] };
    expect([FailedNodes, FailedAndUnresolvableNodes]).toEqual(isDefinite ? [{}, told] : [told, {}]);
  });

  test('repeats a node that passes as often as it was sent, and tells of one that fails once', () => {
    const NodeNames = ['good', 'odd', 'good', 'bad', 'odd', 'bad'];
    expect(answer(request({ NodeNames }), byName)).toMatchObject({
      NodeNames: ['good', 'good'],
      FailedNodes: { odd: MESSAGES.unknown },
      FailedAndUnresolvableNodes: { bad: MESSAGES.untrusted },
    });
  });

  test('passes everything where the pod asks for nothing, as it came', () => {
    const NodeNames = ['b', 'a', 'b', '__proto__'];
    const nothing = { FailedNodes: {}, FailedAndUnresolvableNodes: {}, Error: '' };
    expect(answer(request({ Pod: {}, NodeNames }))).toStrictEqual({ Nodes: null, NodeNames, ...nothing });
    const Nodes = { metadata: {}, items: NodeNames.map((name) => ({ metadata: { name }, x: 1 })) };
    expect(answer(request({ Pod: {}, NodeNames: null, Nodes }))).toStrictEqual({ Nodes, NodeNames: null, ...nothing });
  });

  test('has lists without nodes where none came', () => {
    expect(answer(request({ NodeNames: [] }), byName)).toMatchObject({ Nodes: null, NodeNames: [] });
    for (const items of [[], null, undefined]) {
      const Nodes = { metadata: {}, items };
      expect(answer(request({ NodeNames: null, Nodes }), byName)).toMatchObject({
        Nodes: { metadata: {}, items: [] },
        NodeNames: null,
      });
    }
  });

  test.each(['__proto__', 'constructor', 'toString', '7', 'node-e\u0301', 'node-é', ' ', 'a\n"b'])(
    'tells of a node %j byte for byte, whatever the name means to JavaScript',
    (name) => {
      const failed = answer(request({ NodeNames: [name, 'good'] }), (host) => (host === name ? 'pending' : 'trusted'));
      expect(failed.NodeNames).toEqual(['good']);
      expect(Object.entries(failed.FailedNodes)).toEqual([[name, MESSAGES.pending]]);
      const unresolvable = answer(request({ NodeNames: [name] }), () => 'untrusted');
      expect(Object.entries(unresolvable.FailedAndUnresolvableNodes)).toEqual([[name, MESSAGES.untrusted]]);
      expect(answer(request({ NodeNames: [name] }), () => 'trusted').NodeNames).toEqual([name]);
    },
  );

  describe('of an entry that is no valid name', () => {
    const LONG = 'x'.repeat(256);
    const told = { [LONG]: 'The name of the node is too long to be one.' };

    test.each<[string, object]>([
      ['where trust is asked for', POD],
      ['where it is not', {}],
    ])('passes nothing, %s, and tells of it where it has a name that can be told', (_, Pod) => {
      const odd = ['', 7, null, {}, ['good'], LONG, '🚀'.repeat(128), 'half-\ud83d', '\ude80\ud83d'];
      const NodeNames = ['good', ...odd, 'good'];
      const reasonOf = Pod === POD ? byName : undefined;
      expect(answer(request({ Pod, NodeNames }), reasonOf)).toStrictEqual({
        Nodes: null,
        NodeNames: ['good', 'good'],
        FailedNodes: { ...told, ['🚀'.repeat(128)]: told[LONG] },
        FailedAndUnresolvableNodes: {},
        Error: '',
      });
      const items = [
        { metadata: { name: 'good' }, first: true },
        ...odd.map((name) => ({ metadata: { name } })),
        ...[{}, { metadata: null }, { metadata: 'good' }, { name: 'good' }, null, 'good', 7],
        { metadata: { name: 'good' }, last: true },
      ];
      expect(answer(request({ Pod, NodeNames: null, Nodes: { items } }), reasonOf)).toStrictEqual({
        Nodes: { items: [items.at(0), items.at(-1)] },
        NodeNames: null,
        FailedNodes: { ...told, ['🚀'.repeat(128)]: told[LONG] },
        FailedAndUnresolvableNodes: {},
        Error: '',
      });
    });

    test('takes no verdict from its neighbours', () => {
      const NodeNames = [7, 'good', LONG, 'bad', '', 'odd', 'good'];
      expect(answer(request({ NodeNames }), byName)).toMatchObject({
        NodeNames: ['good', 'good'],
        FailedNodes: { ...told, odd: MESSAGES.unknown },
        FailedAndUnresolvableNodes: { bad: MESSAGES.untrusted },
      });
    });

    test('allows names of one unit and of 255', () => {
      const NodeNames = ['a', 'x'.repeat(255), `${'🚀'.repeat(127)}a`];
      expect(answer(request({ NodeNames }), () => 'trusted').NodeNames).toEqual(NodeNames);
    });
  });

  test('has the fault, whatever it is, as its error, and no nodes', () => {
    for (const fault of [
      new InvalidRequestError('"Pod" must be an object.'),
      new TooManyHostsError('too many'),
      new ConfigurationError(['ATTESTATION_SERVER is not set']),
    ]) {
      expect(JSON.parse(JSON.stringify(kubernetes.renderFault(fault)))).toStrictEqual({
        Nodes: null,
        NodeNames: null,
        FailedNodes: {},
        FailedAndUnresolvableNodes: {},
        Error: fault.message,
      });
    }
  });
});

describe('whatever nodes are sent', () => {
  const names = fc.oneof(
    fc.constantFrom('a', 'b', 'c', '__proto__', 'constructor', '1', '', 'x'.repeat(256)),
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'grapheme' }),
  );
  const entries = fc.oneof({ weight: 9, arbitrary: names }, { weight: 1, arbitrary: fc.jsonValue() });
  const trusts = fc.constantFrom<RequiredTrust>('trusted', 'untrusted');
  const isName = (name: unknown): name is string =>
    typeof name === 'string' && name.length >= 1 && name.length <= 255 && name.isWellFormed();

  /** Any verdict, but the same on every entry of a name. */
  const reasonsFrom = (reasons: readonly Reason[]) => {
    const known = new Map<string, Reason>();
    return (host: string): Reason => {
      const reason = known.get(host) ?? reasons[known.size % reasons.length] ?? 'unknown';
      known.set(host, reason);
      return reason;
    };
  };

  test.each(['names', 'whole nodes'])(
    'as %s: no node is in two lists, every name out was a name in, order is kept, and none is lost',
    (form) => {
      const property = fc.property(
        fc.array(entries),
        fc.array(fc.constantFrom(...REASONS), { minLength: 1 }),
        trusts,
        fc.boolean(),
        (sent, reasons, trust, isAsked) => {
          const reasonOf = reasonsFrom(reasons);
          const parts: Parts =
            form === 'names'
              ? { NodeNames: sent }
              : { NodeNames: null, Nodes: { items: sent.map((name, i) => ({ metadata: { name }, i })) } };
          const out = answer(request(parts), isAsked ? reasonOf : undefined, trust);
          const passed =
            out.NodeNames ??
            (out.Nodes?.items as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name);
          const failed = Object.keys(out.FailedNodes);
          const unresolvable = Object.keys(out.FailedAndUnresolvableNodes);

          const lists = [new Set(passed), new Set(failed), new Set(unresolvable)];
          for (const name of [...passed, ...failed, ...unresolvable]) {
            expect(sent).toContain(name);
            expect(lists.filter((list) => list.has(name))).toHaveLength(1);
          }
          expect(passed).toEqual(sent.filter((name) => isName(name) && (!isAsked || reasonOf(name) === trust)));
          const named = new Set([...passed, ...failed, ...unresolvable]);
          for (const name of sent) if (isName(name)) expect(named).toContain(name);
          if (out.Nodes !== null) {
            const places = (out.Nodes.items as { i: number }[]).map(({ i }) => i);
            expect(places).toEqual(places.toSorted((a, b) => a - b));
          }
        },
      );
      fc.assert(property);
    },
  );
});
