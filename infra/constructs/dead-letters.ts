import { Duration } from 'aws-cdk-lib';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Queue, QueueEncryption, RedrivePermission } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import type { ComplianceSettings } from '../settings/compliance-settings.ts';
import { except } from './exceptions.ts';

/** What `refresh` failed at, for a human to look at. */
export class DeadLetters extends Queue {
  constructor(scope: Construct, id: string, { kmsKeyArn }: ComplianceSettings) {
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
  }
}
