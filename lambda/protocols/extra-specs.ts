import type { RequiredTrust } from '../trust/reason.ts';
import { InvalidRequestError } from '../errors.ts';
import { quote } from '../quote.ts';

/** The key that Nova's code read, and the one that its documentation named. */
const KEYS = new Set(['trust:trusted_host', 'trust']);

/** Characters that a reader does not see, and marks on others; U+2800 is a Braille pattern without dots. */
const UNSEEN = /[\p{C}\p{Z}\p{M}\p{Default_Ignorable_Code_Point}\u2800]/gu;
/** How much is looked at: whoever sends marks without end must not make us sort them. */
const SEEN = 16;

/** Whether a reader would take the key for one that asks for trust, whatever its case, spaces, marks and invisible characters. */
function looksLikeTrust(key: string): boolean {
  return key.replace(UNSEEN, '').slice(0, SEEN).normalize('NFKD').replace(UNSEEN, '').toLowerCase().startsWith('trust');
}

/**
 * The trust that a flavor's extra specs require.
 * @param where what the caller called the extra specs, for the error
 * @returns undefined where they ask for nothing
 * @throws {InvalidRequestError} for what looks like a requirement and is none: it would silently do nothing
 */
export function requiredTrust(extraSpecs: unknown, where: string): RequiredTrust | undefined {
  if (extraSpecs === undefined || extraSpecs === null) return undefined;
  if (typeof extraSpecs !== 'object' || Array.isArray(extraSpecs)) {
    throw new InvalidRequestError(`"${where}" must be an object or null.`);
  }
  let required: RequiredTrust | undefined;
  for (const [key, value] of Object.entries(extraSpecs) as [string, unknown][]) {
    if (!KEYS.has(key)) {
      if (!looksLikeTrust(key)) continue;
      throw new InvalidRequestError(
        `"${where}" has the key ${quote(key)}, which asks for nothing: the keys are "trust:trusted_host" and "trust".`,
      );
    }
    if (value !== 'trusted' && value !== 'untrusted') {
      throw new InvalidRequestError(
        `"${where}" asks for ${quote(value)} with ${quote(key)}: only "trusted" and "untrusted" can be asked for.`,
      );
    }
    if (required !== undefined && required !== value) {
      throw new InvalidRequestError(
        `"${where}" asks for "${required}" with one of "trust:trusted_host" and "trust" and for "${value}" with the other.`,
      );
    }
    required = value === 'trusted' ? 'trusted' : 'untrusted';
  }
  return required;
}
