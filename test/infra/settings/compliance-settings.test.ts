import { describe, expect, test } from '@jest/globals';
import type { ComplianceSettings } from '../../../infra/settings/compliance-settings.ts';
import { parseTrustSettings, TrustSettingsError } from '../../../infra/settings/trust-settings.ts';

const LEAST = { server: 'oat.example.net', secretName: 'filter/certificate' };
const KEY = 'arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f';

function parse(compliance: unknown): ComplianceSettings {
  return parseTrustSettings({ ...LEAST, compliance }).compliance;
}

function faultsOf(compliance: unknown): readonly string[] {
  try {
    parse(compliance);
  } catch (error) {
    if (error instanceof TrustSettingsError) return error.faults;
    throw error;
  }
  return [];
}

describe('the context trust.compliance', () => {
  test('leaves everything as it was where it is not there', () => {
    expect(parse(undefined)).toEqual({ isSet: false, logRetentionDays: 30, pointInTimeRecovery: false, tags: {} });
  });

  test('has defaults that the rules pass', () => {
    expect(parse({})).toEqual({ isSet: true, logRetentionDays: 365, pointInTimeRecovery: true, tags: {} });
  });

  test('may set every option', () => {
    const all = {
      kmsKeyArn: KEY,
      logRetentionDays: 90,
      alarmTopicArn: 'arn:aws:sns:eu-west-1:123456789012:pages',
      pointInTimeRecovery: false,
      permissionsBoundary: 'arn:aws:iam::123456789012:policy/teams/boundary',
      tags: { 'cost-center': '4711', Größe: '' },
    };
    expect(parse(all)).toEqual({ isSet: true, ...all });
    expect(parse({ logRetentionDays: '400' }).logRetentionDays).toBe(400);
  });

  test('has every fault of it named at once', () => {
    expect(
      faultsOf({
        kmsKeyArn: 'arn:aws:kms:eu-west-1:123456789012:alias/trust',
        logRetentionDays: 31,
        alarmTopicArn: 'arn:aws:sns:eu-west-1:123456789012:pages.fifo',
        pointInTimeRecovery: 'yes',
        permissionsBoundary: 'boundary',
        tags: { 'aws:mine': 'x' },
        backups: true,
      }),
    ).toEqual([
      'trust.compliance.kmsKeyArn must be the ARN of a key of KMS, not of an alias',
      'trust.compliance.alarmTopicArn must be the ARN of a topic of SNS',
      'trust.compliance.permissionsBoundary must be the ARN of a policy of IAM',
      expect.stringMatching(/^trust\.compliance\.logRetentionDays must be one of 1, 3, 5, 7, .*, 3653$/),
      'trust.compliance.pointInTimeRecovery must be true or false',
      'trust.compliance.tags must be an object of at most 50 tags, each a name and a text as AWS takes them',
      'trust.compliance.backups is not a setting',
    ]);
  });

  test.each([null, 'all', [], 1])('must be an object, and %j is none', (compliance) => {
    expect(faultsOf(compliance)).toContain('trust.compliance must be an object');
  });

  test.each([
    [{ a: 1 }],
    [['a']],
    ['a=b'],
    [{ '': 'x' }],
    [{ a: 'x'.repeat(257) }],
    [{ 'a;b': 'x' }],
    [Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`t${index}`, 'x']))],
  ])('takes no tags %j', (tags) => {
    expect(faultsOf({ tags })).toEqual([expect.stringMatching(/^trust\.compliance\.tags must be/)]);
  });

  test.each(['pages', 'arn:aws:sqs:eu-west-1:123456789012:pages', 7])('takes no topic %j', (alarmTopicArn) => {
    expect(faultsOf({ alarmTopicArn })).toEqual(['trust.compliance.alarmTopicArn must be the ARN of a topic of SNS']);
  });

  test('keeps no log for ever', () => {
    for (const logRetentionDays of [9_999, 0, -1, 'ever']) expect(faultsOf({ logRetentionDays })).toHaveLength(1);
  });
});
