/** What a setting is, and the kinds of values that settings have. */
import { isIP } from 'node:net';

/** One setting: how it is called where it is set, and what a good value is. */
export interface Setting<T> {
  readonly variable: string;
  /** Its member in the `trust` context of cdk.json; absent where the stack itself knows the value. */
  readonly context?: string;
  readonly default?: string;
  /** The default where the attestation service is Keylime, if that is another. */
  readonly keylimeDefault?: string;
  /** What a value must be, as the end of a sentence that begins with the setting's name. */
  readonly rule: string;
  /** The typed value; undefined where the text breaks the rule. */
  readonly parse: (text: string) => T | undefined;
  /** Which part of a text breaks the rule, as what follows it in the sentence. */
  readonly blame?: (text: string) => string;
}

const HOST_NAME = /^(?=.{1,253}$)(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?$/;

/** A host name or an IP address, and nothing else. */
export function hostOrAddress(text: string): string | undefined {
  return (isIP(text) === 0 ? isHostName(text) : isAddress(text)) ? text : undefined;
}

/** A zone (`%eth0`) names an interface of one machine, and has no place in a URL. */
function isAddress(text: string): boolean {
  return !text.includes('%');
}

/** A name that URLs keep as it is, rather than read as a number (`0x7f000001`) or refuse (`attester.1`). */
function isHostName(text: string): boolean {
  return HOST_NAME.test(text) && URL.parse(`https://${text}`)?.hostname === text.toLowerCase();
}

/** What is said of a setting whose text breaks the rule. */
export function faultOf(setting: Setting<unknown>, name: string, text: string): string {
  return `${name} ${setting.rule}${setting.blame?.(text) ?? ''}`;
}

export function integer(least: number, most: number): (text: string) => number | undefined {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
    return value >= least && value <= most ? value : undefined;
  };
}

/** At most a hundred days, so that every sum of times stays a sensible date. */
export function seconds(least: number, most = 8_640_000): (text: string) => number | undefined {
  return (text) => {
    const value = /^\d{1,9}(\.\d{1,3})?$/.test(text) ? Number(text) : NaN;
    return value >= least && value <= most ? value : undefined;
  };
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** In lower case. */
export function uuid(text: string): string | undefined {
  return UUID.test(text) ? text.toLowerCase() : undefined;
}

export function oneOf<T extends string>(...words: readonly T[]): (text: string) => T | undefined {
  return (text) => words.find((word) => word === text);
}
