import { RemovalPolicy } from 'aws-cdk-lib';
import { AttributeType, BillingMode, Table, TableEncryption } from 'aws-cdk-lib/aws-dynamodb';
import { Key } from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';
import type { ComplianceSettings } from '../settings/compliance-settings.ts';
import { except, inPacks } from './exceptions.ts';
import { TABLE_KEY, TTL_ATTRIBUTE } from './table.ts';
import { tableCeiling } from './table-ceiling.ts';

export interface AttestationsTableProps {
  /** Hosts that are expected. */
  readonly fleetSize: number;
  readonly compliance: ComplianceSettings;
}

/** The cache that all environments share. */
export class AttestationsTable extends Table {
  constructor(scope: Construct, id: string, { fleetSize, compliance }: AttestationsTableProps) {
    const { kmsKeyArn, pointInTimeRecovery } = compliance;
    const { readUnits, writeUnits } = tableCeiling(fleetSize);
    super(scope, id, {
      partitionKey: { name: TABLE_KEY, type: AttributeType.STRING },
      timeToLiveAttribute: TTL_ATTRIBUTE,
      billingMode: BillingMode.PAY_PER_REQUEST,
      maxReadRequestUnits: readUnits,
      maxWriteRequestUnits: writeUnits,
      ...(kmsKeyArn === undefined
        ? {}
        : {
            encryption: TableEncryption.CUSTOMER_MANAGED,
            encryptionKey: Key.fromKeyArn(scope, `${id}Key`, kmsKeyArn),
          }),
      ...(pointInTimeRecovery ? { pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true } } : {}),
      // A cache: what is lost is attested again.
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const nothingToRestore =
      'The table is a cache of attestations that are valid for a minute or so; there is nothing to restore.';
    except(this, inPacks('DynamoDBInBackupPlan', 'NIST', 'HIPAA'), nothingToRestore);
    if (!pointInTimeRecovery) {
      const rules = inPacks('DynamoDBPITREnabled', 'NIST', 'HIPAA');
      except(this, ['AwsSolutions-DDB3', ...rules, 'CT.DYNAMODB.PR.1'], nothingToRestore);
    }
    if (kmsKeyArn === undefined) {
      except(
        this,
        ['CT.DYNAMODB.PR.2'],
        'DynamoDB encrypts every table with a key of its own; trust.compliance.kmsKeyArn names another.',
      );
    }
  }
}
