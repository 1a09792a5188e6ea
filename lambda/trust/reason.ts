/** The words for what is known of a host. */
export type TrustLevel = 'trusted' | 'untrusted' | 'unknown';
export type RequiredTrust = 'trusted' | 'untrusted';

/** The order is part of the table's format: append only. */
export const LEVELS: readonly TrustLevel[] = ['trusted', 'untrusted', 'unknown'];

/**
 * Why a level is what it is. The order is part of the table's format: append only, and only reasons that stand for the
 * level unknown, since to an older release one that it does not know is `unknown`.
 */
export const REASONS = [
  'trusted',
  'untrusted',
  'unknown',
  'timeout',
  'pending',
  'not-in-reply',
  'bad-reply',
  'bad-vtime',
  'unreachable',
  'refused',
  'late',
  'unchecked',
] as const;
export type Reason = (typeof REASONS)[number];

/** The level that a reason stands for: everything that is not clearly one of the two is unknown. */
export function levelOf(reason: Reason): TrustLevel {
  return reason === 'trusted' || reason === 'untrusted' ? reason : 'unknown';
}
