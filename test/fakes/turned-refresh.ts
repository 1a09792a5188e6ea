/**
 * The built `refresh`, on a clock that each event turns: its member `clockOffsetMs` says how far ahead of the real one
 * this environment's clock is from then on. What is measured in spans (timers) is not touched.
 */
type Handler = (event: unknown, context: unknown) => Promise<unknown>;

let clockOffsetMs = 0;
const now = Date.now.bind(Date);
Date.now = () => now() + clockOffsetMs;

const bundle = new URL('../../dist/refresh/index.mjs', import.meta.url);
const refresh = ((await import(bundle.href)) as { handler: Handler }).handler;

export const handler: Handler = (event, context) => {
  ({ clockOffsetMs = 0 } = event as { clockOffsetMs?: number });
  return refresh(event, context);
};
