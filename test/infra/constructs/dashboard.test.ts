/** The dashboard, and that no metric of the code is on neither it nor an alarm. */
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Template } from 'aws-cdk-lib/assertions';
import { FUNCTIONS, METRICS } from '../../../lambda/log/function-log.ts';
import { propertiesOf, synthesize } from '../synthesized.ts';

interface Widget {
  readonly type: string;
  readonly x: number;
  readonly width: number;
  readonly properties: { readonly title?: string; readonly markdown?: string; readonly metrics?: readonly unknown[][] };
}

/** A metric by its name and the function whose it is. */
interface Shown {
  readonly name: string;
  readonly of: unknown;
}

let keylime: Template;
let widgets: Widget[];
beforeAll(() => {
  keylime = synthesize({ service: 'keylime', refresh: 10, authTimeout: 1_800 });
  widgets = widgetsOf(keylime);
}, 60_000);

function widgetsOf(from: Template): Widget[] {
  const [{ DashboardBody } = { DashboardBody: undefined }] = propertiesOf<{ DashboardBody: unknown }>(
    from,
    'AWS::CloudWatch::Dashboard',
  );
  const [, parts] = (DashboardBody as { 'Fn::Join': [string, unknown[]] })['Fn::Join'];
  const body = parts.map((part) => (typeof part === 'string' ? part : 'reference')).join('');
  return (JSON.parse(body) as { widgets: Widget[] }).widgets;
}

/** The metrics of the functions' own lines that a dashboard shows. */
function onDashboard(): Shown[] {
  return widgets
    .flatMap(({ properties }) => properties.metrics ?? [])
    .filter(([namespace]) => namespace === 'TrustedFilter')
    .map((row) => ({ name: String(row[1]), of: row[row.indexOf('function') + 1] }));
}

/** Those that an alarm looks at. */
function onAlarms(): Shown[] {
  type Metric = { Namespace: string; MetricName: string; Dimensions: { Name: string; Value: unknown }[] };
  const alarms = propertiesOf<Metric & { Metrics?: { MetricStat?: { Metric: Metric } }[] }>(
    keylime,
    'AWS::CloudWatch::Alarm',
  );
  return alarms
    .flatMap((alarm) => alarm.Metrics?.flatMap(({ MetricStat }) => MetricStat?.Metric ?? []) ?? [alarm])
    .filter(({ Namespace }) => Namespace === 'TrustedFilter')
    .map(({ MetricName, Dimensions }) => ({
      name: MetricName,
      of: Dimensions.find(({ Name }) => Name === 'function')?.Value,
    }));
}

describe('every metric of the code', () => {
  test('is on an alarm or on the dashboard', () => {
    const shown = new Set([...onDashboard(), ...onAlarms()].map(({ name }) => name));
    expect(METRICS.filter((name) => !shown.has(name))).toEqual([]);
  });

  test('that is on either is one that the functions write, of a function that there is', () => {
    for (const { name, of } of [...onDashboard(), ...onAlarms()]) {
      expect(METRICS).toContain(name);
      expect(FUNCTIONS).toContain(of);
    }
  });

  test('has a name of its own', () => {
    expect(new Set(METRICS).size).toBe(METRICS.length);
  });
});

describe('the dashboard', () => {
  test('answers in this order: how many hosts are trusted, how fresh, how fast, what fails, what it costs', () => {
    const headings = widgets.flatMap(({ properties }) => properties.markdown ?? []);
    expect(headings).toEqual([
      '## At a glance',
      '## How many hosts are trusted',
      '## How fresh',
      '## How fast',
      '## What fails',
      '## What it costs',
    ]);
  });

  test('shows the state of every alarm, the one that pages first', () => {
    const [status] = widgets.filter(({ type }) => type === 'alarm') as unknown as {
      properties: { alarms: unknown[] };
    }[];
    const { AWS } = { AWS: keylime.findResources('AWS::CloudWatch::Alarm') };
    expect(status?.properties.alarms).toHaveLength(Object.keys(AWS).length + 1);
  });

  test('has a title on every widget, and none that stands out of the page', () => {
    for (const { type, x, width, properties } of widgets) {
      expect(x + width).toBeLessThanOrEqual(24);
      if (type !== 'text') expect(properties.title).toMatch(/^\S/);
    }
  });

  test('shows what is of this stack alone, and nothing of the whole account', () => {
    const shown = widgets.flatMap(({ properties }) => properties.metrics ?? []).filter(([first]) => first !== null);
    const own = shown.filter((row) => typeof row[0] === 'string' && row[0] !== 'TrustedFilter/TrustedFilter');
    expect(own.length).toBeGreaterThan(100);
    // Namespace and name, then dimensions in pairs, then how it is drawn.
    for (const row of own) expect([row[0], row[1], row.length > 3]).toEqual([row[0], row[1], true]);
  });

  test('is named after stack and region, since an account has each name once', () => {
    const [{ DashboardName } = { DashboardName: undefined }] = propertiesOf<{ DashboardName: unknown }>(
      keylime,
      'AWS::CloudWatch::Dashboard',
    );
    expect(DashboardName).toEqual({ 'Fn::Join': ['', ['TrustedFilter-', { Ref: 'AWS::Region' }]] });
  });
});
