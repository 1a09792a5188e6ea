import { CfnVPCEndpoint, GatewayVpcEndpointAwsService, InterfaceVpcEndpointAwsService } from 'aws-cdk-lib/aws-ec2';
import { AnyPrincipal, type IRole, PolicyDocument, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import type { Network } from './network.ts';

export interface VpcEndpointsProps {
  readonly network: Network;
  readonly routeTableIds: readonly string[];
  /** Who may come by them. */
  readonly roles: readonly IRole[];
  /** What they lead to, as ARNs. */
  readonly table: string;
  readonly secret: string;
  readonly refresh: string;
  readonly bus: string;
}

/** The ways from a VPC to what the functions use, each to one thing of this stack and for the functions alone. */
export function makeVpcEndpoints(scope: Construct, id: string, props: VpcEndpointsProps): void {
  const { network, roles } = props;
  const policyDocument = (actions: string[], resource: string): PolicyDocument =>
    new PolicyDocument({
      statements: [
        new PolicyStatement({
          // A gateway endpoint takes no other principal; who it is stands in the condition.
          principals: [new AnyPrincipal()],
          actions,
          resources: [resource],
          conditions: { ArnEquals: { 'aws:PrincipalArn': roles.map(({ roleArn }) => roleArn) } },
        }),
      ],
    });
  new CfnVPCEndpoint(scope, `${id}Table`, {
    vpcEndpointType: 'Gateway',
    vpcId: network.vpcId,
    serviceName: GatewayVpcEndpointAwsService.DYNAMODB.name,
    routeTableIds: [...props.routeTableIds],
    policyDocument: policyDocument(['dynamodb:BatchGetItem', 'dynamodb:PutItem'], props.table),
  });
  const { SECRETS_MANAGER, LAMBDA, EVENTBRIDGE } = InterfaceVpcEndpointAwsService;
  for (const [name, service, action, resource] of [
    ['Secret', SECRETS_MANAGER, 'secretsmanager:GetSecretValue', props.secret],
    ['Refresh', LAMBDA, 'lambda:InvokeFunction', props.refresh],
    ['Events', EVENTBRIDGE, 'events:PutEvents', props.bus],
  ] as const) {
    new CfnVPCEndpoint(scope, `${id}${name}`, {
      vpcEndpointType: 'Interface',
      vpcId: network.vpcId,
      serviceName: service.name,
      // The names of the services lead to the endpoints then, and the functions need no addresses.
      privateDnsEnabled: true,
      subnetIds: network.subnetIds,
      securityGroupIds: network.endpointsGroupId === undefined ? [] : [network.endpointsGroupId],
      policyDocument: policyDocument([action], resource),
    });
  }
}
