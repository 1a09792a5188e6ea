import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Members } from './members.ts';

/** The context `trust.compliance`, checked. */
export interface ComplianceSettings {
  /** Whether the context has it: the account and the region are then written into the template where they are known. */
  readonly isSet: boolean;
  /** The key of the table, the secret, the logs, the queue, the bus and the variables; AWS's own unless set. */
  readonly kmsKeyArn: string | undefined;
  /** 365 unless set, and 30 without `trust.compliance`. */
  readonly logRetentionDays: RetentionDays;
  /** Where alarms are sent; nowhere unless set. */
  readonly alarmTopicArn: string | undefined;
  /** Whether the table can be restored; true unless set, and false without `trust.compliance`. */
  readonly pointInTimeRecovery: boolean;
  /** A policy that bounds the rights of every role. */
  readonly permissionsBoundary: string | undefined;
  /** Of whatever has tags. */
  readonly tags: Readonly<Record<string, string>>;
}

const NAME = 'trust.compliance';
const KEY_ARN = /^arn:aws[\w-]*:kms:[\w-]+:\d{12}:key\/[\w-]+$/;
/** Without those that end in `.fifo`, to which CloudWatch sends nothing. */
const TOPIC_ARN = /^arn:aws[\w-]*:sns:[\w-]+:\d{12}:[\w-]{1,256}$/;
const POLICY_ARN = /^arn:aws[\w-]*:iam::(\d{12}|aws):policy\/[\w+=,.@/-]+$/;
/** What AWS takes in a tag: letters, digits, spaces and some signs. Names of its own begin with `aws:`. */
const TAG_NAME = /^(?!aws:)[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,128}$/iu;
const TAG_VALUE = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}$/u;
/** CloudFormation takes 50 of a resource. */
const MOST_TAGS = 50;
/** CloudWatch knows these numbers of days, and that of logs that are kept for ever, which nobody should get by mistake. */
const DAYS = Object.values(RetentionDays).filter(
  (days): days is RetentionDays => typeof days === 'number' && days !== RetentionDays.INFINITE,
);

/**
 * Reads the context `trust.compliance`.
 * @param value undefined leaves everything as it is without: what costs is off
 * @param faults gets every fault of it, each by its name in the context
 */
export function takeCompliance(value: unknown, faults: string[]): ComplianceSettings {
  const members = new Members(NAME, value === undefined ? {} : value, faults);
  const isSet = value !== undefined;
  const kmsKeyArn = members.takeText('kmsKeyArn', KEY_ARN, 'must be the ARN of a key of KMS, not of an alias');
  const alarmTopicArn = members.takeText('alarmTopicArn', TOPIC_ARN, 'must be the ARN of a topic of SNS');
  const permissionsBoundary = members.takeText('permissionsBoundary', POLICY_ARN, 'must be the ARN of a policy of IAM');
  const settings: ComplianceSettings = {
    isSet,
    kmsKeyArn,
    logRetentionDays: takeDays(members) ?? (isSet ? RetentionDays.ONE_YEAR : RetentionDays.ONE_MONTH),
    alarmTopicArn,
    pointInTimeRecovery: members.takeFlag('pointInTimeRecovery') ?? isSet,
    permissionsBoundary,
    tags: takeTags(members),
  };
  members.end();
  return settings;
}

function takeDays(members: Members): RetentionDays | undefined {
  const value = members.take('logRetentionDays');
  if (value === undefined) return undefined;
  const found = DAYS.find((days) => String(days) === String(value as number));
  if (found === undefined) members.fault('logRetentionDays', `must be one of ${DAYS.join(', ')}`);
  return found;
}

function takeTags(members: Members): Record<string, string> {
  const value = members.take('tags') ?? {};
  const rule = `must be an object of at most ${MOST_TAGS} tags, each a name and a text as AWS takes them`;
  const isObject = typeof value === 'object' && !Array.isArray(value);
  const tags = Object.entries(isObject ? (value as Record<string, unknown>) : {});
  const areGood = tags.every(([name, text]) => TAG_NAME.test(name) && typeof text === 'string' && TAG_VALUE.test(text));
  if (isObject && areGood && tags.length <= MOST_TAGS) return Object.fromEntries(tags) as Record<string, string>;
  members.fault('tags', rule);
  return {};
}
