import { Duration } from 'aws-cdk-lib';
import { ComparisonOperator, MathExpression } from 'aws-cdk-lib/aws-cloudwatch';
import type { TrustMetrics } from '../constructs/trust-metrics.ts';
import type { AlarmLimits } from './limits.ts';
import { AGAIN, type AlarmPlan, counted, FIVE_MINUTES, LASTING, spell, within } from './plan.ts';

/** What is to be attested before somebody asks. */
export function ofRefresh(metrics: TrustMetrics, { roundSeconds, oldestSeconds }: AlarmLimits): AlarmPlan[] {
  const { refresh, deadLetters } = metrics.watched;
  const period = Duration.seconds(roundSeconds);
  const every = spell(roundSeconds);
  const plans: AlarmPlan[] = [
    {
      name: 'RefreshErrors',
      pages: false,
      when: `refresh failed, in two of three periods of ${every}`,
      means: 'Hosts are not attested ahead of requests, which then wait for polls themselves.',
      act: 'Look for "refresh failed" in the log of refresh: error_code says why (unread-table: not all of the table could be read).',
      metric: refresh.metricErrors({ period }),
      threshold: 1,
      span: within(AGAIN, roundSeconds),
    },
    {
      name: 'RefreshThrottles',
      pages: false,
      when: 'refresh found no execution, in three periods of 5 minutes in a row',
      means: 'More is handed over than refresh may do at once; what waits for too long does nothing.',
      act: 'Raise refreshConcurrency as far as the attestation service bears it: each execution has parallelPolls polls under way.',
      metric: refresh.metricThrottles({ period: FIVE_MINUTES }),
      threshold: 1,
      span: LASTING,
    },
    {
      name: 'RefreshBehind',
      pages: false,
      when: `more than half of the hosts that refresh was to attest were not, in two periods of ${every} in a row`,
      means: 'What refresh leaves undone ends soon, and requests must wait for it.',
      act: 'If AttesterUnreachable is on, begin there. Else see in the lines "attestations refreshed" whether the polls got slow, and raise parallelPolls or the step.',
      metric: new MathExpression({
        expression: '100 * due / (due + FILL(renewed, 0))',
        usingMetrics: {
          due: metrics.of('HostsDue', 'refresh', 'Sum', period),
          renewed: metrics.of('HostsRenewed', 'refresh', 'Sum', period),
        },
        label: 'Hosts that refresh left undone, %',
        period,
      }),
      threshold: 50,
      comparison: ComparisonOperator.GREATER_THAN_THRESHOLD,
      span: within({ breaching: 2, of: 2 }, roundSeconds),
    },
    counted(metrics, ['HandOversFailed', 'HandOversLate'], {
      name: 'HandOvers',
      means:
        'Hosts that requests hand over reach refresh too late or not at all; requests poll themselves or answer "pending".',
      act: 'With HandOversFailed read "faults" in the lines of filter (a right, or Lambda itself); with HandOversLate raise refreshConcurrency.',
    }),
    {
      name: 'DeadLetters',
      pages: false,
      when: 'there is an event in the queue of dead letters',
      means:
        'The function refresh failed at an event twice, or had no room for it. Nothing is lost: its hosts are handed over anew.',
      act: 'Read the message (its attributes have the error and the request id), mend what it says, then purge the queue, and with it the alarm (docs/refresh.md).',
      metric: deadLetters.metricApproximateNumberOfMessagesVisible(),
      threshold: 0,
      comparison: ComparisonOperator.GREATER_THAN_THRESHOLD,
      span: { breaching: 1, of: 1 },
    },
  ];
  if (oldestSeconds === undefined) return plans;
  return [
    ...plans,
    {
      name: 'OldestAttestation',
      pages: false,
      when: `an attestation in use was older than ${spell(oldestSeconds)} (two steps), in two periods of ${every} in a row`,
      means:
        'A host passes on what was true two rounds ago: rounds fail, take longer than the step, or a host has been silent since.',
      act: 'If due is near hosts in the lines "attestations refreshed", it is the rounds; if it is small, it is single hosts, and HostTrustUnknown will name them.',
      metric: metrics.of('OldestAttestation', 'refresh', 'Maximum', period),
      threshold: oldestSeconds,
      comparison: ComparisonOperator.GREATER_THAN_THRESHOLD,
      span: within({ breaching: 2, of: 2 }, roundSeconds),
    },
  ];
}
