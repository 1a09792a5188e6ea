import { Duration } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction as LambdaTarget } from 'aws-cdk-lib/aws-events-targets';
import { type IQueue, Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import { REFRESH_LIMITS } from './refresh-limits.ts';
import { reserved, TrustFunction, type TrustFunctionProps } from './trust-function.ts';
import type { TrustSettings } from '../settings/trust-settings.ts';

export interface RefreshFunctionProps extends Pick<TrustFunctionProps, 'dist' | 'layers'> {
  readonly trust: TrustSettings;
}

/** The function that attests off the requests' path: invoked asynchronously by the filter, and by a schedule if there is one. */
export class RefreshFunction extends TrustFunction {
  readonly deadLetters: IQueue;

  constructor(scope: Construct, id: string, { trust, dist, layers }: RefreshFunctionProps) {
    const deadLetters = deadLetterQueue(scope, `${id}DeadLetters`);
    super(scope, id, {
      description: 'Attests hosts that no request has the time to wait for.',
      dist,
      bundle: 'refresh',
      timeout: Duration.seconds(REFRESH_LIMITS.timeoutSeconds),
      // Each execution may have `parallelPolls` polls under way: without a limit a large fleet that is handed over at once
      // would meet the attestation service with all of them. What finds no room waits in Lambda's own queue. The limit is
      // taken out of the account's, which must keep 100 (10 in the smallest accounts) for all other functions.
      ...reserved(trust.refreshConcurrency),
      retryAttempts: REFRESH_LIMITS.retries,
      maxEventAge: Duration.seconds(REFRESH_LIMITS.maxEventAgeSeconds),
      deadLetterQueue: deadLetters,
      environment: trust.environment,
      ...(layers === undefined ? {} : { layers }),
    });
    this.deadLetters = deadLetters;
    this.may(['sqs:SendMessage'], deadLetters.queueArn);
    if (trust.refreshMinutes !== undefined) {
      new Rule(scope, `${id}Schedule`, {
        description: 'Has the hosts that were asked about in the last day attested before their attestations end.',
        schedule: Schedule.rate(Duration.minutes(trust.refreshMinutes)),
        // A round that could not begin in time is the next round's.
        targets: [new LambdaTarget(this, { retryAttempts: 1, maxEventAge: Duration.minutes(1) })],
      });
    }
  }
}

/** What `refresh` failed at, for a human to look at. */
function deadLetterQueue(scope: Construct, id: string): Queue {
  const queue = new Queue(scope, id, {
    encryption: QueueEncryption.SQS_MANAGED,
    enforceSSL: true,
    retentionPeriod: Duration.days(14),
  });
  new Alarm(scope, `${id}Alarm`, {
    alarmDescription:
      'The function refresh failed at an event, or had no room for it: the queue of dead letters has it.',
    metric: queue.metricApproximateNumberOfMessagesVisible(),
    threshold: 0,
    comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
    evaluationPeriods: 1,
    treatMissingData: TreatMissingData.NOT_BREACHING,
  });
  return queue;
}
