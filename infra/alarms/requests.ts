import { ComparisonOperator, MathExpression } from 'aws-cdk-lib/aws-cloudwatch';
import type { TrustMetrics } from '../constructs/trust-metrics.ts';
import type { AlarmLimits } from './limits.ts';
import { AGAIN, type AlarmPlan, counted, FIVE_MINUTES, LASTING, ONCE } from './plan.ts';

/** What callers see. */
export function ofRequests(metrics: TrustMetrics, { executions }: AlarmLimits): AlarmPlan[] {
  const { filter } = metrics.watched;
  const period = FIVE_MINUTES;
  const plans: AlarmPlan[] = [
    {
      name: 'FilterErrors',
      pages: true,
      when: '5 % of the requests or more failed, in two of three periods of 5 minutes',
      means: 'Schedulers get errors instead of answers, and place no workload that asks for trust.',
      act: 'Look for "request failed" in the log of filter: error_code and error say why. Without such lines the function dies before it answers (time-out, memory, a bundle that does not load).',
      metric: new MathExpression({
        expression: 'IF(invocations > 0, 100 * (FILL(errors, 0) + FILL(answered, 0)) / invocations, 0)',
        usingMetrics: {
          invocations: filter.metricInvocations({ period }),
          errors: filter.metricErrors({ period }),
          answered: metrics.of('ServerErrors', 'filter', 'Sum', period),
        },
        label: 'Requests that failed, %',
        period,
      }),
      threshold: 5,
      span: AGAIN,
    },
    {
      name: 'FilterThrottles',
      pages: true,
      when: 'a request found no execution, in two of three periods of 5 minutes',
      means: 'More requests wait at once than filter may have executions, and schedulers get errors for the rest.',
      act: 'See first whether the attestation service hangs, since every request then takes its whole time. If it answers, raise filterConcurrency, or find out in the access log who asks so much.',
      metric: filter.metricThrottles({ period }),
      threshold: 1,
      span: AGAIN,
    },
    {
      name: 'TooManyRequests',
      pages: false,
      when: 'API Gateway answered 429, in two of three periods of 5 minutes',
      means: 'Somebody asks more often than the route may be asked; whoever gets 429 must ask again.',
      act: 'Find out in the access log who it is (principal, client_serial). If it is your scheduler, raise the rate of its route in infra/functions/filter-limits.ts.',
      metric: metrics.tooManyRequests(period),
      threshold: 1,
      span: AGAIN,
    },
    {
      name: 'NearDeadline',
      pages: false,
      when: 'of the requests that ask for trust one in a hundred took 90 % of its time or more, in three periods of 5 minutes in a row',
      means:
        'Requests wait for attestations until their time is up, and answer "pending" for hosts that nothing decided by then.',
      act: 'Set "refresh", so that hosts are attested before somebody asks; if it is set, see whether the attestation service got slower (attest_ms, polls in the lines).',
      metric: metrics.of('DeadlineUsed', 'filter', 'p99', period),
      threshold: 90,
      span: LASTING,
    },
  ];
  if (executions === undefined) return plans;
  return [
    ...plans,
    {
      name: 'ConcurrencyNear',
      pages: false,
      when: `filter had ${executions} executions at once or more (80 % of filterConcurrency), in two of three periods of 5 minutes`,
      means: 'Little more, and requests find no execution.',
      act: "See whether requests take long (NearDeadline) and why; if they are honest and quick, raise filterConcurrency, within the account's own limit.",
      metric: filter.metric('ConcurrentExecutions', { statistic: 'Maximum', period }),
      threshold: executions,
      span: AGAIN,
    },
  ];
}

/** What is said of hosts, and of how many. */
export function ofHosts(metrics: TrustMetrics, { flips }: AlarmLimits): AlarmPlan[] {
  const period = FIVE_MINUTES;
  const [decided, usingMetrics] = metrics.terms(['HostsTrusted', 'HostsUntrusted'], period, ['filter']);
  return [
    {
      name: 'UnknownShare',
      pages: true,
      when: 'more than half of the hosts that requests asked about were unknown, in three periods of 5 minutes in a row',
      means: 'For most hosts nobody vouches at the moment, so that most workloads that ask for trust find no place.',
      act: 'The lines of the requests have the reasons ("rejected"), and README says what each means: pending and unreachable speak of the attestation service, unknown of hosts that it was never told of.',
      metric: new MathExpression({
        expression: `100 * unknown / (unknown + ${decided})`,
        usingMetrics: { ...usingMetrics, unknown: metrics.of('HostsUnknown', 'filter', 'Sum', period) },
        label: 'Hosts that were unknown, %',
        period,
      }),
      threshold: 50,
      comparison: ComparisonOperator.GREATER_THAN_THRESHOLD,
      span: LASTING,
    },
    {
      name: 'MassFlip',
      pages: true,
      when: `${flips} hosts or more changed their level within 5 minutes (2 % of fleetSize, 10 at least)`,
      means:
        'Many hosts at once are mostly an update that the attestation service was not told of, or trouble of the service; else it is an attack.',
      act: 'Stop what acts on the events (evacuation, taints) until you know which. The events HostTrustChanged name the hosts, with from, to and reason.',
      metric: metrics.sum(['TrustChanges'], period, undefined, 'Hosts whose level changed'),
      threshold: flips,
      span: ONCE,
    },
    counted(metrics, ['HostsLeftOut'], {
      name: 'HostsLeftOut',
      means:
        'Names that were never attested found no room: somebody asks about made-up names, or fleetSize is too small. Hosts that were attested once are not affected.',
      act: 'Set hostPattern to what your hosts are called; if it is set, raise fleetSize. The lines with that count say who asked (client).',
    }),
  ];
}
