/** How `filter` is run in AWS. docs/limits.md says what each number is for. */
export const FILTER_LIMITS = {
  /** The longest that API Gateway's own limit of 30 s leaves. */
  timeoutSeconds: 29,
  /** Executions at once, unless `trust.filterConcurrency` says otherwise. */
  concurrency: 200,
  /** Requests a second, and at once, that API Gateway takes at a route that has no limit of its own. */
  throttle: { rateLimit: 50, burstLimit: 100 },
} as const;

/** Routes with a limit of their own: kube-scheduler sends every pod, also one that asks for no trust. */
const ROUTES: ReadonlyMap<string, { readonly rateLimit: number; readonly burstLimit: number }> = new Map([
  ['POST /kubernetes/filter', { rateLimit: 500, burstLimit: 1_000 }],
]);

/** The limit of a route, as the stage of an HTTP API has it. */
export function throttleOf(routeKey: string): { ThrottlingRateLimit: number; ThrottlingBurstLimit: number } {
  const { rateLimit, burstLimit } = ROUTES.get(routeKey) ?? FILTER_LIMITS.throttle;
  return { ThrottlingRateLimit: rateLimit, ThrottlingBurstLimit: burstLimit };
}
