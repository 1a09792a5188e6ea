/** What the stack makes of the context `trust.compliance`. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { Template } from 'aws-cdk-lib/assertions';
import { writeBundles } from './variants/bundles.ts';
import { makeVariant, VARIANTS } from './variants/variants.ts';

const KEY = 'arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f';

let folder: string;
const templates = new Map<string, Template>();
beforeAll(() => {
  jest.spyOn(console, 'error').mockImplementation(() => undefined);
  folder = mkdtempSync(join(tmpdir(), 'compliance-'));
  const dist = writeBundles(join(folder, 'dist'));
  for (const [name, variant] of Object.entries(VARIANTS)) {
    templates.set(name, Template.fromStack(makeVariant(variant, join(folder, name), dist).stack));
  }
}, 60_000);
afterAll(() => {
  jest.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

/** The properties of all resources of a type. */
function all(variant: string, type: string): Record<string, unknown>[] {
  const resources = templates.get(variant)!.findResources(type) as Record<string, { Properties: object }>;
  return Object.values(resources).map(({ Properties }) => Properties as Record<string, unknown>);
}

describe('a key', () => {
  test('is that of the table, the secret, the queue, the bus, every log and the variables of every function', () => {
    expect(all('compliance-key', 'AWS::DynamoDB::Table')).toMatchObject([
      { SSESpecification: { SSEEnabled: true, SSEType: 'KMS', KMSMasterKeyId: KEY } },
    ]);
    expect(all('compliance-key', 'AWS::SecretsManager::Secret')).toMatchObject([{ KmsKeyId: KEY }]);
    expect(all('compliance-key', 'AWS::SQS::Queue')).toMatchObject([{ KmsMasterKeyId: KEY }]);
    expect(all('compliance-key', 'AWS::Events::EventBus')).toMatchObject([{ KmsKeyIdentifier: KEY }]);
    expect(all('compliance-key', 'AWS::Logs::LogGroup').map(({ KmsKeyId }) => KmsKeyId)).toEqual([KEY, KEY, KEY]);
    expect(all('compliance-key', 'AWS::Lambda::Function').map(({ KmsKeyArn }) => KmsKeyArn)).toEqual([KEY, KEY]);
  });

  test('is not that of a bus in GovCloud, where CloudFormation knows no such thing', () => {
    expect(all('compliance-key-govcloud', 'AWS::Events::EventBus')[0]).not.toHaveProperty('KmsKeyIdentifier');
    expect(all('compliance-key-china', 'AWS::Events::EventBus')[0]).toHaveProperty('KmsKeyIdentifier');
  });

  test('is named nowhere unless one is set', () => {
    for (const [name, template] of templates) {
      if (!name.startsWith('compliance-key')) expect(JSON.stringify(template)).not.toMatch(/kms|KMS|Kms/);
    }
  });
});

test('logs are kept for a year, and the table can be restored, once compliance is asked for', () => {
  const days = (variant: string): unknown[] => all(variant, 'AWS::Logs::LogGroup').map((log) => log['RetentionInDays']);
  expect(days('compliance')).toEqual([365, 365, 365]);
  expect(days('plain')).toEqual([30, 30, 30]);
  const recovery = { PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true } };
  expect(all('compliance', 'AWS::DynamoDB::Table')).toMatchObject([recovery]);
  expect(all('plain', 'AWS::DynamoDB::Table')).not.toMatchObject([recovery]);
});

test('every alarm goes to the topic', () => {
  const alarms = ['Alarm', 'CompositeAlarm'].map((type) => all('compliance-key', `AWS::CloudWatch::${type}`));
  for (const each of alarms) expect(each.length).toBeGreaterThan(0);
  for (const { AlarmActions } of alarms.flat())
    expect(AlarmActions).toEqual(['arn:aws:sns:eu-west-1:123456789012:pages']);
});

test('every role is bounded', () => {
  const boundaries = all('compliance-key', 'AWS::IAM::Role').map((role) => role['PermissionsBoundary']);
  const boundary = 'arn:aws:iam::123456789012:policy/boundary';
  expect(boundaries).toEqual([boundary, boundary]);
  for (const role of all('plain', 'AWS::IAM::Role')) expect(role).not.toHaveProperty('PermissionsBoundary');
});

test('tags are on whatever keeps or moves something', () => {
  const tags = [
    { Key: 'cost-center', Value: '4711' },
    { Key: 'data class', Value: 'internal' },
  ];
  for (const type of [
    'DynamoDB::Table',
    'SecretsManager::Secret',
    'SQS::Queue',
    'Events::EventBus',
    'Logs::LogGroup',
    'Lambda::Function',
    'IAM::Role',
    'EC2::SecurityGroup',
    'EC2::VPCEndpoint',
    'CloudWatch::Alarm',
    'CloudWatch::CompositeAlarm',
  ]) {
    const found = all('compliance-key', `AWS::${type}`);
    expect(found.length).toBeGreaterThan(0);
    for (const { Tags } of found) expect(Tags).toEqual(tags);
  }
  expect(all('compliance-key', 'AWS::ApiGatewayV2::Api')).toMatchObject([
    { Tags: { 'cost-center': '4711', 'data class': 'internal' } },
  ]);
});

test('who may invoke a function is of an account that is named where it is known', () => {
  const permissions = all('compliance-key', 'AWS::Lambda::Permission');
  expect(permissions.length).toBeGreaterThan(3);
  for (const { SourceAccount, SourceArn } of permissions) {
    expect(SourceAccount).toBe('123456789012');
    expect(SourceArn).toBeDefined();
  }
  for (const permission of all('schedule', 'AWS::Lambda::Permission')) {
    expect(permission).not.toHaveProperty('SourceAccount');
    expect(permission).toHaveProperty('SourceArn');
  }
});

test.each([
  ['with', { compliance: {} }, ['123456789012']],
  ['without', {}, [undefined]],
])('the account is known to the app where the command line knows it, %s compliance', (name, more, accounts) => {
  const app = fileURLToPath(new URL('../../infra/app.ts', import.meta.url));
  const outdir = join(folder, `app-${name}`);
  const context = { trust: { server: 'oat.example.net', secretName: 'filter/certificate', ...more } };
  const env = {
    CDK_CONTEXT_JSON: JSON.stringify(context),
    CDK_OUTDIR: outdir,
    CDK_DEFAULT_ACCOUNT: '123456789012',
    CDK_DEFAULT_REGION: 'eu-west-1',
  };
  const { status, stderr } = spawnSync(process.execPath, [app], { env, encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
  const template = readFileSync(join(outdir, 'TrustedFilter.template.json'), 'utf8');
  const { Resources } = JSON.parse(template) as {
    Resources: Record<string, { Type: string; Properties: { SourceAccount?: string } }>;
  };
  const permissions = Object.values(Resources).filter(({ Type }) => Type === 'AWS::Lambda::Permission');
  expect([...new Set(permissions.map(({ Properties }) => Properties.SourceAccount))]).toEqual(accounts);
});
