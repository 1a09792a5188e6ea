import type { RequiredTrust } from '../trust/reason.ts';
import { InvalidRequestError } from '../errors.ts';
import { isObject, type Members } from './members.ts';
import { quote } from '../quote.ts';

const REQUIRED = 'requiredDuringSchedulingIgnoredDuringExecution';

/**
 * The trust that a Kubernetes pod requires: by an annotation, a label, its node selector, or its required node affinity.
 * @param key the annotation's, the label's, and the one that selector and affinity look at on nodes
 * @returns undefined where it asks for nothing
 * @throws {InvalidRequestError} for what looks like a requirement and is none: it would silently do nothing
 */
export function podTrust(pod: Members, key: string): RequiredTrust | undefined {
  const metadata = objectIn(pod, 'metadata', 'Pod');
  const spec = objectIn(pod, 'spec', 'Pod');
  let trust: RequiredTrust | undefined;
  let by = '';
  const add = (asked: RequiredTrust | undefined, where: string): void => {
    if (asked === undefined) return;
    if (trust !== undefined && trust !== asked) {
      throw new InvalidRequestError(`The pod asks for "${trust}" by its ${by} and for "${asked}" by its ${where}.`);
    }
    trust = asked;
    by = where;
  };
  add(trustOfPairs(objectIn(metadata, 'annotations', 'Pod.metadata'), key, 'annotation'), 'annotation');
  add(trustOfPairs(objectIn(metadata, 'labels', 'Pod.metadata'), key, 'label'), 'label');
  add(trustOfPairs(objectIn(spec, 'nodeSelector', 'Pod.spec'), key, 'node selector'), 'node selector');
  add(trustOfAffinity(objectIn(spec, 'affinity', 'Pod.spec'), key), 'node affinity');
  return trust;
}

function trustOfPairs(pairs: Members | undefined, key: string, where: string): RequiredTrust | undefined {
  if (pairs === undefined) return undefined;
  let trust: RequiredTrust | undefined;
  for (const name of Object.keys(pairs)) if (isKey(name, key, where)) trust = trustOfValue(pairs[name], key, where);
  return trust;
}

/** The terms are alternatives: a node needs to match but one of them, so that each must ask for the same. */
function trustOfAffinity(affinity: Members | undefined, key: string): RequiredTrust | undefined {
  const path = 'Pod.spec.affinity.nodeAffinity';
  const required = objectIn(objectIn(affinity, 'nodeAffinity', 'Pod.spec.affinity'), REQUIRED, path);
  let trust: RequiredTrust | undefined;
  let isInAll = true;
  for (const term of listIn(required, 'nodeSelectorTerms', `${path}.${REQUIRED}`)) {
    const asked = trustOfTerm(term, key);
    if (asked === undefined) isInAll = false;
    else if (trust !== undefined && trust !== asked) {
      throw new InvalidRequestError(`The pod's node affinity asks for other trust in one term than in another.`);
    } else trust = asked;
  }
  if (trust !== undefined && !isInAll) {
    throw new InvalidRequestError(
      `The pod's node affinity has a term without ${quote(key)} beside one with it: any of them is enough for a node.`,
    );
  }
  return trust;
}

/** The expressions of a term must all match. Its `matchFields` look at fields of the node, and ask for nothing here. */
function trustOfTerm(term: unknown, key: string): RequiredTrust | undefined {
  if (term === null) return undefined;
  if (!isObject(term)) throw new InvalidRequestError('The terms of the node affinity must be objects.');
  let trust: RequiredTrust | undefined;
  for (const expression of listIn(term, 'matchExpressions', 'nodeSelectorTerms[]')) {
    if (!isObject(expression)) throw new InvalidRequestError('The expressions of the node affinity must be objects.');
    const { key: name, operator, values } = expression;
    if (typeof name !== 'string' || !isKey(name, key, 'node affinity')) continue;
    if (operator !== 'In' || !Array.isArray(values) || values.length !== 1) {
      throw new InvalidRequestError(
        `The pod's node affinity has ${quote(key)} with the operator ${quote(operator)}: only "In" with one value can ask for trust.`,
      );
    }
    const asked = trustOfValue(values[0], key, 'node affinity');
    if (trust !== undefined && trust !== asked) {
      throw new InvalidRequestError(`The pod's node affinity asks for "${trust}" and "${asked}" in the same term.`);
    }
    trust = asked;
  }
  return trust;
}

/** Whether a name is the key. One that differs in nothing but case and separators is the key in its author's mind alone. */
function isKey(name: string, key: string, where: string): boolean {
  if (name === key) return true;
  if (name.length === key.length && bare(name) === bare(key)) {
    throw new InvalidRequestError(
      `The pod's ${where} has the key ${quote(name)}, which asks for nothing: the key is ${quote(key)}.`,
    );
  }
  return false;
}

function bare(name: string): string {
  return name.toLowerCase().replace(/[-_.:/]/g, '-');
}

function trustOfValue(value: unknown, key: string, where: string): RequiredTrust {
  if (value === 'trusted' || value === 'untrusted') return value;
  throw new InvalidRequestError(
    `The pod's ${where} asks for ${quote(value)} with ${quote(key)}: only "trusted" and "untrusted" can be asked for.`,
  );
}

function objectIn(parent: Members | undefined, name: string, path: string): Members | undefined {
  const value = parent?.[name];
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw new InvalidRequestError(`"${path}.${name}" must be an object or null.`);
  return value;
}

function listIn(parent: Members | undefined, name: string, path: string): readonly unknown[] {
  const value = parent?.[name];
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new InvalidRequestError(`"${path}.${name}" must be an array or null.`);
  return value;
}
