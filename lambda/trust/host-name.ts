/** The longest name of a host, in UTF-16 units. */
export const LONGEST_NAME = 255;

/** Whether a member of a body can be the name of a host: text of some length that UTF-8 can write. */
export function isHostName(name: unknown): name is string {
  return typeof name === 'string' && name.length > 0 && name.length <= LONGEST_NAME && name.isWellFormed();
}
