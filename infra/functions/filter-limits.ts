import { WEBHOOK_ROUTE } from '../../lambda/http/routes.ts';

/** How `filter` is run in AWS. docs/limits.md says what each number is for. */
export const FILTER_LIMITS = {
  /** The longest that API Gateway's own limit of 30 s leaves. */
  timeoutSeconds: 29,
  /** Executions at once, unless `trust.filterConcurrency` says otherwise. */
  concurrency: 200,
  /** Requests a second, and at once, that API Gateway takes at a route that has no limit of its own. */
  throttle: { rateLimit: 50, burstLimit: 100 },
} as const;

/**
 * Routes with a limit of their own: kube-scheduler sends every pod, also one that asks for no trust; and what a verifier posts may take no
 * more executions of `refresh` than it has to.
 */
const ROUTES: ReadonlyMap<string, { readonly rateLimit: number; readonly burstLimit: number }> = new Map([
  ['POST /kubernetes/filter', { rateLimit: 500, burstLimit: 1_000 }],
  [WEBHOOK_ROUTE, { rateLimit: 10, burstLimit: 50 }],
]);

/** The limit of a route, as the stage of an HTTP API has it. */
export function throttleOf(routeKey: string): { ThrottlingRateLimit: number; ThrottlingBurstLimit: number } {
  const { rateLimit, burstLimit } = ROUTES.get(routeKey) ?? FILTER_LIMITS.throttle;
  return { ThrottlingRateLimit: rateLimit, ThrottlingBurstLimit: burstLimit };
}
