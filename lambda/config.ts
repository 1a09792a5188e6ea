import { ConfigurationError } from './errors.ts';
import { blameClient, parseClients } from './http/client-subject.ts';
import type { DistinguishedName } from './http/distinguished-name.ts';
import { KEYLIME_SETTINGS, type KeylimeConfig } from './keylime-settings.ts';
import { faultOf, hostOrAddress, integer, oneOf, seconds, type Setting } from './setting.ts';

export type { Setting } from './setting.ts';

export interface Config {
  readonly server: string;
  /** The name to verify in the server's certificate, where it is not the address. */
  readonly serverName?: string | undefined;
  /** Absent where the attestation service is OpenAttestation. */
  readonly keylime?: KeylimeConfig | undefined;
  readonly secretId: string;
  readonly table: string;
  readonly port: number;
  readonly apiUrl: string;
  readonly authTimeoutSeconds: number;
  readonly requestCount: number;
  readonly pollTimeoutSeconds: number;
  readonly parallelPolls: number;
  /** Never longer than `authTimeoutSeconds`. */
  readonly recheckSeconds: number;
  readonly fleetSize: number;
  readonly maxHosts: number;
  readonly hostPattern?: RegExp | undefined;
  /** The subjects of the client certificates that may ask; absent where API Gateway itself checks who asks. */
  readonly clients?: readonly DistinguishedName[] | undefined;
  /** How long a request in Nova's own terms may take. */
  readonly nativeDeadlineSeconds: number;
  /** The annotation, label or affinity key by which a Kubernetes pod asks for trust. */
  readonly kubernetesKey: string;
  /** The function that takes over hosts which a request has no time to poll; without one, requests poll themselves. */
  readonly refreshFunction?: string | undefined;
  /** The event bus that is told when a host's level changes; without one, nobody is. */
  readonly eventBus?: string | undefined;
  /** How long a host may be unknown before the bus is told. */
  readonly unknownAlarmSeconds: number;
  /** The stack that the function belongs to, for its metrics. */
  readonly stack: string;
}

const KUBERNETES_KEY =
  /^(?=.{1,317}$)([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

export const SETTINGS = {
  server: {
    variable: 'ATTESTATION_SERVER',
    context: 'server',
    rule: 'must be the host name or IP address of the attestation service, and nothing else',
    parse: hostOrAddress,
  } satisfies Setting<string>,
  secretId: {
    variable: 'ATTESTATION_SECRET_ID',
    context: 'secretName',
    rule: 'must be the name (or, in the variable, the ARN) of the secret with the client certificate',
    parse: (text) => (/^[\w/+=.@:-]{1,2048}$/.test(text) ? text : undefined),
  } satisfies Setting<string>,
  table: {
    variable: 'ATTESTATION_TABLE',
    rule: 'must be the name of the DynamoDB table',
    parse: (text) => (/^[\w.:/-]{3,1024}$/.test(text) ? text : undefined),
  } satisfies Setting<string>,
  port: {
    variable: 'ATTESTATION_PORT',
    context: 'port',
    default: '8443',
    keylimeDefault: '8881',
    rule: 'must be a port, 1 to 65535',
    parse: integer(1, 65_535),
  } satisfies Setting<number>,
  apiUrl: {
    variable: 'ATTESTATION_API_URL',
    context: 'apiUrl',
    default: '/OpenAttestationWebServices/V1.0',
    keylimeDefault: '/v2.1',
    rule: 'must be a path that starts with one "/" and has no "?", "#" or ".." in it',
    parse: (text) =>
      /^\/(?!\/)[!-~]*$/.test(text) && !/[?#\\]|\.\./.test(text) ? text.replace(/\/+$/, '') : undefined,
  } satisfies Setting<string>,
  authTimeoutSeconds: {
    variable: 'ATTESTATION_AUTH_TIMEOUT',
    context: 'authTimeout',
    default: '60',
    rule: 'must be a number of seconds, 0 or more',
    parse: seconds(0),
  } satisfies Setting<number>,
  requestCount: {
    variable: 'ATTESTATION_REQUEST_COUNT',
    context: 'requestCount',
    default: '100',
    // Each host is asked about by itself; many at once can be read together.
    keylimeDefault: '1000',
    rule: 'must be a whole number, 1 to 10000',
    parse: integer(1, 10_000),
  } satisfies Setting<number>,
  pollTimeoutSeconds: {
    variable: 'ATTESTATION_POLL_TIMEOUT',
    context: 'pollTimeout',
    default: '20',
    rule: 'must be a number of seconds, more than 0',
    parse: seconds(Number.MIN_VALUE),
  } satisfies Setting<number>,
  parallelPolls: {
    variable: 'ATTESTATION_PARALLEL_POLLS',
    context: 'parallelPolls',
    default: '10',
    rule: 'must be a whole number, 1 to 1000',
    parse: integer(1, 1_000),
  } satisfies Setting<number>,
  recheckSeconds: {
    variable: 'ATTESTATION_RECHECK',
    context: 'recheck',
    default: '5',
    rule: 'must be a number of seconds, 0 or more',
    parse: seconds(0),
  } satisfies Setting<number>,
  fleetSize: {
    variable: 'ATTESTATION_FLEET_SIZE',
    context: 'fleetSize',
    default: '1000',
    rule: 'must be a whole number, 1 to 10000000',
    parse: integer(1, 10_000_000),
  } satisfies Setting<number>,
  maxHosts: {
    variable: 'ATTESTATION_MAX_HOSTS',
    context: 'maxHosts',
    default: '70000',
    rule: 'must be a whole number, 1 to 1000000',
    parse: integer(1, 1_000_000),
  } satisfies Setting<number>,
  nativeDeadlineSeconds: {
    variable: 'ATTESTATION_NATIVE_DEADLINE',
    context: 'nativeDeadline',
    default: '25',
    rule: 'must be a number of seconds, 1 to 25',
    parse: seconds(1, 25),
  } satisfies Setting<number>,
  kubernetesKey: {
    variable: 'ATTESTATION_KUBERNETES_KEY',
    context: 'kubernetesKey',
    default: 'trust/trusted-host',
    rule: 'must be a key as Kubernetes labels have: an optional DNS prefix and "/", then 1 to 63 letters, digits, "-", "_" or "."',
    parse: (text) => (KUBERNETES_KEY.test(text) ? text : undefined),
  } satisfies Setting<string>,
  clients: {
    variable: 'ATTESTATION_CLIENTS',
    rule: 'must be a JSON array of at least one subject of a client certificate, such as ["CN=kube-scheduler,O=example"], as RFC 4514 writes it: with no space around "=" and ",", and no "subject=" before it',
    parse: parseClients,
    blame: blameClient,
  } satisfies Setting<readonly DistinguishedName[]>,
  refreshFunction: {
    variable: 'ATTESTATION_REFRESH_FUNCTION',
    rule: 'must be the name or ARN of the function that refreshes attestations',
    parse: (text) => (/^[\w:$-]{1,256}$/.test(text) ? text : undefined),
  } satisfies Setting<string>,
  eventBus: {
    variable: 'ATTESTATION_EVENT_BUS',
    rule: 'must be the name or ARN of an EventBridge event bus',
    parse: (text) => (/^[\w.:/-]{1,256}$/.test(text) ? text : undefined),
  } satisfies Setting<string>,
  stack: {
    variable: 'ATTESTATION_STACK',
    default: 'local',
    rule: 'must be the name of a stack: letters, digits and "-", at most 128',
    parse: (text) => (/^[A-Za-z0-9-]{1,128}$/.test(text) ? text : undefined),
  } satisfies Setting<string>,
  unknownAlarmSeconds: {
    variable: 'ATTESTATION_UNKNOWN_ALARM',
    context: 'unknownAlarm',
    default: '3600',
    rule: 'must be a number of seconds, more than 0',
    parse: seconds(Number.MIN_VALUE),
  } satisfies Setting<number>,
  hostPattern: {
    variable: 'ATTESTATION_HOST_PATTERN',
    context: 'hostPattern',
    rule: 'must be a regular expression as JavaScript writes it, without slashes',
    parse: (text) => {
      try {
        return new RegExp(text, 'u');
      } catch {
        return undefined;
      }
    },
  } satisfies Setting<RegExp>,
  service: {
    variable: 'ATTESTATION_SERVICE',
    context: 'service',
    default: 'oat',
    rule: 'must be the kind of the attestation service, oat or keylime',
    parse: oneOf('oat', 'keylime'),
  } satisfies Setting<string>,
  serverName: {
    variable: 'ATTESTATION_SERVER_NAME',
    context: 'serverName',
    rule: "must be the host name or IP address that the server's certificate is for, and nothing else",
    parse: hostOrAddress,
  } satisfies Setting<string>,
  ...KEYLIME_SETTINGS,
};

/**
 * Reads the function's configuration from its environment (an empty variable counts as unset).
 * @throws {ConfigurationError} with every fault at once, by the name of its variable
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const faults: string[] = [];
  const isKeylime = env[SETTINGS.service.variable] === 'keylime';
  function read<T>(setting: Setting<T>): T | undefined {
    const text = env[setting.variable] || defaultOf(setting, isKeylime);
    const value = text === undefined ? undefined : setting.parse(text);
    if (value === undefined && text !== undefined) faults.push(faultOf(setting, setting.variable, text));
    return value;
  }
  function need<T>(setting: Setting<T>): T {
    if (!env[setting.variable] && setting.default === undefined) {
      faults.push(`${setting.variable} is not set: it ${setting.rule}`);
    }
    return read(setting) as T;
  }
  need(SETTINGS.service);
  const keylime = {
    agentIds: need(SETTINGS.agentIds),
    namespace: need(SETTINGS.namespace),
    policyRequired: need(SETTINGS.policyRequired) === 'true',
    verifiers: read(SETTINGS.verifiers),
  };
  const config = {
    server: need(SETTINGS.server),
    serverName: read(SETTINGS.serverName),
    keylime: isKeylime ? keylime : undefined,
    secretId: need(SETTINGS.secretId),
    table: need(SETTINGS.table),
    port: need(SETTINGS.port),
    apiUrl: need(SETTINGS.apiUrl),
    authTimeoutSeconds: need(SETTINGS.authTimeoutSeconds),
    requestCount: need(SETTINGS.requestCount),
    pollTimeoutSeconds: need(SETTINGS.pollTimeoutSeconds),
    parallelPolls: need(SETTINGS.parallelPolls),
    recheckSeconds: need(SETTINGS.recheckSeconds),
    fleetSize: need(SETTINGS.fleetSize),
    maxHosts: need(SETTINGS.maxHosts),
    hostPattern: read(SETTINGS.hostPattern),
    nativeDeadlineSeconds: need(SETTINGS.nativeDeadlineSeconds),
    kubernetesKey: need(SETTINGS.kubernetesKey),
    clients: read(SETTINGS.clients),
    refreshFunction: read(SETTINGS.refreshFunction),
    eventBus: read(SETTINGS.eventBus),
    unknownAlarmSeconds: need(SETTINGS.unknownAlarmSeconds),
    stack: need(SETTINGS.stack),
  };
  if (isKeylime && config.authTimeoutSeconds === 0) {
    const { variable } = SETTINGS.authTimeoutSeconds;
    faults.push(`${variable} must be more than 0 with Keylime: a quote is some seconds old when it is read`);
  }
  if (faults.length > 0) throw new ConfigurationError(faults);
  return { ...config, recheckSeconds: Math.min(config.recheckSeconds, config.authTimeoutSeconds) };
}

/** What counts where a setting is not set. */
export function defaultOf(
  { default: unless, keylimeDefault }: Setting<unknown>,
  isKeylime: boolean,
): string | undefined {
  return isKeylime ? (keylimeDefault ?? unless) : unless;
}

/** The stack that the function belongs to, for metrics, which are there also where the configuration has faults. */
export function stackOf(env: Readonly<Record<string, string | undefined>>): string {
  const { default: unless, parse, variable } = SETTINGS.stack;
  return parse(env[variable] || unless) ?? unless;
}
