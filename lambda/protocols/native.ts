import type { Reason, RequiredTrust } from '../trust/reason.ts';
import { InvalidRequestError, TooManyHostsError } from '../errors.ts';
import { requiredTrust } from './extra-specs.ts';
import type { FilterRequest, Protocol, ProtocolLimits } from './filter-request.ts';
import { isHostName, LONGEST_NAME } from '../trust/host-name.ts';
import { isObject, type Members } from './members.ts';
import { MESSAGES } from './messages.ts';
import { clean } from '../quote.ts';
import type { Verdicts } from '../attestation/compute-attestation.ts';

/** `POST /filter`: Nova's own terms, `filter_properties` and `host_states`, as JSON. */
export const native = { limitMs, parse, render } satisfies Protocol;

/** Who calls may not want to wait for as long as API Gateway lets it. */
function limitMs({ nativeDeadlineSeconds }: ProtocolLimits): number {
  return 1_000 * nativeDeadlineSeconds;
}

function parse(body: unknown, maxHosts: number): FilterRequest {
  if (!isObject(body)) throw new InvalidRequestError('The body must be a JSON object.');
  const properties = body['filter_properties'];
  if (!isObject(properties)) throw new InvalidRequestError('"filter_properties" must be an object.');
  const trust = parseTrust(properties);
  return { hosts: parseHosts(body['host_states'], maxHosts), trust, workload: parseWorkload(properties) };
}

/** Up to Liberty Nova sent `instance_type`, from Mitaka on `flavor`. */
function parseTrust(properties: Members): RequiredTrust | undefined {
  const asked = new Set<RequiredTrust>();
  let isThere = false;
  for (const name of ['instance_type', 'flavor']) {
    const flavor = properties[name];
    if (flavor === undefined || flavor === null) continue;
    if (!isObject(flavor)) throw new InvalidRequestError(`"filter_properties.${name}" must be an object.`);
    isThere = true;
    const trust = requiredTrust(flavor['extra_specs'], `filter_properties.${name}.extra_specs`);
    if (trust !== undefined) asked.add(trust);
  }
  if (!isThere) {
    throw new InvalidRequestError('"filter_properties" must have an object "instance_type" or "flavor".');
  }
  if (asked.size > 1) {
    throw new InvalidRequestError(
      '"filter_properties.instance_type" and "filter_properties.flavor" ask for different trust.',
    );
  }
  return [...asked][0];
}

function parseHosts(states: unknown, maxHosts: number): string[] {
  if (!Array.isArray(states)) throw new InvalidRequestError('"host_states" must be an array.');
  if (states.length > maxHosts) {
    throw new TooManyHostsError(`"host_states" has ${states.length} hosts; one request may have ${maxHosts}.`);
  }
  const hosts: string[] = [];
  for (let i = 0; i < states.length; i++) {
    const state: unknown = states[i];
    const name = typeof state === 'object' && state !== null ? (state as Members)['nodename'] : undefined;
    if (!isHostName(name)) {
      throw new InvalidRequestError(
        `"host_states[${i}].nodename" must be a string of 1 to ${LONGEST_NAME} UTF-16 units and well-formed Unicode.`,
      );
    }
    hosts.push(name);
  }
  return hosts;
}

/** What Nova says of the instance to place, old form and new: for the log alone. */
function parseWorkload(properties: Members): Record<string, string> | undefined {
  const spec = isObject(properties['request_spec']) ? properties['request_spec'] : {};
  const instance = isObject(spec['instance_properties']) ? spec['instance_properties'] : {};
  const workload: Record<string, string> = {};
  const add = (field: string, ...values: unknown[]): void => {
    const value = values.find((candidate) => typeof candidate === 'string' && candidate !== '');
    if (typeof value === 'string') workload[field] = clean(value);
  };
  const uuids: unknown = spec['instance_uuids'];
  add(
    'instance_uuid',
    properties['instance_uuid'],
    spec['instance_uuid'],
    instance['uuid'],
    Array.isArray(uuids) ? uuids[0] : undefined,
  );
  add('project_id', properties['project_id'], spec['project_id'], instance['project_id']);
  return Object.keys(workload).length === 0 ? undefined : workload;
}

function render(request: FilterRequest, verdicts: Verdicts): unknown {
  const { reasons, passing, validUntil } = verdicts;
  if (reasons === undefined) return { hosts: request.hosts, rejected: [] };
  const hosts: string[] = [];
  const rejected = new Map<Reason, string[]>();
  let group: string[] = [];
  let groupReason: Reason | undefined;
  for (let i = 0; i < reasons.length; i++) {
    const host = request.hosts[i] as string;
    const reason = reasons[i] as Reason;
    if (reason === passing) {
      hosts.push(host);
      continue;
    }
    if (reason !== groupReason) {
      groupReason = reason;
      group = rejected.get(reason) ?? [];
      rejected.set(reason, group);
    }
    group.push(host);
  }
  return {
    hosts,
    rejected: Array.from(rejected, ([reason, names]) => ({ reason, message: MESSAGES[reason], hosts: names })),
    ...(validUntil === undefined ? {} : { valid_until: new Date(validUntil).toISOString() }),
  };
}
