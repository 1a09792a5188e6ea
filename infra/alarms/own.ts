import { type IMetric, MathExpression } from 'aws-cdk-lib/aws-cloudwatch';
import type { TrustMetrics } from '../constructs/trust-metrics.ts';
import { AGAIN, type AlarmPlan, counted, FIVE_MINUTES, ONCE } from './plan.ts';

/** What the functions stand on. */
export function ofTable(metrics: TrustMetrics): AlarmPlan[] {
  const { table } = metrics.watched;
  const period = FIVE_MINUTES;
  const throttled = (metricName: string): IMetric => table.metric(metricName, { statistic: 'Sum', period });
  return [
    counted(metrics, ['TableFaults'], {
      name: 'TableDegraded',
      pages: true,
      atLeast: 5,
      means:
        'DynamoDB fails or refuses. Answers stay right, but each environment polls for itself, and the attestation service gets many times the work.',
      act: 'Read "faults" in the lines with that count: a right or a key that was taken away, throttling (TableThrottles), or DynamoDB itself (AWS Health).',
    }),
    {
      name: 'TableThrottles',
      pages: false,
      when: 'DynamoDB refused a read or a write for lack of throughput, in two of three periods of 5 minutes',
      means: 'The table is used more than a fleet of fleetSize hosts ever should.',
      act: 'Set fleetSize to what you have and hostPattern to what it is called; if both are right, find out who asks about made-up names.',
      // DynamoDB's metrics alone would keep an alarm on for as long as there is nothing new to tell.
      metric: new MathExpression({
        expression: 'FILL(reads, 0) + FILL(writes, 0)',
        usingMetrics: { reads: throttled('ReadThrottleEvents'), writes: throttled('WriteThrottleEvents') },
        label: 'Reads and writes that were refused',
        period,
      }),
      threshold: 1,
      span: AGAIN,
    },
    counted(metrics, ['DamagedShards'], {
      name: 'DamagedShards',
      span: ONCE,
      means: 'An item of the table is not what the functions wrote. Its hosts are attested anew.',
      act: 'Find out who else may write the table (CloudTrail), since an entry in it is taken for the word of the attestation service.',
    }),
  ];
}

/** The functions themselves, and whom they tell. */
export function ofItself(metrics: TrustMetrics): AlarmPlan[] {
  return [
    counted(metrics, ['ClockFaults'], {
      name: 'ClockOff',
      means:
        'The clock of an environment is more than three seconds off. It goes by that of DynamoDB meanwhile, so that no verdict is wrong.',
      act: 'Wait for an hour, in which Lambda mostly replaces the environment; if it stays, deploy again, then ask AWS. ClockDifference says by how much.',
    }),
    counted(metrics, ['EventFaults'], {
      name: 'EventFaults',
      means:
        'The event bus does not take events, so that nobody hears of hosts that change. They are kept and sent again, ten for a host.',
      act: 'Read "faults" in the lines with that count: mostly a right to the bus or its key, or a limit of the account.',
    }),
    counted(metrics, ['InternalFaults'], {
      name: 'InternalFaults',
      span: ONCE,
      means: "A fault of the functions' own. No host passed by it.",
      act: 'Report it with the line that has that count in it: "faults" has the cause.',
    }),
  ];
}
