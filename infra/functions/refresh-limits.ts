/** How `refresh` is run, in AWS as on one machine. */
export const REFRESH_LIMITS = {
  timeoutSeconds: 300,
  retries: 1,
  /**
   * A hand-over is worth something only while its hosts are asked about, so it is not kept for long: long enough for the
   * minute that Lambda waits before it tries again what has failed.
   */
  maxEventAgeSeconds: 300,
  /** Unless `trust.refreshConcurrency` says otherwise. */
  concurrency: 10,
} as const;
