import { Stack, Token } from 'aws-cdk-lib';
import { CfnPermission } from 'aws-cdk-lib/aws-lambda';
import { except } from './exceptions.ts';

/**
 * Has the permissions to invoke a function say whose account the API or the rule must be of, beside which one: where the
 * account is known, as the number that rules look for.
 */
export function nameAccount(stack: Stack): void {
  for (const each of stack.node.findAll()) {
    if (!(each instanceof CfnPermission)) continue;
    if (!Token.isUnresolved(stack.account)) each.sourceAccount = stack.account;
    else if (each.principal === 'apigateway.amazonaws.com') {
      except(
        each,
        ['CT.LAMBDA.PR.2'],
        'SourceArn names the API and its account, but the rule reads no ARN that is put together; with trust.compliance, and an account that is known at synth, SourceAccount says it, too.',
      );
    }
  }
}
