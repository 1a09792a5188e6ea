/** Rules of cdk-nag and of AWS Control Tower, for every variant: what they find is what is excepted where it is, with a reason. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { CfnGuardValidator } from '@cdklabs/cdk-validator-cfnguard';
import { App, CfnResource, Stack, Validations } from 'aws-cdk-lib';
import { AttributeType, Table } from 'aws-cdk-lib/aws-dynamodb';
import {
  AwsSolutionsChecks,
  HIPAASecurityChecks,
  type NagPack,
  NIST80053R5Checks,
  PCIDSS321Checks,
  ServerlessChecks,
} from 'cdk-nag';
import type { IConstruct } from 'constructs';
import { writeBundles } from './variants/bundles.ts';
import { makeVariant, VARIANTS } from './variants/variants.ts';

const PACKS = [AwsSolutionsChecks, NIST80053R5Checks, HIPAASecurityChecks, PCIDSS321Checks, ServerlessChecks];
// Control Tower's rules are some two hundred files, read anew for each variant.
jest.setTimeout(90_000);
const NAMES = Object.keys(VARIANTS);

interface Looked {
  /** `rule at resource`, exceptions left out of account. */
  readonly found: string[];
  /** The same, of what is excepted. */
  readonly excepted: string[];
  readonly reasons: string[];
  readonly template: string;
  readonly again: string;
}

/** What cdk-nag finds, whatever is excepted. */
function lookWithNag(scope: IConstruct): string[] {
  return PACKS.flatMap((Pack) => {
    const pack = Object.assign(new Pack(), { isAcknowledged: () => false }) as NagPack;
    return pack
      .validateScope(scope)
      .violations.flatMap(({ ruleName, violatingResources }) =>
        violatingResources.map(({ constructPath }) => `${ruleName} at ${constructPath ?? '?'}`),
      );
  });
}

/** What AWS Control Tower's rules find in a template, each named as AWS does, at the path of the resource in the app. */
function lookWithControlTower(template: string, scope: IConstruct): string[] {
  const paths = new Map<string, string>();
  for (const each of scope.node.findAll()) {
    if (each instanceof CfnResource) paths.set(String(Stack.of(each).resolve(each.logicalId)), each.node.path);
  }
  const context = { templatePaths: [template] } as Parameters<CfnGuardValidator['validate']>[0];
  const { violations } = new CfnGuardValidator().validate(context);
  return violations.flatMap(({ description, violatingResources }) => {
    const rule = /\[(CT\.[\w.]+)\]/.exec(description)?.[1] ?? description;
    return violatingResources.map(({ resourceLogicalId }) => `${rule} at ${paths.get(resourceLogicalId) ?? '?'}`);
  });
}

/** What is excepted, each at the one resource that it is of; anywhere else it would be of several. */
function exceptionsOf(scope: IConstruct): { at: string; rule: string; reason: string }[] {
  return scope.node.findAll().flatMap((each) =>
    each.node.metadata
      .filter(({ type }) => type === Validations.ACKNOWLEDGED_RULES_METADATA_KEY)
      .flatMap(({ data }) => Object.entries(data as Record<string, string>))
      // CDK's own prefix, for what is no plugin's.
      .map(([rule, reason]) => ({ at: resourceOf(each), rule: rule.replace(/^annotation::/i, ''), reason })),
  );
}

function resourceOf(construct: IConstruct): string {
  const resource = construct instanceof CfnResource ? construct : construct.node.defaultChild;
  if (!(resource instanceof CfnResource)) throw new Error(`${construct.node.path} is no resource`);
  return resource.node.path;
}

let folder: string;
const looked = new Map<string, Looked>();

beforeAll(() => {
  // Warnings of the stack to operators, and CDK's of what cdk-nag uses.
  for (const each of ['error', 'warn'] as const) jest.spyOn(console, each).mockImplementation(() => undefined);
  folder = mkdtempSync(join(tmpdir(), 'guardrails-'));
  writeBundles(join(folder, 'dist'));
});

/** Looks at a variant, once. */
function look(name: string): Looked {
  const known = looked.get(name);
  if (known !== undefined) return known;
  const synthesize = (into: string): { stack: Stack; file: string } => {
    const { app, stack } = makeVariant(VARIANTS[name]!, into, join(folder, 'dist'));
    app.synth();
    return { stack, file: join(into, 'TrustedFilter.template.json') };
  };
  const { stack, file } = synthesize(join(folder, name, 'first'));
  const exceptions = exceptionsOf(stack);
  const made = {
    found: [...lookWithNag(stack), ...lookWithControlTower(file, stack)].sort(),
    excepted: exceptions.map(({ rule, at }) => `${rule} at ${at}`).sort(),
    reasons: exceptions.map(({ reason }) => reason),
    template: readFileSync(file, 'utf8'),
    again: readFileSync(synthesize(join(folder, name, 'second')).file, 'utf8'),
  };
  looked.set(name, made);
  return made;
}

afterAll(() => {
  jest.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

describe.each(NAMES)('the variant %s', (name) => {
  test('breaks no rule but those that are excepted at the resource, and excepts none that it does not break', () => {
    const { found, excepted } = look(name);
    expect(excepted).toEqual(found);
  });

  test('says of each exception why', () => {
    for (const reason of look(name).reasons) expect(reason).toMatch(/^[A-Z].{20,}\.$/);
  });

  test('is the same template when it is synthesized again', () => {
    const { template, again } = look(name);
    expect(again).toBe(template);
  });
});

describe('with a key, a VPC and its endpoints', () => {
  test('what is left of exceptions is what no option mends', () => {
    const rules = new Set(look('compliance-key').excepted.map((each) => each.split(' at ')[0]));
    expect(
      [...rules].filter((rule) => !/-(IAMNoInlinePolicy|LambdaDLQ|DynamoDBInBackupPlan)$/.test(String(rule))),
    ).toEqual([
      'AwsSolutions-IAM5[Resource::*]',
      'AwsSolutions-SMG4',
      'CT.SQS.PR.1',
      'HIPAA.Security-SecretsManagerRotationEnabled',
      'NIST.800.53.R5-SecretsManagerRotationEnabled',
      'Serverless-EventBusDLQ',
      'Serverless-LambdaAsyncFailureDestination',
      'Serverless-LambdaStarPermissions',
      'Serverless-LambdaTracing',
      'Serverless-SQSRedrivePolicy',
    ]);
  });
});

test('docs have every rule that is excepted in some variant, and no other', () => {
  const rules = new Set(NAMES.flatMap((name) => look(name).excepted.map((each) => each.split(' at ')[0]!)));
  const page = readFileSync(fileURLToPath(new URL('../../docs/compliance.md', import.meta.url)), 'utf8');
  const rows = page.slice(page.indexOf('## Rules')).matchAll(/^\| (`.*?) +\|/gm);
  const shown = [...rows].flatMap(([, cell = '']) => [...cell.matchAll(/`([^`]+)`/g)].map(([, rule = '']) => rule));
  // One that several packs have stands there once, without their names.
  const isThatOf = (rule: string, name: string): boolean => rule === name || rule.endsWith(`-${name}`);
  expect([...rules].filter((rule) => !shown.some((name) => isThatOf(rule, name)))).toEqual([]);
  expect(shown.filter((name) => ![...rules].some((rule) => isThatOf(rule, name)))).toEqual([]);
});

test('both find what there is to find', () => {
  const app = new App({ outdir: join(folder, 'bare') });
  const bare = new Stack(app, 'Bare');
  new Table(bare, 'Table', { partitionKey: { name: 'id', type: AttributeType.STRING } });
  app.synth();
  expect(lookWithNag(bare)).toContain('AwsSolutions-DDB3 at Bare/Table/Resource');
  expect(lookWithControlTower(join(folder, 'bare', 'Bare.template.json'), bare)).toContain(
    'CT.DYNAMODB.PR.1 at Bare/Table/Resource',
  );
});
