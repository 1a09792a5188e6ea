import { describe, expect, test } from '@jest/globals';
import { parseTrustSettings, TrustSettingsError } from '../../../infra/settings/trust-settings.ts';
import type { VpcSettings } from '../../../infra/settings/vpc-settings.ts';

const LEAST = { server: 'oat.example.net', secretName: 'filter/certificate' };
const PLACE = {
  vpcId: 'vpc-0a1b2c3d4e5f60718',
  subnetIds: ['subnet-0a1b2c3d', 'subnet-0a1b2c3d4e5f60719'],
};
const VPC = { ...PLACE, attester: '10.1.2.0/24' };

function parse(vpc: unknown, more: object = {}): VpcSettings | undefined {
  return parseTrustSettings({ ...LEAST, ...more, vpc }).vpc;
}

function faultsOf(vpc: unknown): readonly string[] {
  try {
    parse(vpc);
  } catch (error) {
    if (error instanceof TrustSettingsError) return error.faults;
    throw error;
  }
  return [];
}

describe('the context trust.vpc', () => {
  test('need not be there', () => {
    expect(parse(undefined)).toBeUndefined();
  });

  test('opens the way to the attestation service at the port where the function will look for it', () => {
    expect(parse(VPC)).toEqual({
      ...PLACE,
      securityGroupIds: [],
      attester: { cidr: '10.1.2.0/24', port: 8443 },
      endpoints: undefined,
    });
    expect(parse(VPC, { port: 9443 })?.attester?.port).toBe(9443);
    expect(parse(VPC, { service: 'keylime' })?.attester?.port).toBe(8881);
  });

  test('needs no VPC and no addresses where the security groups are there, and makes none then', () => {
    const { subnetIds } = PLACE;
    const securityGroupIds = ['sg-0a1b2c3d'];
    for (const more of [{}, { attester: '10.1.2.0/24' }]) {
      expect(parse({ subnetIds, securityGroupIds, ...more })).toEqual({
        subnetIds,
        securityGroupIds,
        vpcId: undefined,
        attester: undefined,
        endpoints: undefined,
      });
    }
  });

  test('names endpoints to make, or where they are', () => {
    const made = { routeTableIds: ['rtb-0a1b2c3d'], prefixListId: 'pl-0a1b2c3d' };
    expect(parse({ ...VPC, endpoints: made })?.endpoints).toEqual({ kind: 'new', ...made });
    const existing = ['sg-0a1b2c3d', 'pl-0a1b2c3d', '10.1.9.0/26'];
    expect(parse({ ...VPC, endpoints: { existing } })?.endpoints).toEqual({ kind: 'existing', at: existing });
  });

  test('has every fault of it named at once', () => {
    expect(
      faultsOf({
        subnetIds: ['subnet-0a1b2c3d'],
        vpcId: 'my-vpc',
        attester: '0.0.0.0/0',
        endpoints: { routeTableIds: 'rtb-0a1b2c3d', prefixLists: [] },
        securityGroup: 'sg-0a1b2c3d',
      }),
    ).toEqual([
      'trust.vpc.subnetIds must be a list of 2 to 16 different ids of subnets (subnet-…)',
      'trust.vpc.attester must be the addresses of the attestation service, such as 10.1.2.0/24, and not all there are',
      'trust.vpc.endpoints.prefixListId is not set: it must be the id of a prefix list (pl-…), that of DynamoDB in the region',
      'trust.vpc.endpoints.routeTableIds must be a list of 1 to 20 different ids of route tables (rtb-…), those of the subnets',
      'trust.vpc.endpoints.prefixLists is not a setting',
      'trust.vpc.vpcId must be the id of a VPC (vpc-…)',
      'trust.vpc.securityGroup is not a setting',
    ]);
  });

  test('says what is not set', () => {
    expect(faultsOf({})).toEqual([
      'trust.vpc.subnetIds is not set: it must be a list of 2 to 16 different ids of subnets (subnet-…)',
      'trust.vpc.attester is not set: without securityGroupIds, it must be the addresses of the attestation service, such as 10.1.2.0/24, and not all there are',
      'trust.vpc.vpcId is not set: where the stack makes a security group or endpoints, it must be the VPC of both',
    ]);
    const made = { routeTableIds: ['rtb-0a1b2c3d'], prefixListId: 'pl-0a1b2c3d' };
    const { subnetIds } = PLACE;
    expect(faultsOf({ subnetIds, securityGroupIds: ['sg-0a1b2c3d'], endpoints: made })).toEqual([
      expect.stringMatching(/^trust\.vpc\.vpcId is not set/),
    ]);
  });

  test.each([null, 'vpc-0a1b2c3d', ['subnet-0a1b2c3d'], 7])('must be an object, and %j is none', (vpc) => {
    expect(faultsOf(vpc)).toContain('trust.vpc must be an object');
  });

  test.each([
    ['10.1.2.3/24', 'bits that the block leaves open'],
    ['10.1.2.0', 'no block'],
    ['10.1.256.0/24', 'no address'],
    ['10.1.2.0/33', 'no block'],
    ['0.0.0.0/0', 'everything'],
    ['fd00::/8', 'IPv6'],
  ])('takes no attester %s (%s)', (attester) => {
    expect(faultsOf({ ...VPC, attester })).toEqual([expect.stringMatching(/^trust\.vpc\.attester must be/)]);
  });

  test.each([
    ['subnetIds', ['subnet-0a1b2c3d', 'subnet-0a1b2c3d']],
    ['subnetIds', ['subnet-0a1b2c3d', 'subnet-XYZ']],
    ['securityGroupIds', []],
    ['securityGroupIds', ['sg-1', 'sg-2']],
    ['endpoints', { existing: ['10.1.9.1/26'] }],
    ['endpoints', { existing: [] }],
    ['endpoints', []],
  ])('takes no %s %j', (member, value) => {
    expect(faultsOf({ ...VPC, [member]: value })).toContainEqual(expect.stringContaining(`trust.vpc.${member}`));
  });

  test('says that endpoints which are there are of no use to security groups which are there', () => {
    const { subnetIds } = PLACE;
    expect(
      faultsOf({ subnetIds, securityGroupIds: ['sg-0a1b2c3d'], endpoints: { existing: ['pl-0a1b2c3d'] } }),
    ).toEqual([expect.stringMatching(/^trust\.vpc\.endpoints\.existing is of use only without securityGroupIds/)]);
  });
});
