import { Stack } from 'aws-cdk-lib';
import type { TrustFunction } from '../functions/trust-function.ts';

export interface UseOfKey {
  readonly kmsKeyArn: string;
  /** Of the secret, or a pattern of it. */
  readonly secretArn: string;
}

/**
 * What a function may do with a key that the table and the secret are under: nothing but through those services. For its
 * variables Lambda gives itself a grant, EventBridge and CloudWatch have the key's own policy, and neither asks a caller.
 */
export function mayUseKey(user: TrustFunction, { kmsKeyArn, secretArn }: UseOfKey): void {
  // What DynamoDB wants of whoever reads and writes, by its guide ("Authorizing use of your AWS KMS key").
  user.may(
    [
      'kms:Decrypt',
      'kms:DescribeKey',
      'kms:Encrypt',
      'kms:GenerateDataKey',
      'kms:GenerateDataKeyWithoutPlaintext',
      'kms:ReEncryptFrom',
      'kms:ReEncryptTo',
    ],
    kmsKeyArn,
    { conditions: through(user, 'dynamodb') },
  );
  const conditions = { ...through(user, 'secretsmanager'), ArnLike: { 'kms:EncryptionContext:SecretARN': secretArn } };
  user.may(['kms:Decrypt'], kmsKeyArn, { conditions });
}

/** What who puts dead letters into a queue under a key may do with it. */
export function mayUseKeyOfQueue(user: TrustFunction, kmsKeyArn: string): void {
  user.may(['kms:Decrypt', 'kms:GenerateDataKey'], kmsKeyArn, { conditions: through(user, 'sqs') });
}

function through(user: TrustFunction, service: string): { readonly StringEquals: Record<string, string> } {
  const { region, urlSuffix } = Stack.of(user);
  return { StringEquals: { 'kms:ViaService': `${service}.${region}.${urlSuffix}` } };
}
