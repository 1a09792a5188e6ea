import { Annotations } from 'aws-cdk-lib';
import { CfnSecurityGroup, CfnSecurityGroupIngress } from 'aws-cdk-lib/aws-ec2';
import type { Construct } from 'constructs';
import type { VpcSettings } from '../settings/vpc-settings.ts';

/** HTTPS, at which all of AWS's services are. */
const HTTPS = { ipProtocol: 'tcp', fromPort: 443, toPort: 443 };
const ANYWHERE = '0.0.0.0/0';

/** Where functions are in a VPC, and the way out from there. */
export class Network {
  readonly vpcId: string;
  readonly subnetIds: string[];
  /** Of the functions. */
  readonly securityGroupIds: string[];
  /** Of the endpoints that the stack makes, if it makes any. */
  readonly endpointsGroupId: string | undefined;

  constructor(scope: Construct, id: string, settings: VpcSettings) {
    const { subnetIds, securityGroupIds, vpcId = '', attester, endpoints } = settings;
    this.vpcId = vpcId;
    this.subnetIds = [...subnetIds];
    this.endpointsGroupId = endpoints?.kind === 'new' ? endpointsGroup(scope, `${id}Endpoints`, vpcId) : undefined;
    this.securityGroupIds =
      attester === undefined ? [...securityGroupIds] : [this.#functionsGroup(scope, id, settings, attester)];
    if (this.endpointsGroupId === undefined) return;
    for (const [index, sourceSecurityGroupId] of this.securityGroupIds.entries()) {
      const description = 'Functions of the trusted filter.';
      const from = { groupId: this.endpointsGroupId, sourceSecurityGroupId, description };
      new CfnSecurityGroupIngress(scope, `${id}EndpointsIngress${index}`, { ...HTTPS, ...from });
    }
  }

  #functionsGroup(
    scope: Construct,
    id: string,
    { vpcId = '', endpoints }: VpcSettings,
    { cidr, port }: NonNullable<VpcSettings['attester']>,
  ): string {
    const places =
      endpoints?.kind === 'new' ? [endpoints.prefixListId, this.endpointsGroupId] : (endpoints?.at ?? [ANYWHERE]);
    if (endpoints === undefined) {
      Annotations.of(scope).addWarningV2(
        'trusted-filter:open-egress',
        'trust.vpc.endpoints is not set: the functions may reach port 443 of every address. Have the stack make endpoints of AWS, or name those that are there.',
      );
    }
    const group = new CfnSecurityGroup(scope, `${id}Functions`, {
      groupDescription: 'Functions of the trusted filter',
      vpcId,
      securityGroupEgress: [
        { ipProtocol: 'tcp', fromPort: port, toPort: port, cidrIp: cidr, description: 'The attestation service.' },
        ...places.flatMap((place = '') => ({ ...HTTPS, ...to(place), description: 'Services of AWS.' })),
      ],
    });
    return group.attrGroupId;
  }
}

/** A group whose members answer and ask nothing: without a rule of its own, EC2 would let everything out. */
function endpointsGroup(scope: Construct, id: string, vpcId: string): string {
  const group = new CfnSecurityGroup(scope, id, {
    groupDescription: 'Endpoints of AWS for the trusted filter',
    vpcId,
    securityGroupEgress: [{ ...HTTPS, cidrIp: '127.0.0.1/32', description: 'Nowhere.' }],
  });
  return group.attrGroupId;
}

/** A place as a rule of a security group names it: a block of addresses, a prefix list, or another group. */
function to(place: string): CfnSecurityGroup.EgressProperty | object {
  if (place.includes('/')) return { cidrIp: place };
  return place.startsWith('pl-') ? { destinationPrefixListId: place } : { destinationSecurityGroupId: place };
}
