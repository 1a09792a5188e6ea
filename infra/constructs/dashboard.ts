import { Aws, Duration, Stack } from 'aws-cdk-lib';
import {
  AlarmStatusWidget,
  Dashboard,
  GraphWidget,
  type IAlarm,
  type IMetric,
  type IWidget,
  MathExpression,
  Metric,
  Row,
  SingleValueWidget,
  TextWidget,
} from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';
import { FUNCTIONS, type MetricName } from '../../lambda/log/function-log.ts';
import type { FunctionName, Statistic, TrustMetrics } from './trust-metrics.ts';

export interface TrustDashboardProps {
  readonly metrics: TrustMetrics;
  readonly alarms: readonly IAlarm[];
}

const PERIOD = Duration.minutes(5);
const DAY = Duration.days(1);
const HEIGHT = 6;
/** Of the 24 columns that a dashboard has. */
const WIDTH = 24;
/** Of the functions, in GB: what they take is paid in GB-seconds. */
const GIGABYTES = 1;

/** A page that answers at a glance: how many hosts are trusted, how fresh that is, how fast, what fails, what it costs. */
export class TrustDashboard extends Construct {
  readonly dashboard: Dashboard;
  readonly #metrics: TrustMetrics;

  constructor(scope: Construct, id: string, { metrics, alarms }: TrustDashboardProps) {
    super(scope, id);
    this.#metrics = metrics;
    this.dashboard = new Dashboard(this, 'Dashboard', {
      // Dashboards are shared by all regions of an account.
      dashboardName: `${Stack.of(this).stackName}-${Aws.REGION}`,
      defaultInterval: Duration.hours(3),
    });
    this.#say('At a glance');
    this.#show(
      new AlarmStatusWidget({ title: 'Alarms', alarms: [...alarms], width: 12, height: HEIGHT }),
      this.#glance(),
    );
    this.#say('How many hosts are trusted');
    this.#show(
      this.#graph('Hosts in use, as scheduled rounds leave them', [
        ...this.#of(['FleetTrusted', 'FleetUntrusted', 'FleetUnknown'], 'Maximum', ['refresh']),
      ]),
      this.#graph('Hosts that requests asked about', [
        ...this.#of(['Hosts', 'HostsPassed', 'HostsTrusted', 'HostsUntrusted', 'HostsUnknown'], 'Sum', ['filter']),
      ]),
      this.#graph('Hosts that changed, or are unknown for long', [...this.#of(['TrustChanges', 'UnknownAlarms'])]),
    );
    this.#say('How fresh');
    this.#show(
      this.#graph('Seconds since the oldest attestation in use', [
        ...this.#of(['OldestAttestation'], 'Maximum', ['refresh']),
      ]),
      this.#graph('Hosts that refresh attested, and that it left', [
        ...this.#of(['HostsRefreshed', 'HostsRenewed', 'HostsDue'], 'Sum', ['refresh']),
        ...this.#of(['PolledAhead']),
      ]),
      this.#graph('Times of the service: ms to our receipt, and odd ones', [
        ...this.#of(['VtimeDifference'], 'Average'),
        ...this.#of(['FutureVtimes', 'LateVtimes', 'ZonelessVtimes', 'ShortValidity']),
      ]),
      this.#graph('Clocks: ms ahead of DynamoDB', [
        ...this.#of(['ClockDifference'], 'Average'),
        ...this.#of(['ClockFaults']),
      ]),
    );
    this.#say('How fast');
    this.#show(
      this.#graph('Milliseconds of an invocation', [
        ...this.#of(['Duration'], 'p50'),
        ...this.#of(['Duration'], 'p99'),
      ]),
      this.#graph('% of its time that a request took', [
        ...this.#of(['DeadlineUsed'], 'p50', ['filter']),
        ...this.#of(['DeadlineUsed'], 'p99', ['filter']),
      ]),
      this.#graph('Where verdicts came from', [
        ...this.#of(['HostsFromMemory', 'HostsFromTable', 'HostsFromPoll'], 'Sum', ['filter']),
      ]),
      this.#graph('Executions at once, and those that found none', this.#executions()),
    );
    this.#say('What fails');
    this.#show(
      this.#graph('Requests', [
        ...this.#of(['ClientErrors', 'ServerErrors'], 'Sum', ['filter']),
        metrics.tooManyRequests(PERIOD),
        ...this.#api(['4xx', '5xx']),
      ]),
      this.#graph('Polls', [
        ...this.#of(['PollsFailed', 'HostFaults', 'BulkFaults', 'SplitPolls', 'Probes', 'ProbesFailed', 'ResentPolls']),
        ...this.#of(['UnaskedAnswers', 'NamesInOtherCase', 'HostsLeftOut']),
      ]),
      this.#graph('Client certificate and login', [
        ...this.#of(['CertificateRefusals', 'CertificateChanges', 'LoginRefusals', 'SecretFaults']),
      ]),
      this.#graph('Refresh', [
        ...this.#of(['RefreshesFailed'], 'Sum', ['refresh']),
        ...this.#of(['HandOversFailed'], 'Sum', ['filter']),
        ...this.#of(['HandOversLate'], 'Sum', ['refresh']),
        metrics.watched.deadLetters.metricApproximateNumberOfMessagesVisible({ label: 'Dead letters' }),
      ]),
      this.#graph('Table, events and the functions themselves', [
        ...this.#of(['TableFaults', 'TableConflicts', 'DamagedShards', 'PollsWithoutClaim']),
        ...this.#of(['EventFaults', 'InternalFaults']),
        ...FUNCTIONS.map((each) => metrics.watched[each].metricErrors({ period: PERIOD, label: `Errors (${each})` })),
      ]),
    );
    this.#say('What it costs');
    this.#show(
      this.#graph('Requests and invocations', [
        ...this.#api(['Count']),
        ...this.#of(['Requests'], 'Sum', ['filter']),
        ...this.#of(['HandOvers'], 'Sum', ['filter']),
        ...this.#of(['Refreshes'], 'Sum', ['refresh']),
      ]),
      this.#graph(
        'GB-seconds of Lambda',
        FUNCTIONS.map((each) => this.#gigabyteSeconds(each, PERIOD)),
      ),
      this.#graph('Units of DynamoDB', this.#units(PERIOD)),
      this.#graph('Polls: quotes that TPMs have to give', [...this.#of(['Polls'])]),
      this.#graph('Bytes of logs', this.#logs()),
    );
    this.#show(
      new SingleValueWidget({
        title: 'Of the last day',
        metrics: [
          ...this.#api(['Count'], DAY),
          ...FUNCTIONS.map((each) => this.#gigabyteSeconds(each, DAY)),
          ...this.#units(DAY),
          metrics.sum(['Polls'], DAY, undefined, 'Polls'),
        ],
        period: DAY,
        width: WIDTH,
        height: 3,
      }),
    );
  }

  #say(title: string): void {
    this.dashboard.addWidgets(new TextWidget({ markdown: `## ${title}`, width: WIDTH, height: 1 }));
  }

  #show(...widgets: IWidget[]): void {
    this.dashboard.addWidgets(new Row(...widgets));
  }

  #graph(title: string, left: IMetric[]): GraphWidget {
    return new GraphWidget({ title, left, width: 8, height: HEIGHT, period: PERIOD });
  }

  #of(
    names: readonly MetricName[],
    statistic: Statistic = 'Sum',
    functions: readonly FunctionName[] = FUNCTIONS,
  ): IMetric[] {
    return names.flatMap((name) => functions.map((each) => this.#metrics.of(name, each, statistic, PERIOD)));
  }

  #glance(): IWidget {
    const of = (name: MetricName, each: FunctionName, statistic: Statistic, label: string): IMetric =>
      this.#metrics.of(name, each, statistic, PERIOD).with({ label });
    return new SingleValueWidget({
      title: 'Now',
      metrics: [
        of('FleetTrusted', 'refresh', 'Maximum', 'trusted in the fleet (with a schedule)'),
        of('HostsTrusted', 'filter', 'Maximum', 'trusted in the largest request'),
        of('HostsUntrusted', 'filter', 'Maximum', 'untrusted in one request'),
        of('HostsUnknown', 'filter', 'Maximum', 'unknown in one request'),
        of('OldestAttestation', 'refresh', 'Maximum', 'seconds: the oldest attestation'),
        of('DeadlineUsed', 'filter', 'p99', '% of its time: p99 of requests'),
        of('CertificateDaysLeft', 'filter', 'Minimum', 'days left of the certificate (filter)'),
        of('CertificateDaysLeft', 'refresh', 'Minimum', 'days left of the certificate (refresh)'),
      ],
      width: 12,
      height: HEIGHT,
    });
  }

  #api(names: readonly string[], period = PERIOD): IMetric[] {
    const { api } = this.#metrics.watched;
    return names.map((name) => api.metric(name, { statistic: 'Sum', period, label: `${name} (API Gateway)` }));
  }

  #executions(): IMetric[] {
    return FUNCTIONS.flatMap((each) => [
      this.#metrics.watched[each].metric('ConcurrentExecutions', {
        statistic: 'Maximum',
        period: PERIOD,
        label: `Executions (${each})`,
      }),
      this.#metrics.watched[each].metricThrottles({ period: PERIOD, label: `Throttles (${each})` }),
    ]);
  }

  #gigabyteSeconds(each: FunctionName, period: Duration): IMetric {
    const id = `${each}Duration`;
    return new MathExpression({
      expression: `${GIGABYTES} * ${id} / 1000`,
      usingMetrics: { [id]: this.#metrics.watched[each].metricDuration({ statistic: 'Sum', period }) },
      label: `GB-seconds (${each})`,
      period,
    });
  }

  #units(period: Duration): IMetric[] {
    const { table } = this.#metrics.watched;
    return [
      table.metricConsumedReadCapacityUnits({ statistic: 'Sum', period, label: 'Read units' }),
      table.metricConsumedWriteCapacityUnits({ statistic: 'Sum', period, label: 'Write units' }),
    ];
  }

  #logs(): IMetric[] {
    const { accessLog, filter, refresh } = this.#metrics.watched;
    const logs = { filter: filter.logGroup, refresh: refresh.logGroup, 'API Gateway': accessLog };
    // The metric that CDK makes of a log is that of all logs of the account.
    return Object.entries(logs).map(
      ([label, log]) =>
        new Metric({
          namespace: 'AWS/Logs',
          metricName: 'IncomingBytes',
          dimensionsMap: { LogGroupName: log.logGroupName },
          statistic: 'Sum',
          period: PERIOD,
          label,
        }),
    );
  }
}
