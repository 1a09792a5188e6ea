import { defaultOf, SETTINGS } from '../../lambda/config.ts';
import { faultOf, type Setting } from '../../lambda/setting.ts';
import { FILTER_LIMITS } from '../functions/filter-limits.ts';
import { REFRESH_LIMITS } from '../functions/refresh-limits.ts';
import { type ComplianceSettings, takeCompliance } from './compliance-settings.ts';
import { faultsBesideKeylime, takeKeylime } from './keylime-settings.ts';
import { faultOfSize } from './variables-size.ts';
import { takeVpc, type VpcSettings } from './vpc-settings.ts';

/** The server that cdk.json ships with: a place to write one's own. */
export const EXAMPLE_SERVER = 'attester.example.com';

/** The context `trust`, checked. */
export interface TrustSettings {
  readonly server: string;
  readonly secretName: string;
  /** Hosts that are expected. */
  readonly fleetSize: number;
  /** Whether the stack makes the secret, empty, rather than use one that is there already; false unless set. */
  readonly createSecret: boolean;
  /** Every how many minutes the hosts in use are attested without being asked about; never unless set. */
  readonly refreshMinutes: number | undefined;
  /** How many executions of `refresh` there may be at once, 10 unless set; 0 leaves it to the account's own limit. */
  readonly refreshConcurrency: number;
  /** How many executions of `filter` there may be at once, 200 unless set; 0 leaves it to the account's own limit. */
  readonly filterConcurrency: number;
  /** Where schedulers that can't sign ask with a client certificate; absent where all sign. */
  readonly domain: TrustDomain | undefined;
  /** Which Keylime agent is which host, where a table says so: it is deployed with both functions. */
  readonly agentIds: ReadonlyMap<string, string> | undefined;
  /** The VPC that the functions are in; absent where they are in none. */
  readonly vpc: VpcSettings | undefined;
  /** What rules of companies and accounts ask for beyond what the filter needs. */
  readonly compliance: ComplianceSettings;
  /** The variables of both functions, as far as the context sets them; the defaults are the functions' own. */
  readonly environment: Readonly<Record<string, string>>;
  /** Those that `filter` has beside them: whom it answers is no concern of `refresh`. */
  readonly filterEnvironment: Readonly<Record<string, string>>;
}

/** A domain name of one's own, at which API Gateway demands a client certificate. */
export interface TrustDomain {
  readonly name: string;
  /** The certificate of the domain itself, in AWS Certificate Manager. */
  readonly certificateArn: string;
  /** The authorities of the client certificates, PEM text in S3. */
  readonly truststore: { readonly bucket: string; readonly key: string };
}

/** Every fault of the context at once, each by its name there. */
export class TrustSettingsError extends Error {
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(`The context of cdk.json has faults:\n${faults.map((fault) => `- ${fault}`).join('\n')}`);
    this.name = 'TrustSettingsError';
    this.faults = faults;
  }
}

interface Limits {
  readonly name: string;
  readonly least: number;
  readonly most: number;
  readonly rule: string;
}

const REQUIRED: ReadonlySet<Setting<unknown>> = new Set([SETTINGS.server, SETTINGS.secretId]);
const CREATE_SECRET = 'createSecret';
/** What the stack alone reads, and the functions do not. EventBridge's finest step is a minute. */
const REFRESH: Limits = {
  name: 'refresh',
  least: 1,
  most: 1_440,
  rule: 'must be a whole number of minutes, 1 to 1440',
};
const CONCURRENCY = { least: 0, most: 1_000, rule: 'must be a whole number, 0 to 1000' };
const REFRESH_CONCURRENCY: Limits = { name: 'refreshConcurrency', ...CONCURRENCY };
const FILTER_CONCURRENCY: Limits = { name: 'filterConcurrency', ...CONCURRENCY };

/**
 * Reads the context `trust` of cdk.json by the rules of the function's own settings, so that what would be a fault there
 * is one before anything is deployed. Numbers may be numbers or text; as in the function, empty text counts as unset.
 * @throws {TrustSettingsError} with every fault at once, members that are no setting among them
 */
export function parseTrustSettings(trust: unknown): TrustSettings {
  if (typeof trust !== 'object' || trust === null || Array.isArray(trust)) {
    throw new TrustSettingsError([
      'trust must be an object with the settings in it (in cdk.json: what -c sets on the command line is a text)',
    ]);
  }
  const unread = new Map<string, unknown>(Object.entries(trust));
  const take = (name: string): unknown => {
    const value = unread.get(name);
    unread.delete(name);
    return value;
  };
  const faults: string[] = [];
  const environment: Record<string, string> = {};
  const filterEnvironment: Record<string, string> = {};
  for (const setting of Object.values<Setting<unknown>>(SETTINGS)) {
    if (setting.context === undefined || setting.context.includes('.')) continue;
    const value = take(setting.context);
    if (value === undefined || value === '') {
      if (REQUIRED.has(setting)) faults.push(`trust.${setting.context} is not set: it ${setting.rule}`);
      continue;
    }
    const text = typeof value === 'number' ? String(value) : value;
    if (typeof text === 'string' && isGood(setting, text)) environment[setting.variable] = text;
    else faults.push(faultOf(setting, `trust.${setting.context}`, typeof text === 'string' ? text : ''));
  }
  const createSecret = take(CREATE_SECRET) ?? false;
  if (typeof createSecret !== 'boolean') faults.push(`trust.${CREATE_SECRET} must be true or false`);
  const takeNumber = (limits: Limits): number | undefined => {
    const value = take(limits.name);
    if (value === undefined || value === '') return undefined;
    const number = wholeNumber(value, limits);
    if (number === undefined) faults.push(`trust.${limits.name} ${limits.rule}`);
    return number;
  };
  const givenDomain = take('domain');
  const domain = takeDomain(givenDomain, faults);
  const clients = take('clients');
  if (clients !== undefined) {
    const text = JSON.stringify(clients);
    if (SETTINGS.clients.parse(text) === undefined) faults.push(faultOf(SETTINGS.clients, 'trust.clients', text));
    else if (givenDomain === undefined)
      faults.push('trust.clients needs trust.domain: without it, API Gateway checks who asks');
    else filterEnvironment[SETTINGS.clients.variable] = text;
  } else if (givenDomain !== undefined) {
    faults.push('trust.clients is not set: where trust.domain is, it must name the clients that may ask');
  }
  const givenKeylime = take('keylime');
  const keylime = takeKeylime(givenKeylime, process.cwd(), faults);
  Object.assign(environment, keylime.environment);
  Object.assign(filterEnvironment, keylime.filterEnvironment);
  faults.push(
    ...faultsBesideKeylime(givenKeylime, {
      isKeylime: isKeylime(environment),
      hasDomain: givenDomain !== undefined,
      authTimeoutSeconds: valueOf(SETTINGS.authTimeoutSeconds, environment),
    }),
  );
  const vpc = takeVpc(take('vpc'), valueOf(SETTINGS.port, environment), faults);
  const compliance = takeCompliance(take('compliance'), faults);
  const refreshMinutes = takeNumber(REFRESH);
  const refreshConcurrency = takeNumber(REFRESH_CONCURRENCY) ?? REFRESH_LIMITS.concurrency;
  const filterConcurrency = takeNumber(FILTER_CONCURRENCY) ?? FILTER_LIMITS.concurrency;
  if (refreshMinutes !== undefined) faults.push(...faultsOfSchedule(refreshMinutes, environment));
  const tooLarge = faultOfSize({ ...environment, ...filterEnvironment });
  if (tooLarge !== undefined) faults.push(tooLarge);
  faults.push(...Array.from(unread.keys(), (name) => `trust.${name} is not a setting`));
  if (faults.length > 0) throw new TrustSettingsError(faults);
  return {
    server: environment[SETTINGS.server.variable] as string,
    secretName: environment[SETTINGS.secretId.variable] as string,
    fleetSize: valueOf(SETTINGS.fleetSize, environment),
    createSecret: createSecret === true,
    refreshMinutes,
    refreshConcurrency,
    filterConcurrency,
    domain,
    agentIds: keylime.agentIds.kind === 'table' ? keylime.agentIds.ids : undefined,
    vpc,
    compliance,
    environment,
    filterEnvironment,
  };
}

function isGood(setting: Setting<unknown>, text: string): boolean {
  // The right to read the secret, and a new secret, are made of its name: an ARN is for the variable alone.
  if (setting === SETTINGS.secretId && text.includes(':')) return false;
  return setting.parse(text) !== undefined;
}

/** What a setting will be in the function; 0 where it has a fault. */
export function valueOf(
  setting: Setting<number> & { readonly default: string },
  environment: Readonly<Record<string, string>>,
): number {
  const text = environment[setting.variable] ?? defaultOf(setting, isKeylime(environment)) ?? setting.default;
  return setting.parse(text) ?? 0;
}

/** Whether the attestation service is Keylime, by the variables of a function. */
export function isKeylime(environment: Readonly<Record<string, string>>): boolean {
  return environment[SETTINGS.service.variable] === 'keylime';
}

const DOMAIN_NAME = /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$/;
const CERTIFICATE_ARN = /^arn:[\w-]+:acm:[\w-]+:\d{12}:certificate\/.+$/;
const TRUSTSTORE = /^s3:\/\/([a-z0-9.-]{3,63})\/(.{1,1024})$/;

function takeDomain(value: unknown, faults: string[]): TrustDomain | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    faults.push('trust.domain must be an object with "name", "certificateArn" and "truststore"');
    return undefined;
  }
  const { name, certificateArn, truststore, ...others } = value as Record<string, unknown>;
  const match = (member: string, text: unknown, pattern: RegExp, rule: string): RegExpExecArray | null => {
    const found = typeof text === 'string' ? pattern.exec(text) : null;
    if (found === null) faults.push(`trust.domain.${member} ${rule}`);
    return found;
  };
  const found = {
    name: match('name', name, DOMAIN_NAME, 'must be a host name, in lower case'),
    arn: match(
      'certificateArn',
      certificateArn,
      CERTIFICATE_ARN,
      'must be the ARN of a certificate of AWS Certificate Manager',
    ),
    truststore: match('truststore', truststore, TRUSTSTORE, 'must be an object in S3, s3://bucket/key'),
  };
  faults.push(...Object.keys(others).map((member) => `trust.domain.${member} is not a setting`));
  if (found.name === null || found.arn === null || found.truststore === null) return undefined;
  const [, bucket = '', key = ''] = found.truststore;
  return { name: found.name[0], certificateArn: found.arn[0], truststore: { bucket, key } };
}

function wholeNumber(value: unknown, { least, most }: Limits): number | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  const number = typeof text === 'string' && /^\d{1,4}$/.test(text) ? Number(text) : NaN;
  return number >= least && number <= most ? number : undefined;
}

/**
 * A round attests every host once and may take as long as the step, so that up to two steps lie between two attestations
 * of a host: a shorter validity would end before the next, at every round. It passes over a host that was attested less
 * than `recheck` ago: with a recheck of a step or more, over every host at every second round.
 */
function faultsOfSchedule(minutes: number, environment: Readonly<Record<string, string>>): string[] {
  const step = 60 * minutes;
  const where = `where trust.${REFRESH.name} is ${minutes}`;
  const faults: string[] = [];
  if (valueOf(SETTINGS.authTimeoutSeconds, environment) < 2 * step) {
    const often = minutes === 1 ? 'once a minute' : `once in ${minutes} minutes`;
    faults.push(`trust.authTimeout must be at least ${2 * step} ${where}: every host is attested ${often}`);
  }
  if (valueOf(SETTINGS.recheckSeconds, environment) >= step) {
    faults.push(`trust.recheck must be less than ${step} ${where}: no host is attested twice within it`);
  }
  return faults;
}
