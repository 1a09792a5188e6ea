import { Stack } from 'aws-cdk-lib';
import { Effect, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';

/** What Lambda does in the name of a function's role to attach it to a VPC, as AWSLambdaVPCAccessExecutionRole has it. */
const OF_LAMBDA = [
  'ec2:AssignPrivateIpAddresses',
  'ec2:CreateNetworkInterface',
  'ec2:DeleteNetworkInterface',
  'ec2:DescribeNetworkInterfaces',
  'ec2:DescribeSubnets',
  'ec2:UnassignPrivateIpAddresses',
];

/**
 * The rights of a role whose function is in a VPC. EC2 has them on all resources or not at all where it describes, and Lambda
 * wants the others so, too. They are Lambda's: the function's own code, whose requests alone have `lambda:SourceFunctionArn`,
 * may use none of them, and detach nothing either, as the Lambda guide advises. That the role names no function is because
 * the function names the role; none but Lambda may take it on.
 */
export function networkRights(scope: Construct): PolicyStatement[] {
  const anyFunction = Stack.of(scope).formatArn({ service: 'lambda', resource: 'function:*' });
  return [
    new PolicyStatement({ actions: OF_LAMBDA, resources: ['*'] }),
    new PolicyStatement({
      effect: Effect.DENY,
      actions: [...OF_LAMBDA, 'ec2:DetachNetworkInterface'],
      resources: ['*'],
      conditions: { ArnLike: { 'lambda:SourceFunctionArn': anyFunction } },
    }),
  ];
}
