import { Members } from './members.ts';

/** The context `trust.vpc`, checked. */
export interface VpcSettings {
  /** Two or more. */
  readonly subnetIds: readonly string[];
  /** Those that are there already; where there are none, the stack makes its own. */
  readonly securityGroupIds: readonly string[];
  /** Known where the stack makes something in it: a security group or endpoints. */
  readonly vpcId: string | undefined;
  /** Where the attestation service is; known where the stack makes the security group. */
  readonly attester: { readonly cidr: string; readonly port: number } | undefined;
  /** How AWS's own services are reached; by whatever way there is unless set. */
  readonly endpoints: NewEndpoints | ExistingEndpoints | undefined;
}

/** Endpoints that the stack makes. */
export interface NewEndpoints {
  readonly kind: 'new';
  /** Those of the subnets: the gateway endpoint of DynamoDB becomes a route in them. */
  readonly routeTableIds: readonly string[];
  /** DynamoDB's addresses in the region, as EC2 lists them. */
  readonly prefixListId: string;
}

/** Endpoints that are there: where their port 443 is, each a block of addresses, a security group or a prefix list. */
export interface ExistingEndpoints {
  readonly kind: 'existing';
  readonly at: readonly string[];
}

const NAME = 'trust.vpc';
const id = (kind: string): RegExp => new RegExp(`^${kind}-([0-9a-f]{8}|[0-9a-f]{17})$`);
const SUBNET = id('subnet');
const GROUP = id('sg');
const VPC = id('vpc');
const ROUTE_TABLE = id('rtb');
const PREFIX_LIST = id('pl');
const SUBNET_RULE = 'must be a list of 2 to 16 different ids of subnets (subnet-…)';
const GROUP_RULE = 'must be a list of 1 to 5 different ids of security groups (sg-…)';
const BLOCK_RULE = 'must be the addresses of the attestation service, such as 10.1.2.0/24, and not all there are';
const ROUTE_TABLE_RULE = 'must be a list of 1 to 20 different ids of route tables (rtb-…), those of the subnets';
const PREFIX_LIST_RULE = 'must be the id of a prefix list (pl-…), that of DynamoDB in the region';
const EXISTING_RULE = 'must be a list of where the endpoints are: blocks of addresses, security groups or prefix lists';
const BLOCK = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/;
const PLACE = new RegExp([GROUP, PREFIX_LIST, BLOCK].map(({ source }) => source).join('|'));

/**
 * Reads the context `trust.vpc`.
 * @param value undefined counts as no VPC
 * @param port the attestation service's, as the function will read it
 * @param faults gets every fault of it, each by its name in the context
 */
export function takeVpc(value: unknown, port: number, faults: string[]): VpcSettings | undefined {
  if (value === undefined) return undefined;
  const members = new Members(NAME, value, faults);
  const subnetIds = members.takeTexts('subnetIds', SUBNET, { least: 2, most: 16 }, SUBNET_RULE);
  if (!members.has('subnetIds')) members.fault('subnetIds', `is not set: it ${SUBNET_RULE}`);
  // Lambda takes no more than five.
  const securityGroupIds = members.takeTexts('securityGroupIds', GROUP, { least: 1, most: 5 }, GROUP_RULE);
  const makesGroup = !members.has('securityGroupIds');
  const cidr = takeBlock(members);
  if (makesGroup && !members.has('attester')) {
    members.fault('attester', `is not set: without securityGroupIds, it ${BLOCK_RULE}`);
  }
  const endpoints = takeEndpoints(members.take('endpoints'), faults);
  const vpcId = members.takeText('vpcId', VPC, 'must be the id of a VPC (vpc-…)');
  if ((makesGroup || endpoints?.kind === 'new') && !members.has('vpcId')) {
    members.fault(
      'vpcId',
      'is not set: where the stack makes a security group or endpoints, it must be the VPC of both',
    );
  }
  if (!makesGroup && endpoints?.kind === 'existing') {
    members.fault(
      'endpoints.existing',
      'is of use only without securityGroupIds: it opens the way of the group that the stack makes',
    );
  }
  members.end();
  const attester = makesGroup && cidr !== undefined ? { cidr, port } : undefined;
  return { subnetIds, securityGroupIds, vpcId, attester, endpoints };
}

function takeBlock(members: Members): string | undefined {
  const text = members.takeText('attester', BLOCK, BLOCK_RULE);
  if (text === undefined || isBlock(text)) return text;
  members.fault('attester', BLOCK_RULE);
  return undefined;
}

/** EC2 wants the bits that a block leaves open to be zero. A block of all addresses would let everything out. */
function isBlock(text: string): boolean {
  const [, ...numbers] = (BLOCK.exec(text) ?? []).map(Number);
  const [bits = 0] = numbers.splice(4);
  if (numbers.length !== 4 || bits < 1 || bits > 32 || numbers.some((number) => number > 255)) return false;
  const address = numbers.reduce((sum, number) => sum * 256 + number, 0);
  return address % 2 ** (32 - bits) === 0;
}

function takeEndpoints(value: unknown, faults: string[]): VpcSettings['endpoints'] {
  if (value === undefined) return undefined;
  const members = new Members(`${NAME}.endpoints`, value, faults);
  if (members.has('existing')) {
    const at = members.takeTexts('existing', PLACE, { least: 1, most: 20 }, EXISTING_RULE);
    if (!at.every((each) => !BLOCK.test(each) || isBlock(each))) members.fault('existing', EXISTING_RULE);
    members.end();
    return { kind: 'existing', at };
  }
  for (const [member, rule] of [
    ['routeTableIds', ROUTE_TABLE_RULE],
    ['prefixListId', PREFIX_LIST_RULE],
  ] as const) {
    if (!members.has(member)) members.fault(member, `is not set: it ${rule}`);
  }
  const routeTableIds = members.takeTexts('routeTableIds', ROUTE_TABLE, { least: 1, most: 20 }, ROUTE_TABLE_RULE);
  const prefixListId = members.takeText('prefixListId', PREFIX_LIST, PREFIX_LIST_RULE) ?? '';
  members.end();
  return { kind: 'new', routeTableIds, prefixListId };
}
