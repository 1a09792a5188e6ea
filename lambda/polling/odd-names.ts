/** What about a host's name an attestation service may refuse, and with it the whole batch: pure functions of names. */

/** What some dialect of OAT refuses: OAT 1.5 these, and all longer names; OAT 2.x a comma. */
const ODD_CHARACTERS = /[#&+:"',]/g;
const LONGEST_PLAIN = 50;

/** What is odd about a name: its odd characters, each once, and `long`; nothing of a plain one. */
export function odditiesOf(host: string): readonly string[] {
  const characters = [...new Set(host.match(ODD_CHARACTERS))];
  return host.length > LONGEST_PLAIN ? [...characters, 'long'] : characters;
}

/** What is odd about every one of the names. */
export function sharedOddities(hosts: readonly string[]): readonly string[] {
  const [first = '', ...others] = hosts;
  return others.reduce((shared, host) => {
    const its = odditiesOf(host);
    return shared.filter((oddity) => its.includes(oddity));
  }, odditiesOf(first));
}

/** Cuts what was refused in two: the plain names from the odd ones, or, where there are none of either, in the middle. */
export function cutRefused<T extends { readonly host: string }>(targets: readonly T[]): readonly [T[], T[]] {
  const isOdd = ({ host }: T): boolean => odditiesOf(host).length > 0;
  const odd = targets.filter(isOdd);
  if (odd.length > 0 && odd.length < targets.length) return [targets.filter((target) => !isOdd(target)), odd];
  const middle = Math.ceil(targets.length / 2);
  return [targets.slice(0, middle), targets.slice(middle)];
}
