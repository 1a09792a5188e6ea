import { Duration } from 'aws-cdk-lib';
import type { ComparisonOperator, IMetric } from 'aws-cdk-lib/aws-cloudwatch';
import type { MetricName } from '../../lambda/log/function-log.ts';
import type { TrustMetrics } from '../constructs/trust-metrics.ts';
import { DAY_SECONDS } from './limits.ts';

/** An alarm: what is looked at, when it goes off, and what it says to whom it wakes. */
export interface AlarmPlan {
  /** Its name, behind that of the stack. */
  readonly name: string;
  /** Whether it needs a human now, and not by day. */
  readonly pages: boolean;
  /** When it goes off, in words. */
  readonly when: string;
  /** What that means, and what to do: sentences. */
  readonly means: string;
  readonly act: string;
  readonly metric: IMetric;
  readonly threshold: number;
  /** At least as much unless said otherwise. */
  readonly comparison?: ComparisonOperator;
  readonly span: Span;
}

/** In how many of the last periods the limit must have been reached. */
export interface Span {
  readonly breaching: number;
  readonly of: number;
}

export const FIVE_MINUTES = Duration.minutes(5);
/** A single fault is over before anybody has looked; one that comes back is not. */
export const AGAIN: Span = { breaching: 2, of: 3 };
/** What is worth a look though it happened once. The period before it belongs to it, as the last may lack what is still on its way. */
export const ONCE: Span = { breaching: 1, of: 2 };
export const LASTING: Span = { breaching: 3, of: 3 };

interface Counted extends Pick<AlarmPlan, 'name' | 'means' | 'act'> {
  readonly pages?: boolean;
  readonly atLeast?: number;
  readonly span?: Span;
  /** What is looked at as one; five minutes unless set. */
  readonly roundSeconds?: number;
}

/** An alarm on what both functions count only where something is wrong. */
export function counted(
  metrics: TrustMetrics,
  names: readonly MetricName[],
  { pages = false, atLeast = 1, span = AGAIN, roundSeconds = FIVE_MINUTES.toSeconds(), ...texts }: Counted,
): AlarmPlan {
  const often =
    span === AGAIN ? `, in two of three periods of ${spell(roundSeconds)}` : ` within ${spell(roundSeconds)}`;
  return {
    ...texts,
    pages,
    when: `${names.join(', ')}: ${atLeast} or more${often}`,
    metric: metrics.sum(names, Duration.seconds(roundSeconds)),
    threshold: atLeast,
    span: within(span, roundSeconds),
  };
}

/** As many of the periods as CloudWatch looks back: a day in all. */
export function within({ breaching, of }: Span, periodSeconds: number): Span {
  const most = Math.max(1, Math.floor(DAY_SECONDS / periodSeconds));
  return { breaching: Math.min(breaching, most), of: Math.min(of, most) };
}

export function spell(seconds: number): string {
  return seconds % 3_600 === 0 ? `${seconds / 3_600} h` : `${seconds / 60} minutes`;
}
