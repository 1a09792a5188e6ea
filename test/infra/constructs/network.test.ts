import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import type { TrustedFilterStack } from '../../../infra/trusted-filter-stack.ts';
import { writeBundles } from '../variants/bundles.ts';
import { makeVariant, VARIANTS } from '../variants/variants.ts';

interface Resource {
  readonly Properties: Record<string, unknown>;
}

const SUBNETS = ['subnet-0a1b2c3d4e5f60718', 'subnet-0a1b2c3d4e5f60719'];
const OUT_TO_ATTESTER = {
  IpProtocol: 'tcp',
  FromPort: 8443,
  ToPort: 8443,
  CidrIp: '10.1.2.0/24',
  Description: expect.any(String),
};
const OUT_TO_443 = { IpProtocol: 'tcp', FromPort: 443, ToPort: 443, Description: expect.any(String) };

let folder: string;
beforeAll(() => {
  jest.spyOn(console, 'error').mockImplementation(() => undefined);
  folder = mkdtempSync(join(tmpdir(), 'network-'));
  writeBundles(join(folder, 'dist'));
});
afterAll(() => {
  jest.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

function make(name: string): TrustedFilterStack {
  return makeVariant(VARIANTS[name]!, mkdtempSync(join(folder, 'cdk.out-')), join(folder, 'dist')).stack;
}

function all(from: Template, type: string): [id: string, properties: Record<string, unknown>][] {
  const resources = from.findResources(type) as Record<string, Resource>;
  return Object.entries(resources).map(([id, { Properties }]) => [id, Properties]);
}

function groupOf(from: Template, name: string): [id: string, properties: Record<string, unknown>] {
  const found = all(from, 'AWS::EC2::SecurityGroup').find(([id]) => id === name);
  expect(found).toBeDefined();
  return found!;
}

const ownGroup = { 'Fn::GetAtt': ['NetworkFunctions', 'GroupId'] };
const endpointsGroup = { 'Fn::GetAtt': ['NetworkEndpoints', 'GroupId'] };

describe('the VPC', () => {
  test('is none unless one is set', () => {
    for (const name of ['plain', 'keylime', 'compliance']) {
      const text = JSON.stringify(Template.fromStack(make(name)));
      expect(text).not.toMatch(/VpcConfig|AWS::EC2::|ec2:/);
    }
  });

  test.each([
    ['vpc', ownGroup],
    ['vpc-open', ownGroup],
    ['vpc-endpoints', ownGroup],
    ['compliance-key', ownGroup],
    ['vpc-groups', 'sg-0a1b2c3d4e5f60718'],
  ])('has every function of %s in both subnets, with the one security group', (name, group) => {
    const functions = all(Template.fromStack(make(name)), 'AWS::Lambda::Function');
    expect(functions.length).toBeGreaterThanOrEqual(2);
    for (const [, { VpcConfig }] of functions) {
      expect(VpcConfig).toEqual({ SubnetIds: SUBNETS, SecurityGroupIds: [group] });
    }
  });

  test('lets functions out to the attestation service and the endpoints that are there, and nothing in', () => {
    const [, properties] = groupOf(Template.fromStack(make('vpc')), 'NetworkFunctions');
    expect(properties).toEqual({
      GroupDescription: expect.any(String),
      VpcId: 'vpc-0a1b2c3d4e5f60718',
      SecurityGroupEgress: [
        OUT_TO_ATTESTER,
        { ...OUT_TO_443, CidrIp: '10.1.9.0/24' },
        { ...OUT_TO_443, DestinationPrefixListId: 'pl-0a1b2c3d' },
      ],
    });
  });

  test('lets functions out to the endpoints that it makes, which are of use to nobody else', () => {
    const from = Template.fromStack(make('vpc-endpoints'));
    expect(groupOf(from, 'NetworkFunctions')[1]['SecurityGroupEgress']).toEqual([
      OUT_TO_ATTESTER,
      { ...OUT_TO_443, DestinationPrefixListId: 'pl-0a1b2c3d' },
      { ...OUT_TO_443, DestinationSecurityGroupId: endpointsGroup },
    ]);
    expect(groupOf(from, 'NetworkEndpoints')[1]).toMatchObject({
      SecurityGroupEgress: [{ ...OUT_TO_443, CidrIp: '127.0.0.1/32' }],
    });
    expect(all(from, 'AWS::EC2::SecurityGroupIngress').map(([, properties]) => properties)).toEqual([
      { ...OUT_TO_443, GroupId: endpointsGroup, SourceSecurityGroupId: ownGroup },
    ]);
    expect(all(from, 'AWS::EC2::SecurityGroupEgress')).toEqual([]);
  });

  test('warns where nothing says where AWS is, and lets functions out to port 443 of everything then', () => {
    const open = make('vpc-open');
    const warning = Match.stringLikeRegexp('^trust\\.vpc\\.endpoints is not set');
    Annotations.fromStack(open).hasWarning('/TrustedFilter', warning);
    expect(groupOf(Template.fromStack(open), 'NetworkFunctions')[1]['SecurityGroupEgress']).toEqual([
      OUT_TO_ATTESTER,
      { ...OUT_TO_443, CidrIp: '0.0.0.0/0' },
    ]);
    for (const name of ['vpc', 'vpc-endpoints', 'vpc-groups']) {
      Annotations.fromStack(make(name)).hasNoWarning('*', Match.anyValue());
    }
  });

  test('describes its groups and rules in signs that EC2 takes', () => {
    for (const name of ['vpc', 'vpc-open', 'vpc-endpoints']) {
      const from = Template.fromStack(make(name));
      const types = ['SecurityGroup', 'SecurityGroupIngress'].flatMap((type) => all(from, `AWS::EC2::${type}`));
      const texts = JSON.stringify(types).matchAll(/"(?:Group)?Description":"(.*?)"/g);
      const descriptions = [...texts].map(([, text]) => text);
      expect(descriptions.length).toBeGreaterThan(2);
      for (const text of descriptions) expect(text).toMatch(/^[a-zA-Z0-9. _\-:/()#,@[\]+=&;{}!$*]{1,255}$/);
    }
  });

  test('gets no security group where some are named', () => {
    expect(all(Template.fromStack(make('vpc-groups')), 'AWS::EC2::SecurityGroup')).toEqual([]);
  });
});

describe('the endpoints', () => {
  test('are made only where they are asked for', () => {
    for (const name of ['vpc', 'vpc-open', 'vpc-groups']) {
      Template.fromStack(make(name)).resourceCountIs('AWS::EC2::VPCEndpoint', 0);
    }
  });

  test('lead to one thing each, for the roles of the functions alone', () => {
    const from = Template.fromStack(make('vpc-endpoints'));
    const arn = (type: string, beginning = ''): unknown => {
      const [id] = all(from, type).find(([each]) => each.startsWith(beginning))!;
      return { 'Fn::GetAtt': [id, 'Arn'] };
    };
    const roles = ['Filter', 'Refresh'].map((name) => arn('AWS::IAM::Role', name));
    const policy = (Action: unknown, Resource: unknown): unknown => ({
      Version: '2012-10-17',
      Statement: [
        {
          Effect: 'Allow',
          Principal: { AWS: '*' },
          Action,
          Resource,
          Condition: { ArnEquals: { 'aws:PrincipalArn': roles } },
        },
      ],
    });
    const service = (name: string): unknown => ({
      'Fn::Join': ['', ['com.amazonaws.', { Ref: 'AWS::Region' }, `.${name}`]],
    });
    const byInterface = {
      VpcEndpointType: 'Interface',
      VpcId: 'vpc-0a1b2c3d4e5f60718',
      PrivateDnsEnabled: true,
      SubnetIds: SUBNETS,
      SecurityGroupIds: [endpointsGroup],
    };
    expect(Object.fromEntries(all(from, 'AWS::EC2::VPCEndpoint'))).toEqual({
      EndpointTable: {
        VpcEndpointType: 'Gateway',
        VpcId: 'vpc-0a1b2c3d4e5f60718',
        ServiceName: service('dynamodb'),
        RouteTableIds: ['rtb-0a1b2c3d4e5f60718'],
        PolicyDocument: policy(['dynamodb:BatchGetItem', 'dynamodb:PutItem'], arn('AWS::DynamoDB::Table')),
      },
      EndpointSecret: {
        ...byInterface,
        ServiceName: service('secretsmanager'),
        PolicyDocument: policy(
          'secretsmanager:GetSecretValue',
          expect.objectContaining({ 'Fn::Join': expect.anything() }),
        ),
      },
      EndpointRefresh: {
        ...byInterface,
        ServiceName: service('lambda'),
        PolicyDocument: policy('lambda:InvokeFunction', arn('AWS::Lambda::Function', 'Refresh')),
      },
      EndpointEvents: {
        ...byInterface,
        ServiceName: service('events'),
        PolicyDocument: policy('events:PutEvents', arn('AWS::Events::EventBus')),
      },
    });
  });

  test('have the names that they have in China', () => {
    const endpoints = all(Template.fromStack(make('compliance-key-china')), 'AWS::EC2::VPCEndpoint');
    expect(endpoints.map(([, { ServiceName }]) => ServiceName)).toContain('cn.com.amazonaws.cn-north-1.lambda');
  });
});
