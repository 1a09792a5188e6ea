import { RemovalPolicy } from 'aws-cdk-lib';
import { Key } from 'aws-cdk-lib/aws-kms';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { ComplianceSettings } from '../settings/compliance-settings.ts';
import { except, inPacks } from './exceptions.ts';

export interface KeptLogProps {
  readonly compliance: ComplianceSettings;
  /** CloudFormation makes one unless set. */
  readonly name?: string;
}

/** What Control Tower demands, days. */
const A_YEAR = RetentionDays.ONE_YEAR;

/** A log of this stack: who asked, and what went wrong, outlives the stack for as long as it is kept. */
export class KeptLog extends LogGroup {
  constructor(scope: Construct, id: string, { compliance: { kmsKeyArn, logRetentionDays }, name }: KeptLogProps) {
    super(scope, id, {
      ...(name === undefined ? {} : { logGroupName: name }),
      retention: logRetentionDays,
      ...(kmsKeyArn === undefined ? {} : { encryptionKey: Key.fromKeyArn(scope, `${id}Key`, kmsKeyArn) }),
      // A failed first deployment leaves none.
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
    if (kmsKeyArn === undefined) {
      except(
        this,
        [...inPacks('CloudWatchLogGroupEncrypted', 'NIST', 'HIPAA', 'PCI'), 'CT.CLOUDWATCH.PR.3'],
        'CloudWatch encrypts every log with a key of its own; trust.compliance.kmsKeyArn names another.',
      );
    }
    if (logRetentionDays < A_YEAR) {
      except(
        this,
        ['CT.CLOUDWATCH.PR.2'],
        'A month is enough to find out what went wrong; trust.compliance keeps logs for a year, or for as long as it says.',
      );
    }
  }
}
