/** The alarms as they stand in the template: which there are, when they go off, and whom they tell. */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Template } from 'aws-cdk-lib/assertions';
import { evaluate } from '../../fakes/metric-math.ts';
import { propertiesOf, synthesize } from '../synthesized.ts';

interface Query {
  readonly Id: string;
  readonly Expression?: string;
  readonly MetricStat?: { readonly Metric: Named; readonly Period: number; readonly Stat: string };
  readonly ReturnData?: boolean;
}

interface Named {
  readonly Namespace: string;
  readonly MetricName: string;
}

interface AlarmProperties extends Partial<Named> {
  readonly AlarmName: string;
  readonly AlarmDescription: string;
  readonly Metrics?: readonly Query[];
  readonly Period?: number;
  readonly Threshold: number;
  readonly ComparisonOperator: string;
  readonly EvaluationPeriods: number;
  readonly DatapointsToAlarm: number;
  readonly TreatMissingData: string;
  readonly AlarmActions?: readonly unknown[];
  readonly OKActions?: readonly unknown[];
}

const TOPIC = 'arn:aws:sns:eu-west-1:123456789012:on-call';
const SCHEDULED = { refresh: 10, authTimeout: 1_800, compliance: { alarmTopicArn: TOPIC } };
const DAY = 86_400;

let plain: Template;
let told: Template;
let keylime: Template;
beforeAll(() => {
  plain = synthesize();
  told = synthesize(SCHEDULED);
  keylime = synthesize({ service: 'keylime', refresh: 1_440, authTimeout: 172_800, filterConcurrency: 0 });
}, 60_000);

const alarmsOf = (from: Template): AlarmProperties[] => propertiesOf(from, 'AWS::CloudWatch::Alarm');
const namesOf = (from: Template): string[] =>
  alarmsOf(from)
    .map(({ AlarmName }) => AlarmName)
    .sort();

function alarm(from: Template, name: string): AlarmProperties {
  const found = alarmsOf(from).find(({ AlarmName }) => AlarmName === `TrustedFilter-${name}`);
  if (found === undefined) throw new Error(`There is no alarm ${name}.`);
  return found;
}

function periodOf({ Period, Metrics = [] }: AlarmProperties): number {
  return Period ?? (Metrics.find(({ MetricStat }) => MetricStat !== undefined)?.MetricStat?.Period as number);
}

/** What an alarm makes of a period, by the names of the metrics; of what is not named there is no data. */
function isBreaching(of: AlarmProperties, data: Readonly<Record<string, number>>): boolean {
  const { Metrics, MetricName = Metrics?.[0]?.MetricStat?.Metric.MetricName ?? '' } = of;
  const expression = Metrics?.find(({ Expression }) => Expression !== undefined)?.Expression;
  const byId = (Metrics ?? []).flatMap(({ Id, MetricStat }) => {
    const value = data[Id] ?? data[MetricStat?.Metric.MetricName ?? ''];
    return value === undefined ? [] : [[Id, value] as const];
  });
  const value = expression === undefined ? data[MetricName] : evaluate(expression, Object.fromEntries(byId));
  if (value === undefined || Number.isNaN(value)) return of.TreatMissingData === 'breaching';
  switch (of.ComparisonOperator) {
    case 'GreaterThanOrEqualToThreshold':
      return value >= of.Threshold;
    case 'GreaterThanThreshold':
      return value > of.Threshold;
    case 'LessThanThreshold':
      return value < of.Threshold;
    default:
      throw new Error(of.ComparisonOperator);
  }
}

describe('every alarm', () => {
  test('is named after the stack, and says what it means and what to do in so many letters as CloudWatch takes', () => {
    for (const { AlarmName, AlarmDescription } of [plain, told, keylime].flatMap(alarmsOf)) {
      expect(AlarmName).toMatch(/^TrustedFilter-[A-Z]\w+$/);
      expect(AlarmDescription).toMatch(/^[ -~]{80,1024}$/);
      expect(AlarmDescription).toMatch(/^[A-Z].*\. [A-Z].*\. \(When .*\.\)$/);
    }
  });

  test('is quiet in a stack that nobody asks, and that has no data at all', () => {
    for (const each of [plain, told, keylime].flatMap(alarmsOf)) {
      expect([each.AlarmName, isBreaching(each, {})]).toEqual([each.AlarmName, false]);
      expect(each.TreatMissingData).toBe('notBreaching');
    }
  });

  test('is quiet where all is well', () => {
    const well = {
      invocations: 100,
      errors: 0,
      Errors: 0,
      Throttles: 0,
      ConcurrentExecutions: 12,
      DeadlineUsed: 20,
      HostsTrusted: 900,
      HostsUntrusted: 40,
      HostsUnknown: 60,
      TrustChanges: 2,
      Polls: 50,
      PollsFailed: 5,
      CertificateDaysLeft: 200,
      HostsDue: 3,
      HostsRenewed: 300,
      OldestAttestation: 610,
      TableFaults: 1,
      ApproximateNumberOfMessagesVisible: 0,
    };
    for (const each of alarmsOf(told))
      expect([each.AlarmName, isBreaching(each, well)]).toEqual([each.AlarmName, false]);
  });

  test('looks back for a day at most, as far as CloudWatch does, whatever the step', () => {
    for (const each of [plain, told, keylime].flatMap(alarmsOf)) {
      const period = periodOf(each);
      expect(period % 60).toBe(0);
      expect([each.AlarmName, period * each.EvaluationPeriods <= DAY]).toEqual([each.AlarmName, true]);
      expect(each.DatapointsToAlarm).toBeLessThanOrEqual(each.EvaluationPeriods);
    }
  });

  test('that fills in zeros does not need the last period, of which the lines may be still on their way', () => {
    const filling = [plain, told].flatMap(alarmsOf).filter(({ Metrics, AlarmName }) => {
      const expression = Metrics?.find(({ Expression }) => Expression !== undefined)?.Expression ?? '';
      // Of these, what is filled in makes no difference to a period without the metric that is not.
      return expression.includes('FILL(') && !/-(UnknownShare|RefreshBehind)$/.test(AlarmName);
    });
    expect(filling.length).toBeGreaterThan(15);
    for (const each of filling) expect(each.DatapointsToAlarm).toBeLessThan(each.EvaluationPeriods);
  });
});

describe('an alarm goes off', () => {
  test.each<[string, Record<string, number>, boolean]>([
    ['FilterErrors', { invocations: 100, errors: 0, answered: 5 }, true],
    ['FilterErrors', { invocations: 100, errors: 3, answered: 2 }, true],
    ['FilterErrors', { invocations: 100, answered: 4 }, false],
    ['FilterThrottles', { Throttles: 1 }, true],
    ['TooManyRequests', { TooManyRequests: 1 }, true],
    ['NearDeadline', { DeadlineUsed: 90 }, true],
    ['NearDeadline', { DeadlineUsed: 89 }, false],
    ['ConcurrencyNear', { ConcurrentExecutions: 160 }, true],
    ['ConcurrencyNear', { ConcurrentExecutions: 159 }, false],
    ['UnknownShare', { HostsUnknown: 51, HostsTrusted: 40, HostsUntrusted: 9 }, true],
    ['UnknownShare', { HostsUnknown: 50, HostsTrusted: 50 }, false],
    ['UnknownShare', { HostsUnknown: 10 }, true],
    ['MassFlip', { filterTrustChanges: 5, refreshTrustChanges: 15 }, true],
    ['MassFlip', { refreshTrustChanges: 19 }, false],
    ['AttesterUnreachable', { filterPolls: 3, filterPollsFailed: 3, refreshPolls: 7, refreshPollsFailed: 6 }, true],
    ['AttesterUnreachable', { filterPolls: 2, filterPollsFailed: 2 }, true],
    ['AttesterUnreachable', { filterPolls: 1, filterPollsFailed: 1 }, false],
    ['AttesterUnreachable', { filterPolls: 10, filterPollsFailed: 8 }, false],
    ['CredentialsRefused', { filterLoginRefusals: 1 }, true],
    ['CertificateEnds', { filter: 20.9 }, true],
    ['CertificateEnds', { refresh: 20.9, filter: 300 }, true],
    ['CertificateEnds', { filter: 21 }, false],
    ['CertificateEndsNow', { filter: 2.9 }, true],
    ['CertificateEndsNow', { filter: 3 }, false],
    ['AttesterClock', { refreshFutureVtimes: 1 }, true],
    ['AttesterClock', { filterLateVtimes: 1 }, true],
    ['RefreshErrors', { Errors: 1 }, true],
    ['RefreshThrottles', { Throttles: 1 }, true],
    ['RefreshBehind', { HostsDue: 10, HostsRenewed: 9 }, true],
    ['RefreshBehind', { HostsDue: 1 }, true],
    ['RefreshBehind', { HostsDue: 10, HostsRenewed: 10 }, false],
    ['HandOvers', { filterHandOversFailed: 1 }, true],
    ['HandOvers', { refreshHandOversLate: 1 }, true],
    ['DeadLetters', { ApproximateNumberOfMessagesVisible: 1 }, true],
    ['TableDegraded', { filterTableFaults: 2, refreshTableFaults: 3 }, true],
    ['TableDegraded', { filterTableFaults: 4 }, false],
    ['TableThrottles', { writes: 1 }, true],
    ['DamagedShards', { refreshDamagedShards: 1 }, true],
    ['HostsLeftOut', { filterHostsLeftOut: 1 }, true],
    ['ClockOff', { filterClockFaults: 1 }, true],
    ['EventFaults', { refreshEventFaults: 1 }, true],
    ['InternalFaults', { filterInternalFaults: 1 }, true],
  ])('%s by %j: %s', (name, data, expected) => {
    expect(isBreaching(alarm(plain, name), data)).toBe(expected);
  });

  test('of what was measured in a day, as a night in which nobody asks renews no certificate', () => {
    for (const name of ['CertificateEnds', 'CertificateEndsNow']) {
      const { DatapointsToAlarm, EvaluationPeriods } = alarm(plain, name);
      expect([DatapointsToAlarm, EvaluationPeriods, periodOf(alarm(plain, name))]).toEqual([1, 24, 3_600]);
    }
  });

  test('by what the service said in two rounds, where there is a schedule', () => {
    expect(periodOf(alarm(told, 'AttesterUnreachable'))).toBe(1_200);
    expect(periodOf(alarm(told, 'RefreshBehind'))).toBe(600);
    expect(alarm(told, 'OldestAttestation').Threshold).toBe(1_200);
  });
});

describe('which alarms there are', () => {
  const more = (names: readonly string[], others: readonly string[]): string[] =>
    names.filter((name) => !others.includes(name));

  test('the oldest attestation is looked at where a schedule makes it mean something', () => {
    expect(more(namesOf(told), namesOf(plain))).toEqual(['TrustedFilter-OldestAttestation']);
    expect(more(namesOf(plain), namesOf(told))).toEqual([]);
  });

  test('Keylime has two of its own', () => {
    const own = ['TrustedFilter-BulkFaults', 'TrustedFilter-ShortValidity'];
    expect(more(namesOf(keylime), namesOf(told))).toEqual(own);
  });

  test('nothing is near a limit of executions that is not there', () => {
    expect(more(namesOf(told), namesOf(keylime))).toEqual(['TrustedFilter-ConcurrencyNear']);
  });

  test('late answers are no sign of a wrong clock where none can be in time', () => {
    const namesIn = (from: Template): (string | undefined)[] =>
      (alarm(from, 'AttesterClock').Metrics ?? []).map(({ MetricStat }) => MetricStat?.Metric.MetricName);
    expect(namesIn(plain)).toContain('LateVtimes');
    expect(namesIn(synthesize({ authTimeout: 0 }))).not.toContain('LateVtimes');
  });
});

describe('whom the alarms tell', () => {
  const composites = (from: Template): AlarmProperties[] => propertiesOf(from, 'AWS::CloudWatch::CompositeAlarm');

  test('nobody without a topic, and each the topic where there is one, when it goes off and when it is over', () => {
    for (const each of [...alarmsOf(plain), ...composites(plain)]) {
      expect(each).not.toHaveProperty('AlarmActions');
      expect(each).not.toHaveProperty('OKActions');
    }
    for (const each of [...alarmsOf(told), ...composites(told)]) {
      expect(each).toMatchObject({ AlarmActions: [TOPIC], OKActions: [TOPIC] });
      expect(each).not.toHaveProperty('InsufficientDataActions');
    }
    expect(JSON.stringify(plain.toJSON())).not.toContain(':sns:');
    told.resourceCountIs('AWS::SNS::Topic', 0);
  });

  test('one alarm pages: it is on while one of those is that need a human now', () => {
    const [page] = composites(plain) as (AlarmProperties & { AlarmRule: { 'Fn::Join': [string, unknown[]] } })[];
    const ids = plain.findResources('AWS::CloudWatch::Alarm');
    const [, parts] = page?.AlarmRule['Fn::Join'] ?? ['', []];
    const rule = parts.map((part) => {
      if (typeof part === 'string') return part;
      const [id] = (part as { 'Fn::GetAtt': [string, string] })['Fn::GetAtt'];
      return (ids[id] as { Properties: AlarmProperties }).Properties.AlarmName.replace('TrustedFilter-', '');
    });
    const paging = ['FilterErrors', 'FilterThrottles', 'UnknownShare', 'MassFlip', 'AttesterUnreachable'];
    const expected = [...paging, 'CertificateEndsNow', 'TableDegraded'].map((name) => `ALARM("${name}")`);
    expect(rule.join('')).toBe(`(${expected.join(' OR ')})`);
    expect(composites(plain)).toHaveLength(1);
  });
});

test('requests that API Gateway refused are counted from its log, where the alarm looks for them', () => {
  const [filter] = propertiesOf<{
    FilterPattern: string;
    LogGroupName: { Ref: string };
    MetricTransformations: [{ MetricName: string; MetricNamespace: string }];
  }>(plain, 'AWS::Logs::MetricFilter');
  expect(filter?.FilterPattern).toBe('{ $.status = "429" }');
  expect(filter?.LogGroupName.Ref).toMatch(/^AccessLog/);
  const { MetricName, MetricNamespace } = filter?.MetricTransformations[0] ?? {};
  expect(alarm(plain, 'TooManyRequests').Metrics).toMatchObject([
    { MetricStat: { Metric: { MetricName, Namespace: MetricNamespace } } },
  ]);
});

describe('docs/alarms.md', () => {
  const page = readFileSync(new URL('../../../docs/alarms.md', import.meta.url), 'utf8').replaceAll(/ +/g, ' ');

  test('has each alarm with what it means and what to do, and no other', () => {
    const all = new Map([plain, told, keylime].flatMap(alarmsOf).map((each) => [each.AlarmName, each]));
    for (const { AlarmName, AlarmDescription } of all.values()) {
      const name = AlarmName.replace('TrustedFilter-', '');
      const [row = ''] = page.split('\n').filter((line) => line.startsWith(`| \`${name}\` |`));
      const texts = AlarmDescription.slice(0, AlarmDescription.indexOf(' (When '));
      expect(row.split(' | ').slice(-2).join(' ').replace(/ \|$/, '')).toBe(texts);
    }
    expect(page.match(/^\| `\w+` \|/gm)).toHaveLength(all.size);
  });

  test('says how many metrics the alarms look at, which is what they cost', () => {
    const metricsOf = (from: Template): number =>
      alarmsOf(from).reduce((sum, { Metrics = [{ MetricStat: {} }] }) => {
        return sum + Metrics.filter(({ MetricStat }) => MetricStat !== undefined).length;
      }, 0);
    expect(page).toContain(`${alarmsOf(plain).length} alarms look at ${metricsOf(plain)} metrics`);
  });
});
