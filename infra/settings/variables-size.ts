import { SETTINGS } from '../../lambda/config.ts';

/** What Lambda takes of a function's variables. */
const MOST_BYTES = 4_096;
/** What the stack adds, whose values are known only at the deployment: of this stack's name, CloudFormation makes none longer. */
const OF_THE_STACK = Object.fromEntries(
  [SETTINGS.table, SETTINGS.refreshFunction, SETTINGS.eventBus, SETTINGS.stack].map(({ variable }) => [
    variable,
    'x'.repeat(64),
  ]),
);

/**
 * Whether a function's variables are more than Lambda takes, which it would say only when the function is created. It
 * measures names and values as JSON, in bytes: each quote in a value counts twice.
 * @param environment what the context makes of it, without what the stack adds
 * @returns the fault, if it is one
 */
export function faultOfSize(environment: Readonly<Record<string, string>>): string | undefined {
  const bytes = bytesOf({ ...environment, ...OF_THE_STACK });
  if (bytes <= MOST_BYTES) return undefined;
  const sizes = Object.entries(environment).map(([name, value]) => ({ name, size: bytesOf(value) }));
  const [largest] = sizes.sort((a, b) => b.size - a.size);
  return `trust is too large: the variables of the function would take ${bytes} bytes, and Lambda takes at most ${MOST_BYTES} (${largest?.name} alone has ${largest?.size})`;
}

function bytesOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
