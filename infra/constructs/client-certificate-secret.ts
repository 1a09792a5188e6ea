import { RemovalPolicy } from 'aws-cdk-lib';
import { CfnSecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import type { ComplianceSettings } from '../settings/compliance-settings.ts';
import { except, inPacks } from './exceptions.ts';

export interface ClientCertificateSecretProps {
  readonly name: string;
  readonly compliance: ComplianceSettings;
}

/** The secret without a value: key material must not pass through a template. */
export class ClientCertificateSecret extends CfnSecret {
  constructor(scope: Construct, id: string, { name, compliance: { kmsKeyArn } }: ClientCertificateSecretProps) {
    super(scope, id, {
      name,
      description:
        'JSON with the client certificate that the attestation service is shown: cert, key and ca, PEM text.',
      ...(kmsKeyArn === undefined ? {} : { kmsKeyId: kmsKeyArn }),
    });
    this.applyRemovalPolicy(RemovalPolicy.RETAIN);
    except(
      this,
      ['AwsSolutions-SMG4', ...inPacks('SecretsManagerRotationEnabled', 'NIST', 'HIPAA')],
      'The authority that the attestation service trusts issues the certificate; Secrets Manager cannot renew it. Whoever renews it puts the new one into the secret.',
    );
    if (kmsKeyArn === undefined) {
      except(
        this,
        inPacks('SecretsManagerUsingKMSKey', 'NIST', 'HIPAA', 'PCI'),
        "Secrets Manager encrypts every secret with the account's key for it; trust.compliance.kmsKeyArn names another.",
      );
    }
  }
}
