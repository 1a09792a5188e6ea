/** Reads an object of the context member by member, so that what nobody asked for is left to be named. */
export class Members {
  readonly #name: string;
  readonly #given: Readonly<Record<string, unknown>>;
  readonly #unread: Map<string, unknown>;
  readonly #faults: string[];

  /**
   * @param name what the object is called in the context
   * @param value anything but an object is a fault, and has no members
   * @param faults gets every fault, each by its name in the context
   */
  constructor(name: string, value: unknown, faults: string[]) {
    this.#name = name;
    this.#faults = faults;
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (!isObject) faults.push(`${name} must be an object`);
    this.#given = isObject ? { ...value } : {};
    this.#unread = new Map(Object.entries(this.#given));
  }

  /** Whether a member is set, whatever to. */
  has(member: string): boolean {
    const value = this.#given[member];
    return value !== undefined && value !== '';
  }

  /** The value of a member, if it is set: as everywhere in the context, empty text counts as unset. */
  take(member: string): unknown {
    const value = this.#unread.get(member);
    this.#unread.delete(member);
    return value === '' ? undefined : value;
  }

  /** A text that matches, if it is set. */
  takeText(member: string, pattern: RegExp, rule: string): string | undefined {
    const value = this.take(member);
    if (value === undefined) return undefined;
    if (typeof value === 'string' && pattern.test(value)) return value;
    this.fault(member, rule);
    return undefined;
  }

  /** A list of different texts that match, if it is set; a rule that it breaks is one fault, whichever of its texts do. */
  takeTexts(member: string, pattern: RegExp, { least, most }: { least: number; most: number }, rule: string): string[] {
    const value = this.take(member);
    if (value === undefined) return [];
    const texts: unknown[] = Array.isArray(value) ? value : [];
    const areGood = texts.every((text): text is string => typeof text === 'string' && pattern.test(text));
    if (areGood && new Set(texts).size === texts.length && texts.length >= least && texts.length <= most) return texts;
    this.fault(member, rule);
    return [];
  }

  /** True or false, if it is set. */
  takeFlag(member: string): boolean | undefined {
    const value = this.take(member);
    if (value === undefined || typeof value === 'boolean') return value;
    this.fault(member, 'must be true or false');
    return undefined;
  }

  fault(member: string, rule: string): void {
    this.#faults.push(`${this.#name}.${member} ${rule}`);
  }

  /** Names what was not taken. */
  end(): void {
    for (const member of this.#unread.keys()) this.fault(member, 'is not a setting');
  }
}
