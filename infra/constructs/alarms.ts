import { Stack } from 'aws-cdk-lib';
import {
  Alarm,
  AlarmRule,
  ComparisonOperator,
  CompositeAlarm,
  type IAlarm,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { FilterPattern, MetricFilter } from 'aws-cdk-lib/aws-logs';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import { ofAttester } from '../alarms/attester.ts';
import { type AlarmLimits, alarmLimits, type WatchedSettings } from '../alarms/limits.ts';
import { ofItself, ofTable } from '../alarms/own.ts';
import type { AlarmPlan } from '../alarms/plan.ts';
import { ofRefresh } from '../alarms/refreshing.ts';
import { ofHosts, ofRequests } from '../alarms/requests.ts';
import { except, inPacks } from './exceptions.ts';
import { TOO_MANY_REQUESTS, type TrustMetrics } from './trust-metrics.ts';

export interface AlarmsProps {
  readonly trust: WatchedSettings;
  readonly metrics: TrustMetrics;
  /** The SNS topic that is told when an alarm goes off, and when it is over; without one nobody is. */
  readonly alarmTopicArn?: string | undefined;
}

/** What tells that something is wrong: an alarm for each thing that can be, and one above those that need a human now. */
export class Alarms extends Construct {
  /** Those of single things, in the order of docs/alarms.md. */
  readonly all: readonly IAlarm[];
  /** The one that pages. */
  readonly page: IAlarm;

  constructor(scope: Construct, id: string, { trust, metrics, alarmTopicArn }: AlarmsProps) {
    super(scope, id);
    const { stackName } = Stack.of(this);
    new MetricFilter(this, 'TooManyRequestsFilter', {
      logGroup: metrics.watched.accessLog,
      filterPattern: FilterPattern.stringValue('$.status', '=', '429'),
      metricNamespace: metrics.tooManyNamespace,
      metricName: TOO_MANY_REQUESTS.metricName,
      metricValue: '1',
    });
    const plans = alarmPlans(metrics, alarmLimits(trust));
    const alarms = plans.map(
      ({ name, when, means, act, metric, threshold, comparison, span }) =>
        new Alarm(this, name, {
          alarmName: `${stackName}-${name}`,
          alarmDescription: `${means} ${act} (When ${when}.)`,
          metric,
          threshold,
          comparisonOperator: comparison ?? ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
          evaluationPeriods: span.of,
          datapointsToAlarm: span.breaching,
          // The functions write no zeros, and a stack that nobody asks writes nothing: what is missing did not happen.
          treatMissingData: TreatMissingData.NOT_BREACHING,
        }),
    );
    const paging = alarms.filter((_, i) => plans[i]?.pages === true);
    const page = new CompositeAlarm(this, 'Page', {
      compositeAlarmName: `${stackName}-Page`,
      alarmDescription:
        'No workload that asks for trust finds a place, or soon none will. See which of the alarms below is on: its description says what to do (docs/alarms.md).',
      alarmRule: AlarmRule.anyOf(...paging),
    });
    if (alarmTopicArn === undefined) {
      // Rules ask for it of alarms on metrics, and not of one on other alarms.
      for (const alarm of alarms) {
        except(
          alarm,
          [...inPacks('CloudWatchAlarmAction', 'NIST', 'HIPAA'), 'CT.CLOUDWATCH.PR.1'],
          'Whom an alarm should wake is for the operator to say: trust.compliance.alarmTopicArn.',
        );
      }
    } else {
      const action = new SnsAction(Topic.fromTopicArn(this, 'Topic', alarmTopicArn));
      for (const alarm of [...alarms, page]) {
        alarm.addAlarmAction(action);
        alarm.addOkAction(action);
      }
    }
    this.all = alarms;
    this.page = page;
  }
}

/** The alarms of a stack with these limits, those about what callers see first. */
export function alarmPlans(metrics: TrustMetrics, limits: AlarmLimits): AlarmPlan[] {
  return [
    ...ofRequests(metrics, limits),
    ...ofHosts(metrics, limits),
    ...ofAttester(metrics, limits),
    ...ofRefresh(metrics, limits),
    ...ofTable(metrics),
    ...ofItself(metrics),
  ];
}
