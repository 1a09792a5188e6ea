const LONGEST = 100;

/** What a caller sent, fit for an error or a log line: cut at 100 characters, control characters escaped, in quotes. */
export function quote(value: unknown): string {
  if (typeof value !== 'string') return value === null ? 'null' : Array.isArray(value) ? 'an array' : scalar(value);
  return `"${clean(value)}"`;
}

/** The same without the quotes. */
export function clean(text: string): string {
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
  // Controls, format characters (among them those that turn the direction of writing), separators, lone surrogates.
  return cut.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16);
    return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, '0')}`;
  });
}

function scalar(value: unknown): string {
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : `an ${typeof value}`;
}
