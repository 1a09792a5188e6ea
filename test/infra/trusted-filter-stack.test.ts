import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { App, Stack } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import { AttributeType, Table } from 'aws-cdk-lib/aws-dynamodb';
import { AwsSolutionsChecks } from 'cdk-nag';
import cdkJson from '../../cdk.json' with { type: 'json' };
import { parseTrustSettings } from '../../infra/trust-settings.ts';
import { TrustedFilterStack } from '../../infra/trusted-filter-stack.ts';

const TRUST = { server: 'oat.example.net', secretName: 'filter/certificate' };
const FLAGS = Object.fromEntries(Object.entries(cdkJson.context).filter(([name]) => name.startsWith('@aws-cdk/')));

interface Resource {
  readonly Properties: Record<string, unknown>;
  readonly DeletionPolicy?: string;
}

let folder: string;
let dist: string;
let imported: TrustedFilterStack;
let created: TrustedFilterStack;
let template: Template;
let createdTemplate: Template;

function makeStack(trust: object, bundles = dist): TrustedFilterStack {
  const app = new App({ context: FLAGS, outdir: mkdtempSync(join(folder, 'cdk.out-')) });
  return new TrustedFilterStack(app, 'TrustedFilter', { trust: parseTrustSettings(trust), dist: bundles });
}

/** The one resource of a type; fails where there is none or there are several. */
function only(from: Template, type: string): [id: string, resource: Resource] {
  const found = Object.entries(from.findResources(type)) as [string, Resource][];
  expect(found).toHaveLength(1);
  return found[0] as [string, Resource];
}

function statementsOf(from: Template): unknown[] {
  const [, role] = only(from, 'AWS::IAM::Role');
  const policies = role.Properties['Policies'] as { PolicyDocument: { Statement: unknown[] } }[];
  return policies.flatMap((policy) => policy.PolicyDocument.Statement);
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trusted-filter-stack-'));
  dist = join(folder, 'dist');
  mkdirSync(join(dist, 'filter'), { recursive: true });
  writeFileSync(join(dist, 'filter', 'index.mjs'), 'export const handler = () => undefined;\n');
  imported = makeStack(TRUST);
  created = makeStack({ ...TRUST, createSecret: true });
  template = Template.fromStack(imported);
  createdTemplate = Template.fromStack(created);
}, 60_000);

afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('the rights of the function', () => {
  test.each([
    ['imported', () => template],
    ['created', () => createdTemplate],
  ])('are to read its %s secret, to use its table and to write its log, and nothing else', (kind, of) => {
    const from = of();
    const secret =
      kind === 'created'
        ? { Ref: only(from, 'AWS::SecretsManager::Secret')[0] }
        : {
            'Fn::Join': [
              '',
              [
                'arn:',
                { Ref: 'AWS::Partition' },
                ':secretsmanager:',
                { Ref: 'AWS::Region' },
                ':',
                { Ref: 'AWS::AccountId' },
                ':secret:filter/certificate-??????',
              ],
            ],
          };
    const [, filter] = only(from, 'AWS::Lambda::Function');
    const { LogGroup } = filter.Properties['LoggingConfig'] as { LogGroup: { Ref: string } };
    expect(statementsOf(from)).toEqual([
      { Effect: 'Allow', Action: 'secretsmanager:GetSecretValue', Resource: secret },
      {
        Effect: 'Allow',
        Action: ['dynamodb:BatchGetItem', 'dynamodb:PutItem'],
        Resource: { 'Fn::GetAtt': [only(from, 'AWS::DynamoDB::Table')[0], 'Arn'] },
      },
      {
        Effect: 'Allow',
        Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
        Resource: { 'Fn::GetAtt': [LogGroup.Ref, 'Arn'] },
      },
    ]);
  });

  test('come from no other policy', () => {
    const [id, role] = only(template, 'AWS::IAM::Role');
    expect(role.Properties).not.toHaveProperty('ManagedPolicyArns');
    template.resourceCountIs('AWS::IAM::Policy', 0);
    template.resourceCountIs('AWS::IAM::RolePolicy', 0);
    template.resourceCountIs('AWS::IAM::ManagedPolicy', 0);
    template.hasResourceProperties('AWS::Lambda::Function', { Role: { 'Fn::GetAtt': [id, 'Arn'] } });
  });

  test('are for Lambda alone to take on', () => {
    expect(only(template, 'AWS::IAM::Role')[1].Properties['AssumeRolePolicyDocument']).toEqual({
      Version: '2012-10-17',
      Statement: [{ Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { Service: 'lambda.amazonaws.com' } }],
    });
  });
});

describe('the secret', () => {
  test('is not in the stack where it is there already', () => {
    template.resourceCountIs('AWS::SecretsManager::Secret', 0);
    template.hasOutput('SecretName', { Value: 'filter/certificate' });
    expect(template.findOutputs('FillSecretCommand')).toEqual({});
  });

  test('is created without a value, and outlives the stack', () => {
    const [, secret] = only(createdTemplate, 'AWS::SecretsManager::Secret');
    expect(secret.Properties).toEqual({ Name: 'filter/certificate', Description: expect.any(String) });
    expect(secret.DeletionPolicy).toBe('Retain');
  });

  test('is filled by a command that the stack shows', () => {
    createdTemplate.hasOutput('FillSecretCommand', {
      Value:
        'aws secretsmanager put-secret-value --secret-id filter/certificate --secret-string file://client-certificate.json',
    });
  });

  test('has no value anywhere in a template', () => {
    for (const each of [template, createdTemplate]) {
      expect(JSON.stringify(each)).not.toMatch(/SecretString|GenerateSecretString|resolve:secretsmanager|-----BEGIN/);
    }
  });
});

describe('the table', () => {
  test('has a shard per item, deletes what has expired, and is paid for by use', () => {
    template.hasResourceProperties('AWS::DynamoDB::Table', {
      KeySchema: [{ AttributeName: 'shard', KeyType: 'HASH' }],
      AttributeDefinitions: [{ AttributeName: 'shard', AttributeType: 'S' }],
      TimeToLiveSpecification: { AttributeName: 'expires_at', Enabled: true },
      BillingMode: 'PAY_PER_REQUEST',
    });
  });

  test('goes with the stack, since it is a cache', () => {
    expect(only(template, 'AWS::DynamoDB::Table')[1].DeletionPolicy).toBe('Delete');
  });
});

describe('the function', () => {
  test('runs on Node 24 and arm64, and ends before API Gateway gives up', () => {
    template.hasResourceProperties('AWS::Lambda::Function', {
      Runtime: 'nodejs24.x',
      Architectures: ['arm64'],
      Timeout: 29,
      MemorySize: 1024,
      Handler: 'index.handler',
    });
  });

  test('has the variables that the context sets, its table, and no others', () => {
    const stack = makeStack({ ...TRUST, port: 9443, apiUrl: '/AttestationService/resources', recheck: '2.5' });
    const from = Template.fromStack(stack);
    expect(only(from, 'AWS::Lambda::Function')[1].Properties['Environment']).toEqual({
      Variables: {
        ATTESTATION_SERVER: 'oat.example.net',
        ATTESTATION_SECRET_ID: 'filter/certificate',
        ATTESTATION_TABLE: { Ref: only(from, 'AWS::DynamoDB::Table')[0] },
        ATTESTATION_PORT: '9443',
        ATTESTATION_API_URL: '/AttestationService/resources',
        ATTESTATION_RECHECK: '2.5',
      },
    });
  });

  test('cannot be deployed before it is built', () => {
    expect(() => makeStack(TRUST, join(folder, 'nothing'))).toThrow('run npm run build first');
  });
});

describe('the HTTP API', () => {
  test('hands each route, and whatever has none, to the function, with IAM authorization', () => {
    const routes = Object.values(template.findResources('AWS::ApiGatewayV2::Route')) as Resource[];
    expect(routes.map(({ Properties }) => Properties['RouteKey'])).toEqual(
      expect.arrayContaining(['POST /filter', '$default']),
    );
    const [integration, { Properties }] = only(template, 'AWS::ApiGatewayV2::Integration');
    for (const route of routes) {
      expect(route.Properties).toMatchObject({
        AuthorizationType: 'AWS_IAM',
        Target: { 'Fn::Join': ['', ['integrations/', { Ref: integration }]] },
      });
    }
    expect(Properties).toMatchObject({
      IntegrationType: 'AWS_PROXY',
      IntegrationUri: { 'Fn::GetAtt': [only(template, 'AWS::Lambda::Function')[0], 'Arn'] },
      PayloadFormatVersion: '2.0',
    });
  });

  test('throttles at its only stage', () => {
    expect(only(template, 'AWS::ApiGatewayV2::Stage')[1].Properties).toMatchObject({
      StageName: '$default',
      AutoDeploy: true,
      DefaultRouteSettings: { ThrottlingRateLimit: 100, ThrottlingBurstLimit: 200 },
    });
  });

  test('logs of each request who asked and how it went, in a group of its own, and no bodies or queries', () => {
    const { DestinationArn, Format } = only(template, 'AWS::ApiGatewayV2::Stage')[1].Properties[
      'AccessLogSettings'
    ] as { DestinationArn: { 'Fn::GetAtt': [string, string] }; Format: string };
    const [group] = DestinationArn['Fn::GetAtt'];
    const groups = template.findResources('AWS::Logs::LogGroup');
    expect(Object.keys(groups)).toContain(group);
    const [, filter] = only(template, 'AWS::Lambda::Function');
    expect(filter.Properties['LoggingConfig']).not.toEqual({ LogGroup: { Ref: group } });
    expect(JSON.parse(Format)).toEqual({
      request_id: '$context.requestId',
      time: '$context.requestTime',
      route: '$context.routeKey',
      status: '$context.status',
      latency_ms: '$context.responseLatency',
      integration_latency_ms: '$context.integrationLatency',
      integration_error: '$context.integrationErrorMessage',
      principal: '$context.identity.userArn',
      source_ip: '$context.identity.sourceIp',
    });
  });
});

describe('the stack', () => {
  test('keeps every log for a month', () => {
    const groups = Object.values(template.findResources('AWS::Logs::LogGroup')) as Resource[];
    expect(groups).toHaveLength(2);
    template.allResourcesProperties('AWS::Logs::LogGroup', { RetentionInDays: 30 });
  });

  test('shows where its parts are', () => {
    // No slash at its end: README and schedulers put the path, which begins with one, behind it.
    template.hasOutput('ApiUrl', { Value: { 'Fn::GetAtt': [Match.stringLikeRegexp('^Api'), 'ApiEndpoint'] } });
    template.hasOutput('FunctionName', { Value: { Ref: only(template, 'AWS::Lambda::Function')[0] } });
    template.hasOutput('TableName', { Value: { Ref: only(template, 'AWS::DynamoDB::Table')[0] } });
  });

  test('warns while the server is still that of the example', () => {
    const printed = jest.spyOn(console, 'error').mockImplementation(() => undefined);
    const warnings = Annotations.fromStack(makeStack({ ...TRUST, server: 'attester.example.com' }));
    warnings.hasWarning('/TrustedFilter', Match.stringLikeRegexp('trust\\.server is still attester\\.example\\.com'));
    expect(printed).toHaveBeenCalledWith(expect.stringContaining('trust.server is still attester.example.com'));
    printed.mockRestore();
    Annotations.fromStack(imported).hasNoWarning('*', Match.anyValue());
  });

  test('has no finding of cdk-nag that is not acknowledged', () => {
    for (const stack of [imported, created]) {
      expect(new AwsSolutionsChecks().validateScope(stack).violations).toEqual([]);
    }
  });

  test('is looked at by a cdk-nag that finds what is there to find', () => {
    const bare = new Stack(new App(), 'Bare');
    new Table(bare, 'Table', { partitionKey: { name: 'id', type: AttributeType.STRING } });
    const { violations } = new AwsSolutionsChecks().validateScope(bare);
    expect(violations.map(({ ruleName }) => ruleName)).toEqual(['AwsSolutions-DDB3']);
  });
});
