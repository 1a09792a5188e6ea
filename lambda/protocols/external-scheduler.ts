import type { RequiredTrust } from '../trust/reason.ts';
import { InvalidRequestError, TooManyHostsError } from '../errors.ts';
import { requiredTrust } from './extra-specs.ts';
import type { FilterRequest, Protocol } from './filter-request.ts';
import { isHostName } from '../trust/host-name.ts';
import { isObject, type Members } from './members.ts';
import { clean } from '../quote.ts';
import type { Verdicts } from '../attestation/compute-attestation.ts';

/** How Nova's objects say what they hold. */
const DATA = 'nova_object.data';
const FLAVOR = `spec["${DATA}"].flavor`;

export interface ExternalRequest extends FilterRequest {
  /** Nova's name of the compute service that each of `hosts` belongs to. */
  readonly services: readonly string[];
  /** Compute services that can't pass: one of their hypervisors has no name to attest. */
  readonly spoilt: ReadonlySet<string>;
}

/**
 * `POST /nova/external-scheduler`: the external scheduler of sapcc/nova (`nova/scheduler/external.py`). The caller keeps
 * its whole list of hosts on any answer but 200 with `hosts` and nothing else, so every fault is an answer without hosts.
 */
export const externalScheduler = {
  limitMs: () => 8_000,
  parse,
  render,
  renderFault: (): { hosts: string[] } => ({ hosts: [] }),
} satisfies Protocol<ExternalRequest>;

function parse(body: unknown, maxHosts: number): ExternalRequest {
  if (!isObject(body)) throw new InvalidRequestError('The body must be a JSON object.');
  const spec = isObject(body['spec']) ? body['spec'][DATA] : undefined;
  // Nova's rule for filters: a rebuild stays where it is, and is not checked.
  const trust = body['rebuild'] === true && !isRebuildByHintAlone(spec) ? undefined : parseTrust(spec);
  const workload = parseWorkload(spec);
  const list = body['hosts'];
  if (!Array.isArray(list)) throw new InvalidRequestError('"hosts" must be an array.');
  if (list.length > maxHosts) {
    throw new TooManyHostsError(`"hosts" has ${list.length} hosts; one request may have ${maxHosts}.`);
  }
  const services: string[] = [];
  const spoilt = new Set<string>();
  // Where no trust is asked, nobody asks for hypervisors either.
  const hosts = trust === undefined ? services : [];
  for (let i = 0; i < list.length; i++) {
    const entry: unknown = list[i];
    if (typeof entry !== 'object' || entry === null) continue;
    const service = (entry as Members)['host'];
    if (!isHostName(service)) continue;
    if (trust !== undefined) {
      const hypervisor = (entry as Members)['hypervisor_hostname'];
      if (!isHostName(hypervisor)) {
        spoilt.add(service);
        continue;
      }
      hosts.push(hypervisor);
    }
    services.push(service);
  }
  return { hosts, services, spoilt, trust, workload };
}

/**
 * Whether a rebuild is none: what marks it is a scheduler hint (`nova/scheduler/utils.py`, `request_is_rebuild`) that any
 * user may give to any request. Nova gives it together with the one host that it is about (`nova/compute/api.py`).
 */
function isRebuildByHintAlone(spec: unknown): boolean {
  if (!isObject(spec) || !isObject(spec['scheduler_hints']) || !('force_hosts' in spec)) return false;
  const forced = spec['force_hosts'];
  return '_nova_check_type' in spec['scheduler_hints'] && !(Array.isArray(forced) && forced.length > 0);
}

function parseTrust(spec: unknown): RequiredTrust | undefined {
  if (!isObject(spec)) throw new InvalidRequestError(`"spec["${DATA}"]" must be an object.`);
  const flavor = isObject(spec['flavor']) ? spec['flavor'][DATA] : undefined;
  if (!isObject(flavor)) throw new InvalidRequestError(`"${FLAVOR}["${DATA}"]" must be an object.`);
  return requiredTrust(flavor['extra_specs'], `${FLAVOR}["${DATA}"].extra_specs`);
}

/** What Nova says of the instance to place: for the log alone. */
function parseWorkload(spec: unknown): Record<string, string> | undefined {
  if (!isObject(spec)) return undefined;
  const workload: Record<string, string> = {};
  for (const field of ['instance_uuid', 'project_id']) {
    const value = spec[field];
    if (typeof value === 'string' && value !== '') workload[field] = clean(value);
  }
  return Object.keys(workload).length === 0 ? undefined : workload;
}

/** Every service once, where it first stood, if all of its hypervisors pass. */
function render({ services, spoilt }: ExternalRequest, { reasons, passing }: Verdicts): { hosts: string[] } {
  if (reasons === undefined) return { hosts: [...new Set(services)] };
  const passes = new Map<string, boolean>();
  for (let i = 0; i < reasons.length; i++) {
    const service = services[i] as string;
    const isTrusted = reasons[i] === passing;
    // A service that is known already keeps its place.
    if (!isTrusted || !passes.has(service)) passes.set(service, isTrusted && !spoilt.has(service));
  }
  const hosts: string[] = [];
  for (const [service, isPassing] of passes) if (isPassing) hosts.push(service);
  return { hosts };
}
