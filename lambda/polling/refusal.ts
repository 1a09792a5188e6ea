/**
 * A batch that the service refused as a whole, and the polls of its parts, breadth first, until the hosts that it refuses
 * stand alone. Pure functions of what came of the parts.
 */

import { odditiesOf } from './company.ts';

/** Most further polls for a batch that was refused. */
const MOST_EXTRA_POLLS = 16;

export interface Refusal<B> {
  readonly pollsLeft: number;
  /** Whether the service accepted any of the hosts: then it does not just refuse everything. */
  readonly isAccepted: boolean;
  /** What is odd about the names of parts that were refused, of each part what all of its names share. */
  readonly oddities: readonly string[];
  /** Parts that are queued or polled. */
  readonly open: number;
  /** How the parts ended that were cut last: with which status they were refused, undefined for any other end. */
  readonly ends: readonly (number | undefined)[];
  /** Refused parts of which it is not decided yet whether they are cut in turn. */
  readonly held: readonly B[];
}

/** What is to be done with refused batches: those to cut in two, and those whose outcome stands as it is. */
export interface Decided<B> {
  readonly refusal: Refusal<B>;
  readonly cut: readonly B[];
  readonly stand: readonly B[];
}

export function newRefusal<B>(whole: B): Decided<B> {
  return decided(
    { pollsLeft: MOST_EXTRA_POLLS, isAccepted: false, oddities: [], open: 0, ends: [], held: [whole] },
    true,
  );
}

/** How a part ended. */
export interface PartEnd<B> {
  /** Whether the service said something of any of its hosts. */
  readonly isAnswered: boolean;
  /** With which status it was refused as a whole. */
  readonly refusedWith: number | undefined;
  /** The part, where it was refused and has more than one host. */
  readonly refused: B | undefined;
  /** What is odd about all names of the part, where it was refused. */
  readonly oddities: readonly string[];
}

/** Takes the end of a part: an answer, a refusal, or that it was given up. */
export function afterPart<B>(refusal: Refusal<B>, end: PartEnd<B>): Decided<B> {
  const { isAnswered, oddities, refusedWith, refused } = end;
  const next = {
    ...refusal,
    isAccepted: refusal.isAccepted || isAnswered,
    oddities: [...refusal.oddities, ...oddities],
    open: refusal.open - 1,
    ends: [...refusal.ends, refusedWith],
    held: refused === undefined ? refusal.held : [...refusal.held, refused],
  };
  const isAlike =
    next.ends.length > 1 && refusedWith !== undefined && next.ends.every((status) => status === refusedWith);
  if (next.isAccepted || (next.open === 0 && !isAlike)) return decided(next, true);
  return next.open === 0 ? decided(next, false) : { refusal: next, cut: [], stand: [] };
}

function decided<B>(refusal: Refusal<B>, isCut: boolean): Decided<B> {
  const { held, open, pollsLeft } = refusal;
  const most = isCut ? Math.floor(pollsLeft / 2) : 0;
  const cut = held.slice(0, most);
  const polls = 2 * cut.length;
  return {
    refusal: { ...refusal, pollsLeft: pollsLeft - polls, open: open + polls, ends: [], held: [] },
    cut,
    stand: held.slice(most),
  };
}

/** Cuts what was refused in two: the plain names from the odd ones, or, where there are none of either, in the middle. */
export function cutRefused<T extends { readonly host: string }>(targets: readonly T[]): readonly [T[], T[]] {
  const isOdd = ({ host }: T): boolean => odditiesOf(host).length > 0;
  const odd = targets.filter(isOdd);
  if (odd.length > 0 && odd.length < targets.length) return [targets.filter((target) => !isOdd(target)), odd];
  const middle = Math.ceil(targets.length / 2);
  return [targets.slice(0, middle), targets.slice(middle)];
}
