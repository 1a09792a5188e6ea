import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { Annotations as CdkAnnotations, App } from 'aws-cdk-lib';
import { Annotations, Match, Template } from 'aws-cdk-lib/assertions';
import cdkJson from '../../cdk.json' with { type: 'json' };
import { ROUTE_KEYS, WEBHOOK_ROUTE } from '../../lambda/http/routes.ts';
import { parseTrustSettings } from '../../infra/settings/trust-settings.ts';
import { TrustedFilterStack } from '../../infra/trusted-filter-stack.ts';
import { recordOutput } from '../reporters/record.ts';

const TRUST = { server: 'oat.example.net', secretName: 'filter/certificate' };
const FLAGS = Object.fromEntries(Object.entries(cdkJson.context).filter(([name]) => name.startsWith('@aws-cdk/')));

interface Resource {
  readonly Type: string;
  readonly Properties: Record<string, unknown>;
  readonly DeletionPolicy?: string;
}

let folder: string;
let dist: string;
let imported: TrustedFilterStack;
let created: TrustedFilterStack;
let template: Template;
let createdTemplate: Template;
let scheduled: TrustedFilterStack;
let scheduledTemplate: Template;

function makeStack(trust: object, bundles = dist): TrustedFilterStack {
  const app = new App({ context: FLAGS, outdir: mkdtempSync(join(folder, 'cdk.out-')) });
  return new TrustedFilterStack(app, 'TrustedFilter', { trust: parseTrustSettings(trust), dist: bundles });
}

function writeBundle(into: string, name: string): void {
  mkdirSync(join(into, name), { recursive: true });
  writeFileSync(join(into, name, 'index.mjs'), `export const handler = () => '${name}';\n`);
}

/** The one resource of a type; fails where there is none or there are several. */
function only(from: Template, type: string): [id: string, resource: Resource] {
  const found = Object.entries(from.findResources(type)) as [string, Resource][];
  expect(found).toHaveLength(1);
  return found[0] as [string, Resource];
}

/** The one resource of a type whose id begins like this. */
function named(from: Template, type: string, beginning: string): [id: string, resource: Resource] {
  const all = Object.entries(from.findResources(type)) as [string, Resource][];
  const found = all.filter(([id]) => id.startsWith(beginning));
  expect(found).toHaveLength(1);
  return found[0] as [string, Resource];
}

/** The same members in any order. */
function expectSame(actual: unknown[], expected: unknown[]): void {
  expect(actual).toEqual(expect.arrayContaining(expected));
  expect(actual).toHaveLength(expected.length);
}

const FUNCTIONS = ['Filter', 'Refresh'] as const;
type FunctionName = (typeof FUNCTIONS)[number];

function functionOf(from: Template, name: FunctionName): [id: string, resource: Resource] {
  const found = named(from, 'AWS::Lambda::Function', name);
  expect(Object.keys(from.findResources('AWS::Lambda::Function'))).toHaveLength(FUNCTIONS.length);
  return found;
}

function statementsOf(from: Template, name: FunctionName): unknown[] {
  const { Role } = functionOf(from, name)[1].Properties as { Role: { 'Fn::GetAtt': [string, string] } };
  const [id, role] = named(from, 'AWS::IAM::Role', `${name}Role`);
  expect(Role).toEqual({ 'Fn::GetAtt': [id, 'Arn'] });
  const policies = role.Properties['Policies'] as { PolicyDocument: { Statement: unknown[] } }[];
  return policies.flatMap((policy) => policy.PolicyDocument.Statement);
}

function arnOf(from: Template, type: string): unknown {
  return { 'Fn::GetAtt': [only(from, type)[0], 'Arn'] };
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'trusted-filter-stack-'));
  dist = join(folder, 'dist');
  for (const name of ['filter', 'refresh']) writeBundle(dist, name);
  imported = makeStack(TRUST);
  created = makeStack({ ...TRUST, createSecret: true });
  const unreserved = { refreshConcurrency: 0, filterConcurrency: 0 };
  scheduled = makeStack({ ...TRUST, refresh: 10, authTimeout: 1_200, ...unreserved });
  template = Template.fromStack(imported);
  scheduledTemplate = Template.fromStack(scheduled);
  createdTemplate = Template.fromStack(created);
  for (const each of [template, createdTemplate]) recordOutput('a template', JSON.stringify(each));
}, 60_000);

afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('the rights of a function', () => {
  /** What both may: read the secret, use the table, tell the bus, write a log of their own. */
  function sharedBy(from: Template, name: FunctionName, secret: unknown): unknown[] {
    const { LogGroup } = functionOf(from, name)[1].Properties['LoggingConfig'] as { LogGroup: { Ref: string } };
    return [
      {
        Effect: 'Allow',
        Action: ['logs:CreateLogStream', 'logs:PutLogEvents'],
        Resource: { 'Fn::GetAtt': [LogGroup.Ref, 'Arn'] },
      },
      { Effect: 'Allow', Action: 'secretsmanager:GetSecretValue', Resource: secret },
      {
        Effect: 'Allow',
        Action: ['dynamodb:BatchGetItem', 'dynamodb:PutItem'],
        Resource: arnOf(from, 'AWS::DynamoDB::Table'),
      },
      { Effect: 'Allow', Action: 'events:PutEvents', Resource: arnOf(from, 'AWS::Events::EventBus') },
    ];
  }

  const importedSecret = {
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
  const cases = [
    ['imported', () => [template, importedSecret]],
    ['created', () => [createdTemplate, { Ref: only(createdTemplate, 'AWS::SecretsManager::Secret')[0] }]],
  ] satisfies [string, () => [Template, unknown]][];

  test.each(cases)('filter, with an %s secret, are what both may and to invoke refresh, and nothing else', (_, of) => {
    const [from, secret] = of();
    expectSame(statementsOf(from, 'Filter'), [
      ...sharedBy(from, 'Filter', secret),
      {
        Effect: 'Allow',
        Action: 'lambda:InvokeFunction',
        Resource: { 'Fn::GetAtt': [functionOf(from, 'Refresh')[0], 'Arn'] },
      },
    ]);
  });

  test.each(cases)(
    'refresh, with an %s secret, are what both may and to send dead letters, and nothing else',
    (_, of) => {
      const [from, secret] = of();
      expectSame(statementsOf(from, 'Refresh'), [
        ...sharedBy(from, 'Refresh', secret),
        { Effect: 'Allow', Action: 'sqs:SendMessage', Resource: arnOf(from, 'AWS::SQS::Queue') },
      ]);
    },
  );

  test('have no wildcard but the end that Secrets Manager gives an ARN', () => {
    for (const from of [template, createdTemplate, scheduledTemplate]) {
      expect(JSON.stringify(FUNCTIONS.flatMap((name) => statementsOf(from, name)))).not.toMatch(/\*/);
    }
  });

  test('come from no other policy', () => {
    for (const from of [template, createdTemplate, scheduledTemplate]) {
      const roles = Object.values(from.findResources('AWS::IAM::Role')) as Resource[];
      expect(roles).toHaveLength(FUNCTIONS.length);
      for (const role of roles) expect(role.Properties).not.toHaveProperty('ManagedPolicyArns');
      from.resourceCountIs('AWS::IAM::Policy', 0);
      from.resourceCountIs('AWS::IAM::RolePolicy', 0);
      from.resourceCountIs('AWS::IAM::ManagedPolicy', 0);
    }
  });

  test('are for Lambda alone to take on', () => {
    template.allResourcesProperties('AWS::IAM::Role', {
      AssumeRolePolicyDocument: {
        Version: '2012-10-17',
        Statement: [{ Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { Service: 'lambda.amazonaws.com' } }],
      },
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

  test('takes no more than a fleet of the size that is expected never needs', () => {
    const of = (from: Template): unknown => only(from, 'AWS::DynamoDB::Table')[1].Properties['OnDemandThroughput'];
    expect(of(template)).toEqual({ MaxReadRequestUnits: 2_500, MaxWriteRequestUnits: 500 });
    expect(of(Template.fromStack(makeStack({ ...TRUST, fleetSize: '10000' })))).toEqual({
      MaxReadRequestUnits: 25_000,
      MaxWriteRequestUnits: 1_000,
    });
  });

  test('goes with the stack, since it is a cache', () => {
    expect(only(template, 'AWS::DynamoDB::Table')[1].DeletionPolicy).toBe('Delete');
  });
});

describe('the functions', () => {
  test('run on Node 24 and arm64, from bundles of their own', () => {
    template.allResourcesProperties('AWS::Lambda::Function', {
      Runtime: 'nodejs24.x',
      Architectures: ['arm64'],
      MemorySize: 1024,
      Handler: 'index.handler',
    });
    const [filter, refresh] = FUNCTIONS.map((name) => functionOf(template, name)[1].Properties['Code']);
    expect(filter).not.toEqual(refresh);
  });

  test('end before API Gateway gives up, and after five minutes where nobody waits', () => {
    expect(functionOf(template, 'Filter')[1].Properties['Timeout']).toBe(29);
    expect(functionOf(template, 'Refresh')[1].Properties['Timeout']).toBe(300);
  });

  test('have the variables that the context sets, what they use, and no others', () => {
    const stack = makeStack({ ...TRUST, port: 9443, apiUrl: '/AttestationService/resources', recheck: '2.5' });
    const from = Template.fromStack(stack);
    const shared = {
      ATTESTATION_SERVER: 'oat.example.net',
      ATTESTATION_SECRET_ID: 'filter/certificate',
      ATTESTATION_TABLE: { Ref: only(from, 'AWS::DynamoDB::Table')[0] },
      ATTESTATION_EVENT_BUS: { Ref: only(from, 'AWS::Events::EventBus')[0] },
      ATTESTATION_STACK: 'TrustedFilter',
      ATTESTATION_PORT: '9443',
      ATTESTATION_API_URL: '/AttestationService/resources',
      ATTESTATION_RECHECK: '2.5',
    };
    expect(functionOf(from, 'Refresh')[1].Properties['Environment']).toEqual({ Variables: shared });
    expect(functionOf(from, 'Filter')[1].Properties['Environment']).toEqual({
      Variables: { ...shared, ATTESTATION_REFRESH_FUNCTION: { Ref: functionOf(from, 'Refresh')[0] } },
    });
  });

  test('that answers has 200 executions at once, or as many as are set, unless the account has no room to reserve any', () => {
    expect(functionOf(template, 'Filter')[1].Properties['ReservedConcurrentExecutions']).toBe(200);
    const fewer = Template.fromStack(makeStack({ ...TRUST, filterConcurrency: 20 }));
    expect(functionOf(fewer, 'Filter')[1].Properties['ReservedConcurrentExecutions']).toBe(20);
    expect(functionOf(scheduledTemplate, 'Filter')[1].Properties).not.toHaveProperty('ReservedConcurrentExecutions');
  });

  test('leave an account of 1,000 executions most of them', () => {
    const executions = FUNCTIONS.map(
      (name) => functionOf(template, name)[1].Properties['ReservedConcurrentExecutions'],
    );
    // AWS wants a hundred left, and others may have reserved some.
    expect(executions.reduce<number>((sum, each) => sum + Number(each), 0)).toBeLessThanOrEqual(250);
  });

  test.each(['filter', 'refresh'])('cannot be deployed before %s is built', (name) => {
    const bundles = mkdtempSync(join(folder, 'dist-'));
    for (const other of ['filter', 'refresh']) if (other !== name) writeBundle(bundles, other);
    expect(() => makeStack(TRUST, bundles)).toThrow(
      `The bundle dist/${name}/index.mjs does not exist: run npm run build first.`,
    );
  });
});

describe('refresh', () => {
  test('has ten executions at once, unless the account has no room to reserve any', () => {
    const { Properties } = functionOf(template, 'Refresh')[1];
    expect(Properties['ReservedConcurrentExecutions']).toBe(10);
    expect(functionOf(scheduledTemplate, 'Refresh')[1].Properties).not.toHaveProperty('ReservedConcurrentExecutions');
  });

  test('is tried twice within five minutes', () => {
    const [, { Properties }] = only(template, 'AWS::Lambda::EventInvokeConfig');
    expect(Properties).toEqual({
      FunctionName: { Ref: functionOf(template, 'Refresh')[0] },
      Qualifier: '$LATEST',
      MaximumRetryAttempts: 1,
      MaximumEventAgeInSeconds: 300,
    });
  });

  test('leaves what it failed at in a queue, encrypted, for two weeks', () => {
    const [queue, { Properties }] = only(template, 'AWS::SQS::Queue');
    expect(functionOf(template, 'Refresh')[1].Properties['DeadLetterConfig']).toEqual({
      TargetArn: { 'Fn::GetAtt': [queue, 'Arn'] },
    });
    expect(Properties).toEqual({
      MessageRetentionPeriod: 1_209_600,
      SqsManagedSseEnabled: true,
      // Lambda sends to it, and no queue.
      RedriveAllowPolicy: { redrivePermission: 'denyAll' },
    });
    template.hasResourceProperties('AWS::SQS::QueuePolicy', {
      Queues: [{ Ref: queue }],
      PolicyDocument: {
        Statement: [
          {
            Effect: 'Deny',
            Action: 'sqs:*',
            Principal: { AWS: '*' },
            Resource: { 'Fn::GetAtt': [queue, 'Arn'] },
            Condition: { Bool: { 'aws:SecureTransport': 'false' } },
          },
        ],
      },
    });
    template.hasOutput('DeadLetterQueueUrl', { Value: { Ref: queue } });
  });

  test('raises an alarm when the queue has something in it', () => {
    const [queue] = only(template, 'AWS::SQS::Queue');
    template.hasResourceProperties('AWS::CloudWatch::Alarm', {
      AlarmName: 'TrustedFilter-DeadLetters',
      Namespace: 'AWS/SQS',
      MetricName: 'ApproximateNumberOfMessagesVisible',
      Dimensions: [{ Name: 'QueueName', Value: { 'Fn::GetAtt': [queue, 'QueueName'] } }],
      Statistic: 'Maximum',
      ComparisonOperator: 'GreaterThanThreshold',
      Threshold: 0,
      EvaluationPeriods: 1,
      TreatMissingData: 'notBreaching',
    });
  });

  test('has no schedule unless one is set', () => {
    template.resourceCountIs('AWS::Events::Rule', 0);
    const permissions = Object.values(template.findResources('AWS::Lambda::Permission')) as Resource[];
    expect(permissions.map(({ Properties }) => Properties['Principal'])).not.toContain('events.amazonaws.com');
  });

  test('is invoked by its schedule, and by no other rule', () => {
    const [rule, { Properties }] = only(scheduledTemplate, 'AWS::Events::Rule');
    const [id] = functionOf(scheduledTemplate, 'Refresh');
    expect(Properties).toMatchObject({
      ScheduleExpression: 'rate(10 minutes)',
      State: 'ENABLED',
      Targets: [{ Arn: { 'Fn::GetAtt': [id, 'Arn'] } }],
    });
    // EventBridge sends its own event, as it is.
    expect((Properties['Targets'] as object[])[0]).not.toHaveProperty('Input');
    scheduledTemplate.hasResourceProperties('AWS::Lambda::Permission', {
      Action: 'lambda:InvokeFunction',
      FunctionName: { 'Fn::GetAtt': [id, 'Arn'] },
      Principal: 'events.amazonaws.com',
      SourceArn: { 'Fn::GetAtt': [rule, 'Arn'] },
    });
  });

  test('is scheduled every minute at the finest, and once a day at the coarsest', () => {
    for (const [refresh, expression] of [
      [1, 'rate(1 minute)'],
      [1440, 'rate(1 day)'],
    ] as const) {
      const from = Template.fromStack(makeStack({ ...TRUST, refresh, authTimeout: 172_800 }));
      expect(only(from, 'AWS::Events::Rule')[1].Properties['ScheduleExpression']).toBe(expression);
    }
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
      IntegrationUri: { 'Fn::GetAtt': [functionOf(template, 'Filter')[0], 'Arn'] },
      PayloadFormatVersion: '2.0',
    });
  });

  test('throttles at its only stage', () => {
    expect(only(template, 'AWS::ApiGatewayV2::Stage')[1].Properties).toMatchObject({
      StageName: '$default',
      AutoDeploy: true,
      DefaultRouteSettings: { ThrottlingRateLimit: 50, ThrottlingBurstLimit: 100 },
    });
  });

  test('throttles each route by itself, the one that is sent every pod at ten times the rate of others', () => {
    const stages = Object.values(template.findResources('AWS::ApiGatewayV2::Stage')) as (Resource & {
      readonly DependsOn: string[];
    })[];
    const nova = { ThrottlingRateLimit: 50, ThrottlingBurstLimit: 100 };
    expect(stages.map(({ Properties }) => Properties['RouteSettings'])).toEqual([
      {
        'POST /filter': nova,
        'POST /kubernetes/filter': { ThrottlingRateLimit: 500, ThrottlingBurstLimit: 1_000 },
        'POST /nova/external-scheduler': nova,
      },
    ]);
    const routes = template.findResources('AWS::ApiGatewayV2::Route') as Record<string, Resource>;
    const named = Object.keys(routes).filter((id) => ROUTE_KEYS.includes(String(routes[id]?.Properties['RouteKey'])));
    // CloudFormation makes the stage while a route is not there yet, and then refuses the limit.
    expect(named).toHaveLength(ROUTE_KEYS.length);
    expect(stages[0]?.DependsOn).toEqual(expect.arrayContaining(named));
  });

  test('logs of each request who asked and how it went, in a group of its own, and no bodies or queries', () => {
    const { DestinationArn, Format } = only(template, 'AWS::ApiGatewayV2::Stage')[1].Properties[
      'AccessLogSettings'
    ] as { DestinationArn: { 'Fn::GetAtt': [string, string] }; Format: string };
    const [group] = DestinationArn['Fn::GetAtt'];
    const groups = template.findResources('AWS::Logs::LogGroup');
    expect(Object.keys(groups)).toContain(group);
    for (const name of FUNCTIONS) {
      expect(functionOf(template, name)[1].Properties['LoggingConfig']).not.toEqual({ LogGroup: { Ref: group } });
    }
    expect(JSON.parse(Format)).toEqual({
      request_id: '$context.requestId',
      time: '$context.requestTime',
      route: '$context.routeKey',
      status: '$context.status',
      latency_ms: '$context.responseLatency',
      integration_latency_ms: '$context.integrationLatency',
      principal: '$context.identity.userArn',
      client_serial: '$context.identity.clientCert.serialNumber',
      source_ip: '$context.identity.sourceIp',
      error: '$context.error.message',
      integration_error: '$context.integrationErrorMessage',
    });
  });

  test('logs nothing that a client could write a quote into, since API Gateway escapes no value', () => {
    const evil = 'CN=a", "status": "200';
    // What whoever asks is free to choose; the certificate's names, too, before anybody has vouched for it.
    const chosen =
      /\$context\.(identity\.(clientCert\.(subjectDN|issuerDN|clientCertPem)|userAgent)|path|domainName|domainPrefix|httpMethod|protocol|customDomain\.basePathMatched)\b/g;
    const { Format } = only(template, 'AWS::ApiGatewayV2::Stage')[1].Properties['AccessLogSettings'] as {
      Format: string;
    };
    const line = JSON.parse(Format.replaceAll(chosen, evil)) as Record<string, string>;
    expect(Object.values(line).filter((value) => !value.startsWith('$context.'))).toEqual([]);
    expect(line['status']).toBe('$context.status');
  });
});

describe('the stack', () => {
  test('gives its event bus nothing that CloudFormation knows in some regions alone', () => {
    expect(Object.keys(only(template, 'AWS::Events::EventBus')[1].Properties)).toEqual(['Name']);
  });

  test('keeps every log for a month', () => {
    const groups = Object.values(template.findResources('AWS::Logs::LogGroup')) as Resource[];
    expect(groups).toHaveLength(3);
    template.allResourcesProperties('AWS::Logs::LogGroup', { RetentionInDays: 30 });
  });

  test('has its access log where AWS keeps those of its services, and another one when it is made anew', () => {
    const [, { Properties }] = named(template, 'AWS::Logs::LogGroup', 'AccessLog');
    const endOfStackId = { 'Fn::Select': [2, { 'Fn::Split': ['/', { Ref: 'AWS::StackId' }] }] };
    expect(Properties['LogGroupName']).toEqual({
      'Fn::Join': ['', ['/aws/vendedlogs/TrustedFilter/access-', endOfStackId]],
    });
  });

  test('takes events from its two functions alone, and from them those of the filter alone', () => {
    const [bus] = only(template, 'AWS::Events::EventBus');
    const policies = Object.values(template.findResources('AWS::Events::EventBusPolicy')) as Resource[];
    const deny = (Condition: object): unknown =>
      expect.objectContaining({
        Effect: 'Deny',
        Principal: { AWS: '*' },
        Action: 'events:PutEvents',
        Resource: { 'Fn::GetAtt': [bus, 'Arn'] },
        Condition,
      });
    const roles = FUNCTIONS.map((name) => functionOf(template, name)[1].Properties['Role']);
    // One after the other: EventBridge refuses two changes of a bus's policy at once.
    const waiting = (policies as (Resource & { readonly DependsOn?: string[] })[]).map(({ DependsOn }) => DependsOn);
    expectSame(waiting, [undefined, [expect.stringContaining('OthersPutNothing')]]);
    expectSame(
      policies.map(({ Properties }) => Properties['Statement']),
      [
        deny({ ArnNotEquals: { 'aws:PrincipalArn': roles } }),
        deny({ 'ForAnyValue:StringNotEquals': { 'events:source': 'trusted-filter' } }),
      ],
    );
  });

  test('shows where its parts are', () => {
    // No slash at its end: README and schedulers put the path, which begins with one, behind it.
    template.hasOutput('ApiUrl', { Value: { 'Fn::GetAtt': [Match.stringLikeRegexp('^Api'), 'ApiEndpoint'] } });
    template.hasOutput('FunctionName', { Value: { Ref: functionOf(template, 'Filter')[0] } });
    template.hasOutput('RefreshFunctionName', { Value: { Ref: functionOf(template, 'Refresh')[0] } });
    template.hasOutput('DashboardName', { Value: { Ref: only(template, 'AWS::CloudWatch::Dashboard')[0] } });
    template.hasOutput('EventBusName', { Value: { Ref: only(template, 'AWS::Events::EventBus')[0] } });
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
});

describe('a domain with client certificates', () => {
  const domain = {
    name: 'trust.example.net',
    certificateArn: 'arn:aws:acm:eu-west-1:123456789012:certificate/0a1b2c3d',
    truststore: 's3://trust-stores/schedulers.pem',
  };
  const clients = ['CN=kube-scheduler', 'CN=nova-scheduler,O=example'];
  let mutual: Template;
  let stack: TrustedFilterStack;
  beforeAll(() => {
    stack = makeStack({ ...TRUST, domain, clients, hostPattern: '^compute-\\d+\\.example\\.net$' });
    mutual = Template.fromStack(stack);
  });

  /** The routes of a template by how who asks is known. */
  const routesOf = (from: Template): Record<string, string[]> => {
    const routes = Object.values(from.findResources('AWS::ApiGatewayV2::Route') as Record<string, Resource>);
    const keys = (type: string): string[] =>
      routes
        .filter(({ Properties }) => Properties['AuthorizationType'] === type)
        .map(({ Properties }) => String(Properties['RouteKey']))
        .sort();
    return { AWS_IAM: keys('AWS_IAM'), NONE: keys('NONE') };
  };

  test('is demanded at the domain alone: the default endpoint is off', () => {
    mutual.hasResourceProperties('AWS::ApiGatewayV2::Api', { DisableExecuteApiEndpoint: true });
    mutual.hasResourceProperties('AWS::ApiGatewayV2::DomainName', {
      DomainName: 'trust.example.net',
      MutualTlsAuthentication: { TruststoreUri: 's3://trust-stores/schedulers.pem' },
      DomainNameConfigurations: [
        Match.objectLike({ CertificateArn: domain.certificateArn, SecurityPolicy: 'TLS_1_2' }),
      ],
    });
    mutual.resourceCountIs('AWS::ApiGatewayV2::ApiMapping', 1);
    template.hasResourceProperties('AWS::ApiGatewayV2::Api', { DisableExecuteApiEndpoint: false });
    template.resourceCountIs('AWS::ApiGatewayV2::DomainName', 0);
  });

  test('opens the filter’s routes and no other, and without it no route is open', () => {
    expect(routesOf(mutual)).toEqual({ AWS_IAM: ['$default'], NONE: [...ROUTE_KEYS].sort() });
    expect(routesOf(template)).toEqual({ AWS_IAM: ['$default', ...ROUTE_KEYS].sort(), NONE: [] });
    expect(routesOf(scheduledTemplate).NONE).toEqual([]);
  });

  test('has the function check the subject', () => {
    const variables = {
      Environment: { Variables: Match.objectLike({ ATTESTATION_CLIENTS: JSON.stringify(clients) }) },
    };
    mutual.hasResourceProperties('AWS::Lambda::Function', variables);
    const ofRefresh = functionOf(mutual, 'Refresh')[1].Properties['Environment'];
    expect(ofRefresh).not.toMatchObject({ Variables: { ATTESTATION_CLIENTS: expect.anything() } });
  });

  test('is warned of without a pattern of host names, in words that can be acknowledged, and not with one', () => {
    const printed = jest.spyOn(console, 'error').mockImplementation(() => undefined);
    const warning = Match.stringLikeRegexp('^trust\\.hostPattern is not set');
    const open = makeStack({ ...TRUST, domain, clients });
    Annotations.fromStack(open).hasWarning('/TrustedFilter', warning);
    const acknowledged = makeStack({ ...TRUST, domain, clients });
    CdkAnnotations.of(acknowledged).acknowledgeWarning('trusted-filter:no-host-pattern', 'one scheduler alone');
    Annotations.fromStack(acknowledged).hasNoWarning('*', Match.anyValue());
    printed.mockRestore();
    for (const quiet of [stack, imported]) Annotations.fromStack(quiet).hasNoWarning('*', Match.anyValue());
  });
});

describe('a Keylime verifier', () => {
  const service = { service: 'keylime', serverName: 'localhost' };
  let stack: TrustedFilterStack;
  let from: Template;
  beforeAll(() => {
    const agentIds = join(folder, 'ids.json');
    writeFileSync(agentIds, '{"compute-1":"a1"}');
    stack = makeStack({ ...TRUST, ...service, keylime: { agentIds, policyRequired: false } });
    from = Template.fromStack(stack);
  });

  test('may post where it signs, or where its certificate is named, and nowhere else', () => {
    const domain = {
      name: 'trust.example.net',
      certificateArn: 'arn:aws:acm:eu-west-1:123456789012:certificate/12345678-1234-1234-1234-123456789012',
      truststore: 's3://trust-stores/schedulers.pem',
    };
    const shown = { ...TRUST, ...service, domain, clients: ['CN=nova'], hostPattern: '^compute-' };
    const verifiers = ['CN=verifier,O=example'];
    const typeOf = (template: Template): unknown =>
      Object.values(template.findResources('AWS::ApiGatewayV2::Route'))
        .filter(({ Properties }) => (Properties as { RouteKey: unknown }).RouteKey === WEBHOOK_ROUTE)
        .map(({ Properties }) => (Properties as { AuthorizationType: unknown }).AuthorizationType);
    expect(typeOf(from)).toEqual(['AWS_IAM']);
    expect(typeOf(Template.fromStack(makeStack({ ...shown, keylime: { verifiers } })))).toEqual(['NONE']);
    expect(typeOf(Template.fromStack(makeStack(shown)))).toEqual([]);
    expect(typeOf(Template.fromStack(makeStack(TRUST)))).toEqual([]);
    from.hasResourceProperties('AWS::ApiGatewayV2::Stage', {
      RouteSettings: Match.objectLike({ [WEBHOOK_ROUTE]: { ThrottlingRateLimit: 10, ThrottlingBurstLimit: 50 } }),
    });
  });

  test('is made known to both functions, with the layer that has the table of its agents', () => {
    const [layer, { Properties }] = only(from, 'AWS::Lambda::LayerVersion');
    expect(Properties).toMatchObject({ CompatibleArchitectures: ['arm64'], CompatibleRuntimes: ['nodejs24.x'] });
    for (const name of FUNCTIONS) {
      expect(functionOf(from, name)[1].Properties).toMatchObject({
        Layers: [{ Ref: layer }],
        Environment: {
          Variables: {
            ATTESTATION_SERVICE: 'keylime',
            ATTESTATION_SERVER_NAME: 'localhost',
            ATTESTATION_KEYLIME_AGENT_IDS: '/opt/agent-ids.json',
            ATTESTATION_KEYLIME_POLICY_REQUIRED: 'false',
          },
        },
      });
    }
  });

  test('needs no layer where agent ids are computed', () => {
    const computed = Template.fromStack(makeStack({ ...TRUST, ...service }));
    for (const each of [computed, template]) {
      each.resourceCountIs('AWS::Lambda::LayerVersion', 0);
      for (const name of FUNCTIONS) expect(functionOf(each, name)[1].Properties).not.toHaveProperty('Layers');
    }
  });

  test('changes nothing else in the stack', () => {
    const own =
      /^(Layers|ATTESTATION_(SERVICE|SERVER_NAME|KEYLIME_.*)|ApiPOSTkeylimewebhook.*|POST \/keylime\/webhook)$/;
    const isOfWebhook = (value: unknown): boolean => typeof value === 'string' && own.test(value);
    // What is looked at is told in constructs/alarms.test.ts.
    const isWatching = (value: unknown): boolean =>
      String((value as Partial<Resource> | null)?.Type).startsWith('AWS::CloudWatch::');
    const without = (each: Template): unknown =>
      JSON.parse(
        JSON.stringify(each, (name, value: unknown) => {
          if (own.test(name) || (value as Resource | null)?.Type === 'AWS::Lambda::LayerVersion') return undefined;
          if (isWatching(value)) return undefined;
          return Array.isArray(value) ? value.filter((member) => !isOfWebhook(member)) : value;
        }),
      );
    expect(without(from)).toEqual(without(template));
  });
});
