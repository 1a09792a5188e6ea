import { SETTINGS, type Setting } from '../lambda/config.ts';

/** The server that cdk.json ships with: a place to write one's own. */
export const EXAMPLE_SERVER = 'attester.example.com';

/** The context `trust`, checked. */
export interface TrustSettings {
  readonly server: string;
  readonly secretName: string;
  /** Whether the stack makes the secret, empty, rather than use one that is there already; false unless set. */
  readonly createSecret: boolean;
  /** The function's variables, as far as the context sets them; the defaults are the function's own. */
  readonly environment: Readonly<Record<string, string>>;
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

const REQUIRED: ReadonlySet<Setting<unknown>> = new Set([SETTINGS.server, SETTINGS.secretId]);
const CREATE_SECRET = 'createSecret';

/**
 * Reads the context `trust` of cdk.json by the rules of the function's own settings, so that what would be a fault there
 * is one before anything is deployed. Numbers may be numbers or text; as in the function, empty text counts as unset.
 * @throws {TrustSettingsError} with every fault at once, members that are no setting among them
 */
export function parseTrustSettings(trust: unknown): TrustSettings {
  if (typeof trust !== 'object' || trust === null || Array.isArray(trust)) {
    throw new TrustSettingsError(['trust must be an object with the settings in it']);
  }
  const unread = new Map<string, unknown>(Object.entries(trust));
  const take = (name: string): unknown => {
    const value = unread.get(name);
    unread.delete(name);
    return value;
  };
  const faults: string[] = [];
  const environment: Record<string, string> = {};
  for (const setting of Object.values<Setting<unknown>>(SETTINGS)) {
    if (setting.context === undefined) continue;
    const value = take(setting.context);
    if (value === undefined || value === '') {
      if (REQUIRED.has(setting)) faults.push(`trust.${setting.context} is not set: it ${setting.rule}`);
      continue;
    }
    const text = typeof value === 'number' ? String(value) : value;
    if (typeof text === 'string' && isGood(setting, text)) environment[setting.variable] = text;
    else faults.push(`trust.${setting.context} ${setting.rule}`);
  }
  const createSecret = take(CREATE_SECRET) ?? false;
  if (typeof createSecret !== 'boolean') faults.push(`trust.${CREATE_SECRET} must be true or false`);
  faults.push(...Array.from(unread.keys(), (name) => `trust.${name} is not a setting`));
  if (faults.length > 0) throw new TrustSettingsError(faults);
  return {
    server: environment[SETTINGS.server.variable] as string,
    secretName: environment[SETTINGS.secretId.variable] as string,
    createSecret: createSecret === true,
    environment,
  };
}

function isGood(setting: Setting<unknown>, text: string): boolean {
  // The right to read the secret, and a new secret, are made of its name: an ARN is for the variable alone.
  if (setting === SETTINGS.secretId && text.includes(':')) return false;
  return setting.parse(text) !== undefined;
}
