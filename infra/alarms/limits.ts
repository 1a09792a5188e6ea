import { SETTINGS } from '../../lambda/config.ts';
import { isKeylime, type TrustSettings, valueOf } from '../settings/trust-settings.ts';

/** The settings from which the limits of the alarms follow. */
export type WatchedSettings = Pick<TrustSettings, 'environment' | 'fleetSize' | 'refreshMinutes' | 'filterConcurrency'>;

/** When the alarms go off, as far as that depends on settings. */
export interface AlarmLimits {
  /** In what time every host in use is polled, and so what is looked at as one: seconds, a multiple of 60, at least 300. */
  readonly roundSeconds: number;
  /**
   * In what time the service was asked often enough to tell whether it answers: two rounds, and a day at most; and how many polls
   * must have failed. A small fleet is one poll a round, and one that fails tells nothing.
   */
  readonly pollSeconds: number;
  readonly failedPolls: number;
  /** How old an attestation in use gets, in seconds, while rounds do their work; absent without a schedule. */
  readonly oldestSeconds: number | undefined;
  /** Hosts that change their level within five minutes. */
  readonly flips: number;
  /** Executions of the filter at once; absent where nothing limits them. */
  readonly executions: number | undefined;
  /** Whether an answer of the service may be younger than the validity at all when it comes. */
  readonly mayBeInTime: boolean;
  readonly isKeylime: boolean;
}

const LEAST_ROUND_SECONDS = 300;
/** CloudWatch looks back no further. */
export const DAY_SECONDS = 86_400;
/** A rack, or what a rolling update has in hand at once, may change; fewer hosts tell nothing of the fleet. */
const LEAST_FLIPS = 10;
const FLIPS_PERCENT = 2;
const EXECUTIONS_PERCENT = 80;

/** @param settings as the stack has them */
export function alarmLimits({
  environment,
  fleetSize,
  refreshMinutes,
  filterConcurrency,
}: WatchedSettings): AlarmLimits {
  const stepSeconds = refreshMinutes === undefined ? undefined : 60 * refreshMinutes;
  return {
    roundSeconds: Math.max(LEAST_ROUND_SECONDS, stepSeconds ?? 0),
    pollSeconds: Math.min(DAY_SECONDS, Math.max(LEAST_ROUND_SECONDS, 2 * (stepSeconds ?? 0))),
    failedPolls: 2 * (stepSeconds ?? 0) > DAY_SECONDS ? 1 : 2,
    oldestSeconds: stepSeconds === undefined ? undefined : 2 * stepSeconds,
    flips: Math.max(LEAST_FLIPS, Math.ceil((FLIPS_PERCENT * fleetSize) / 100)),
    executions: filterConcurrency === 0 ? undefined : Math.ceil((EXECUTIONS_PERCENT * filterConcurrency) / 100),
    mayBeInTime: valueOf(SETTINGS.authTimeoutSeconds, environment) > valueOf(SETTINGS.pollTimeoutSeconds, environment),
    isKeylime: isKeylime(environment),
  };
}
