import { Duration } from 'aws-cdk-lib';
import { Alarm, ComparisonOperator, TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { Queue, QueueEncryption, RedrivePermission } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import type { ComplianceSettings } from '../settings/compliance-settings.ts';
import { except, inPacks } from './exceptions.ts';

/** What `refresh` failed at, for a human to look at. */
export class DeadLetters extends Queue {
  constructor(scope: Construct, id: string, { kmsKeyArn, alarmTopicArn }: ComplianceSettings) {
    super(scope, id, {
      ...(kmsKeyArn === undefined
        ? { encryption: QueueEncryption.SQS_MANAGED }
        : { encryption: QueueEncryption.KMS, encryptionMasterKey: Key.fromKeyArn(scope, `${id}Key`, kmsKeyArn) }),
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
      // Lambda sends what is in it; no queue may.
      redriveAllowPolicy: { redrivePermission: RedrivePermission.DENY_ALL },
    });
    except(
      this,
      ['Serverless-SQSRedrivePolicy', 'CT.SQS.PR.1'],
      'It is the queue of dead letters itself: nothing receives from it but who looks at them.',
    );
    const alarm = new Alarm(scope, `${id}Alarm`, {
      alarmDescription:
        'The function refresh failed at an event, or had no room for it: the queue of dead letters has it.',
      metric: this.metricApproximateNumberOfMessagesVisible(),
      threshold: 0,
      comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: 1,
      treatMissingData: TreatMissingData.NOT_BREACHING,
    });
    if (alarmTopicArn === undefined) {
      except(
        alarm,
        [...inPacks('CloudWatchAlarmAction', 'NIST', 'HIPAA'), 'CT.CLOUDWATCH.PR.1'],
        'Whom an alarm should wake is for the operator to say: trust.compliance.alarmTopicArn.',
      );
    } else {
      alarm.addAlarmAction(new SnsAction(Topic.fromTopicArn(scope, `${id}Topic`, alarmTopicArn)));
    }
  }
}
