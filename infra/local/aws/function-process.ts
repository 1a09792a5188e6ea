/**
 * A process that runs one function, as a Lambda execution environment does: loads the bundle (first argument) under the
 * function's name (second), and answers each event that its parent sends.
 */
import { pathToFileURL } from 'node:url';
import { type InvocationContext, newContext } from './http-api.ts';

export interface Order {
  readonly id: number;
  readonly event: unknown;
  readonly remainingMs: number;
  readonly requestId?: string;
}

/** What became of an order; an error as a function's own stack trace would be told to Lambda. */
export type Answer =
  { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: string };

type Handler = (event: unknown, context: InvocationContext) => unknown;

const [bundle = '', functionName = 'filter'] = process.argv.slice(2);

async function answer({ id, event, remainingMs, requestId }: Order): Promise<Answer> {
  try {
    return { id, result: await handler(event, newContext({ functionName, remainingMs, requestId })) };
  } catch (error) {
    return { id, error: Error.isError(error) ? `${error.name}: ${error.message}` : String(error) };
  }
}

// A terminal's Ctrl-C reaches this process too, and it is its parent's to say when it ends.
process.on('SIGINT', () => {});
// Without its parent, nobody would.
process.on('disconnect', () => process.exit());

const { handler } = (await import(pathToFileURL(bundle).href)) as { handler: Handler };

process.on('message', (order: Partial<Order>) => {
  if (order.id !== undefined) void answer(order as Order).then((answered) => process.send?.(answered));
});
process.send?.('ready');
