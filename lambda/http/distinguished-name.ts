/**
 * A distinguished name, fit for comparing: a text for each of its parts (the relative distinguished names), in the order
 * in which they were written.
 */
export type DistinguishedName = readonly string[];

/** Types that have both a name and a number: those of RFC 4514, section 3, and two more that certificates often have. */
const NUMBERS: ReadonlyMap<string, string> = new Map([
  ['cn', '2.5.4.3'],
  ['l', '2.5.4.7'],
  ['st', '2.5.4.8'],
  ['o', '2.5.4.10'],
  ['ou', '2.5.4.11'],
  ['c', '2.5.4.6'],
  ['street', '2.5.4.9'],
  ['dc', '0.9.2342.19200300.100.1.25'],
  ['uid', '0.9.2342.19200300.100.1.1'],
  ['serialnumber', '2.5.4.5'],
  ['emailaddress', '1.2.840.113549.1.9.1'],
]);

/** RFC 4514, section 3: `attributeTypeAndValue`, with the value as `hexstring` or as `string`; in X.520 none is empty. */
const ATTRIBUTE = (() => {
  const type = String.raw`[A-Za-z][A-Za-z\d-]*|(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))+`;
  const pair = String.raw`\\(?:[ "#+,;<=>\\]|[\dA-Fa-f]{2})`;
  const character = String.raw`[^"+,;<>\\\0]`;
  const text = `(?:(?![ #])${character}|${pair})(?:(?:${character}|${pair})*(?:(?! )${character}|${pair}))?`;
  return new RegExp(String.raw`(${type})=(?:#((?:[\dA-Fa-f]{2})+)|(${text}))`, 'uy');
})();

/**
 * Reads a distinguished name as RFC 4514 writes it: `CN=kube-scheduler,O=example`. What other writers add (spaces around
 * `,` and `=`, `;` between parts, values in quotes) is no part of that.
 * @returns undefined where the text is none, or names nothing
 */
export function parseDistinguishedName(text: string): DistinguishedName | undefined {
  if (!text.isWellFormed()) return undefined;
  const parts: string[] = [];
  let attributes: string[] = [];
  for (let at = 0; ; at++) {
    ATTRIBUTE.lastIndex = at;
    const found = ATTRIBUTE.exec(text);
    if (found === null) return undefined;
    const [all, type = '', hex, written = ''] = found;
    const value = hex === undefined ? unescape(written) : hex.toLowerCase();
    if (value === undefined) return undefined;
    const name = type.toLowerCase();
    // A text that begins with "#" is not the encoding that "#" stands before.
    attributes.push(`${NUMBERS.get(name) ?? name}${hex === undefined ? '=' : '#'}${value}`);
    at += all.length;
    if (text[at] === '+') continue;
    // A part of several attributes is a set of them.
    parts.push(JSON.stringify(attributes.sort()));
    if (at === text.length) return parts;
    if (text[at] !== ',') return undefined;
    attributes = [];
  }
}

/**
 * Whether two names are the same. Who writes a name from its end, as RFC 4514 does, means the same as who writes it from
 * its beginning, as OpenSSL does; values are compared code point by code point.
 */
export function isSameName(one: DistinguishedName, other: DistinguishedName): boolean {
  if (one.length !== other.length) return false;
  const last = other.length - 1;
  return one.every((part, i) => part === other[i]) || one.every((part, i) => part === other[last - i]);
}

/** @returns undefined where what is escaped in hexadecimal is no UTF-8 */
function unescape(written: string): string | undefined {
  if (!written.includes('\\')) return written;
  const bytes = Array.from(written.matchAll(/\\([\dA-F]{2})|\\?([^])/giu), ([, hex, character = '']) =>
    hex === undefined ? Buffer.from(character) : Buffer.from(hex, 'hex'),
  );
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(bytes));
  } catch {
    return undefined;
  }
}
