import type { Reason } from '../trust/reason.ts';
import { InvalidRequestError, TooManyHostsError, type TrustedFilterError } from '../errors.ts';
import type { FilterRequest, Protocol, ProtocolOptions } from './filter-request.ts';
import { isHostName } from '../trust/host-name.ts';
import { isObject, type Members } from './members.ts';
import { MESSAGES } from './messages.ts';
import { podTrust } from './pod-trust.ts';
import { clean } from '../quote.ts';
import type { Verdicts } from '../attestation/compute-attestation.ts';

const NO_NAME = 'The name of the node is too long to be one.';

/** Why each node does not pass, by its name. */
type FailedNodes = Record<string, string>;

/** The members of `ExtenderArgs`, in lower case. */
type Argument = 'pod' | 'nodes' | 'nodenames';

/** What kube-scheduler sends to an extender, `ExtenderArgs`. The hosts are those entries that have a valid name. */
export interface KubernetesRequest extends FilterRequest {
  /** Where whole nodes came: the `NodeList`, and of its items the one of each host. */
  readonly nodes: { readonly list: Members; readonly items: readonly unknown[] } | undefined;
  /** Names that are none, and can be told that they are. */
  readonly misnamed: readonly string[];
}

/**
 * `POST /kubernetes/filter`: a filter extender of kube-scheduler (`k8s.io/kube-scheduler/extender/v1`), which reads no
 * answer but one with status 200, and waits for 5 s unless configured otherwise.
 */
export const kubernetes = { limitMs: () => 4_000, parse, render, renderFault } satisfies Protocol<KubernetesRequest>;

function parse(body: unknown, maxHosts: number, { kubernetesKey }: ProtocolOptions): KubernetesRequest {
  if (!isObject(body)) throw new InvalidRequestError('The body must be a JSON object.');
  const { pod, nodes, nodenames } = argumentsOf(body);
  if (!isObject(pod)) throw new InvalidRequestError('"Pod" must be an object.');
  const asked = { trust: podTrust(pod, kubernetesKey), workload: workloadOf(pod) };
  if ((nodes === null) === (nodenames === null)) {
    throw new InvalidRequestError('There must be either "NodeNames" or "Nodes", and the other null.');
  }
  if (nodes === null) {
    if (!Array.isArray(nodenames)) throw new InvalidRequestError('"NodeNames" must be an array.');
    checkSize('"NodeNames"', nodenames, maxHosts);
    return { ...asked, ...readNames(nodenames) };
  }
  if (!isObject(nodes)) throw new InvalidRequestError('"Nodes" must be an object.');
  // Go writes a list without items as null.
  const items = nodes['items'] ?? [];
  if (!Array.isArray(items)) throw new InvalidRequestError('"Nodes.items" must be an array or null.');
  checkSize('"Nodes.items"', items, maxHosts);
  return { ...asked, ...readNodes(nodes, items) };
}

/** The members have no JSON tags in Go, which writes their names as they are and reads them in any case. */
function argumentsOf(body: Members): Record<Argument, unknown> {
  const found: Record<Argument, unknown> = { pod: null, nodes: null, nodenames: null };
  const names = new Map<string, string>();
  for (const name of Object.keys(body)) {
    const argument = name.toLowerCase();
    if (!isArgument(argument)) continue;
    const before = names.get(argument);
    if (before !== undefined) {
      throw new InvalidRequestError(`The body has both "${before}" and "${name}", and only one of them can count.`);
    }
    names.set(argument, name);
    found[argument] = body[name];
  }
  return found;
}

function isArgument(name: string): name is Argument {
  return name === 'pod' || name === 'nodes' || name === 'nodenames';
}

function checkSize(what: string, { length }: readonly unknown[], maxHosts: number): void {
  if (length > maxHosts) throw new TooManyHostsError(`${what} has ${length} nodes; one request may have ${maxHosts}.`);
}

/** Names are copied only where one of them is none. */
function readNames(names: readonly unknown[]): Pick<KubernetesRequest, 'hosts' | 'nodes' | 'misnamed'> {
  let good = 0;
  while (good < names.length && isHostName(names[good])) good++;
  if (good === names.length) return { hosts: names as readonly string[], nodes: undefined, misnamed: [] };
  const hosts = names.slice(0, good) as string[];
  const misnamed: string[] = [];
  for (let i = good; i < names.length; i++) {
    const name = names[i];
    if (isHostName(name)) hosts.push(name);
    else if (isTellable(name)) misnamed.push(name);
  }
  return { hosts, nodes: undefined, misnamed };
}

function readNodes(list: Members, all: readonly unknown[]): Pick<KubernetesRequest, 'hosts' | 'nodes' | 'misnamed'> {
  const hosts: string[] = [];
  const misnamed: string[] = [];
  let items: unknown[] | undefined;
  for (let i = 0; i < all.length; i++) {
    const name = nameOf(all[i]);
    if (isHostName(name)) {
      hosts.push(name);
      items?.push(all[i]);
      continue;
    }
    items ??= all.slice(0, i);
    if (isTellable(name)) misnamed.push(name);
  }
  return { hosts, nodes: { list, items: items ?? all }, misnamed };
}

function nameOf(node: unknown): unknown {
  const metadata = typeof node === 'object' && node !== null ? (node as Members)['metadata'] : undefined;
  return typeof metadata === 'object' && metadata !== null ? (metadata as Members)['name'] : undefined;
}

/**
 * Whether a name that is none can be told so, under itself: an empty one says nothing, and one that is no well-formed
 * Unicode would arrive as another, which may be a node's.
 */
function isTellable(name: unknown): name is string {
  return typeof name === 'string' && name !== '' && name.isWellFormed();
}

/** Which pod it is: for the log alone. */
function workloadOf({ metadata }: Members): Record<string, string> | undefined {
  if (!isObject(metadata)) return undefined;
  const workload: Record<string, string> = {};
  for (const field of ['namespace', 'name', 'uid']) {
    const value = metadata[field];
    if (typeof value === 'string' && value !== '') workload[field] = clean(value);
  }
  return Object.keys(workload).length === 0 ? undefined : workload;
}

/** A node has one verdict however often it was sent, so that it is in one of the three: passing, failed, unresolvable. */
function render({ hosts, nodes, misnamed }: KubernetesRequest, { reasons, passing }: Verdicts): unknown {
  let failed: FailedNodes | undefined;
  let unresolvable: FailedNodes | undefined;
  for (const name of misnamed) (failed ??= newFailedNodes())[name] = NO_NAME;
  const sent: readonly unknown[] = nodes === undefined ? hosts : nodes.items;
  let passed = sent;
  if (reasons !== undefined) {
    const some: unknown[] = [];
    for (let i = 0; i < reasons.length; i++) {
      const reason = reasons[i] as Reason;
      const host = hosts[i] as string;
      if (reason === passing) some.push(sent[i]);
      // Preemption does not make a host of the other level one of this; whatever else is wrong may be over soon.
      else if (reason === 'trusted' || reason === 'untrusted') {
        (unresolvable ??= newFailedNodes())[host] = MESSAGES[reason];
      } else (failed ??= newFailedNodes())[host] = MESSAGES[reason];
    }
    passed = some;
  }
  const rest = { FailedNodes: failed ?? {}, FailedAndUnresolvableNodes: unresolvable ?? {}, Error: '' };
  return nodes === undefined
    ? { Nodes: null, NodeNames: passed, ...rest }
    : { Nodes: { ...nodes.list, items: passed }, NodeNames: null, ...rest };
}

function renderFault({ message }: TrustedFilterError) {
  return { Nodes: null, NodeNames: null, FailedNodes: {}, FailedAndUnresolvableNodes: {}, Error: message };
}

/** Without a prototype a node may be called `__proto__`, too. One that stays empty is not worth its slower JSON. */
function newFailedNodes(): FailedNodes {
  return Object.create(null) as FailedNodes;
}
