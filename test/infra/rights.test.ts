/** What each function may do, and nothing else, in every variant: an exact list. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { Template } from 'aws-cdk-lib/assertions';
import { writeBundles } from './variants/bundles.ts';
import { makeVariant, VARIANTS } from './variants/variants.ts';

interface Statement {
  readonly Effect: string;
  readonly Action: string | string[];
  readonly Resource: unknown;
  readonly Condition?: unknown;
}

interface Reference {
  readonly Ref?: string;
  readonly 'Fn::GetAtt'?: [string, string];
  readonly 'Fn::Join'?: [string, unknown[]];
}

/** A right as a line: what may be done with what, and on which condition. */
const LOG = ['logs:CreateLogStream, logs:PutLogEvents on <log>'];
const SECRET = ['secretsmanager:GetSecretValue on <secret>'];
const TABLE = ['dynamodb:BatchGetItem, dynamodb:PutItem on <AWS::DynamoDB::Table>'];
const BUS = ['events:PutEvents on <AWS::Events::EventBus>'];
const HAND_OVER = ['lambda:InvokeFunction on <AWS::Lambda::Function>'];
const DEAD_LETTERS = ['sqs:SendMessage on <AWS::SQS::Queue>'];
const OF_VPC =
  'ec2:AssignPrivateIpAddresses, ec2:CreateNetworkInterface, ec2:DeleteNetworkInterface, ec2:DescribeNetworkInterfaces, ec2:DescribeSubnets';
const VPC = [
  `${OF_VPC}, ec2:UnassignPrivateIpAddresses on *`,
  `never ${OF_VPC}, ec2:DetachNetworkInterface, ec2:UnassignPrivateIpAddresses on * if ArnLike lambda:SourceFunctionArn=arn:<partition>:lambda:<region>:<account>:function:*`,
];
const through = (service: string): string => `if StringEquals kms:ViaService=${service}.<region>.<suffix>`;
const KEY = [
  `kms:Decrypt, kms:DescribeKey, kms:Encrypt, kms:GenerateDataKey, kms:GenerateDataKeyWithoutPlaintext, kms:ReEncryptFrom, kms:ReEncryptTo on <key> ${through('dynamodb')}`,
  `kms:Decrypt on <key> ${through('secretsmanager')} ArnLike kms:EncryptionContext:SecretARN=<secret>`,
];
const KEY_OF_QUEUE = [`kms:Decrypt, kms:GenerateDataKey on <key> ${through('sqs')}`];

let folder: string;
beforeAll(() => {
  jest.spyOn(console, 'error').mockImplementation(() => undefined);
  folder = mkdtempSync(join(tmpdir(), 'rights-'));
  writeBundles(join(folder, 'dist'));
});
afterAll(() => {
  jest.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

function synthesize(name: string): Template {
  const { stack } = makeVariant(VARIANTS[name]!, join(folder, name), join(folder, 'dist'));
  return Template.fromStack(stack);
}

/** The rights of the role of a function, each as a line. */
function rightsOf(template: Template, name: string): string[] {
  const roles = template.findResources('AWS::IAM::Role') as Record<string, { Properties: object }>;
  const found = Object.entries(roles).filter(([id]) => id.startsWith(`${name}Role`));
  expect(found).toHaveLength(1);
  const { Policies, ManagedPolicyArns } = found[0]![1].Properties as {
    Policies: { PolicyDocument: { Statement: Statement[] } }[];
    ManagedPolicyArns?: unknown;
  };
  expect(ManagedPolicyArns).toBeUndefined();
  for (const type of ['Policy', 'RolePolicy', 'ManagedPolicy']) template.resourceCountIs(`AWS::IAM::${type}`, 0);
  return Policies.flatMap(({ PolicyDocument }) => PolicyDocument.Statement).map((each) => {
    const actions = [each.Action].flat().sort().join(', ');
    const condition = each.Condition === undefined ? '' : ` if ${conditionOf(template, each.Condition)}`;
    return `${each.Effect === 'Deny' ? 'never ' : ''}${actions} on ${textOf(template, each.Resource)}${condition}`;
  });
}

function conditionOf(template: Template, condition: unknown): string {
  return Object.entries(condition as Record<string, Record<string, unknown>>)
    .map(([operator, keys]) => {
      const pairs = Object.entries(keys).map(([key, value]) => `${key}=${textOf(template, value)}`);
      return `${operator} ${pairs.join(' ')}`;
    })
    .join(' ');
}

/** A value of the template as text: what it refers to by its type, so that names that are made up do not matter. */
function textOf(template: Template, value: unknown): string {
  if (typeof value === 'string') {
    return value
      .replace(/^arn:[\w-]+:kms:.*$/, '<key>')
      .replace(/^([a-z]+)\.[a-z]+-[a-z-]+-\d\./, '$1.<region>.')
      .replace(/[a-z]+-[a-z-]+-\d:\d{12}:/, '<region>:<account>:');
  }
  const { Ref, 'Fn::GetAtt': att, 'Fn::Join': join } = value as Reference;
  if (join !== undefined) {
    const text = join[1].map((each) => textOf(template, each)).join('');
    return /:secretsmanager:.*-\?{6}$/.test(text) ? '<secret>' : text;
  }
  const id = Ref ?? att?.[0] ?? '?';
  const type = (template.toJSON() as { Resources: Record<string, { Type: string } | undefined> }).Resources[id]?.Type;
  const pseudo: Record<string, string> = {
    'AWS::Partition': '<partition>',
    'AWS::Region': '<region>',
    'AWS::AccountId': '<account>',
    'AWS::URLSuffix': '<suffix>',
    'AWS::Logs::LogGroup': '<log>',
    'AWS::SecretsManager::Secret': '<secret>',
  };
  return pseudo[type ?? id] ?? `<${type ?? id}>`;
}

describe.each(Object.keys(VARIANTS))('in the variant %s', (name) => {
  const vpc = name.startsWith('vpc') || name.startsWith('compliance-key') ? VPC : [];
  const hasKey = name.startsWith('compliance-key');
  const shared = [...LOG, ...SECRET, ...TABLE, ...BUS, ...vpc, ...(hasKey ? KEY : [])];

  test('filter may use the secret, the table and the bus and invoke refresh, and refresh may leave dead letters instead', () => {
    const template = synthesize(name);
    expect(rightsOf(template, 'Filter').sort()).toEqual([...shared, ...HAND_OVER].sort());
    const ofRefresh = [...shared, ...DEAD_LETTERS, ...(hasKey ? KEY_OF_QUEUE : [])];
    expect(rightsOf(template, 'Refresh').sort()).toEqual(ofRefresh.sort());
  });
});
