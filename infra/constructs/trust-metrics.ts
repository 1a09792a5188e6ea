import type { Duration } from 'aws-cdk-lib';
import { type IMetric, MathExpression, Metric } from 'aws-cdk-lib/aws-cloudwatch';
import type { HttpApi } from 'aws-cdk-lib/aws-apigatewayv2';
import type { Table } from 'aws-cdk-lib/aws-dynamodb';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import { NAMESPACE } from '../../lambda/log/embedded-metrics.ts';
import { FUNCTIONS, type MetricName, SERVICE } from '../../lambda/log/function-log.ts';

/** A function that writes its lines into a log of its own. */
export interface WatchedFunction extends IFunction {
  readonly logGroup: ILogGroup;
}

/** The parts of the stack that have metrics. */
export interface Watched {
  readonly filter: WatchedFunction;
  readonly refresh: WatchedFunction;
  readonly table: Pick<
    Table,
    'metric' | 'metricConsumedReadCapacityUnits' | 'metricConsumedWriteCapacityUnits' | 'stack'
  >;
  readonly deadLetters: IQueue;
  readonly api: Pick<HttpApi, 'metric'>;
  /** What API Gateway writes of each request, as JSON with `status`. */
  readonly accessLog: ILogGroup;
}

export type FunctionName = (typeof FUNCTIONS)[number];

/** The statistics that are looked at. */
export type Statistic = 'Sum' | 'Maximum' | 'Minimum' | 'Average' | 'p50' | 'p99';

/** The metrics of the functions' lines, by the dimensions that the lines have, and what AWS measures beside them. */
export class TrustMetrics {
  readonly watched: Watched;
  readonly #stack: string;

  constructor(watched: Watched) {
    this.watched = watched;
    this.#stack = watched.table.stack.stackName;
  }

  /** A metric of a function's own lines. */
  of(name: MetricName, ofFunction: FunctionName, statistic: Statistic, period: Duration): Metric {
    return new Metric({
      namespace: NAMESPACE,
      metricName: name,
      dimensionsMap: { service: SERVICE, function: ofFunction, stack: this.#stack },
      statistic,
      period,
      label: `${name} (${ofFunction})`,
    });
  }

  /** The sum of counts, of both functions unless said otherwise: what was not counted in a period is zero. */
  sum(
    names: readonly MetricName[],
    period: Duration,
    functions: readonly FunctionName[] = FUNCTIONS,
    label = names.join(' + '),
  ): IMetric {
    const [terms, usingMetrics] = this.terms(names, period, functions);
    return new MathExpression({ expression: terms, usingMetrics, label, period });
  }

  /** The sum of counts as a term of a larger expression, and the metrics in it. */
  terms(
    names: readonly MetricName[],
    period: Duration,
    functions: readonly FunctionName[] = FUNCTIONS,
  ): [terms: string, usingMetrics: Record<string, IMetric>] {
    const usingMetrics = Object.fromEntries(
      names.flatMap((name) => functions.map((each) => [`${each}${name}`, this.of(name, each, 'Sum', period)] as const)),
    );
    const terms = Object.keys(usingMetrics).map((id) => `FILL(${id}, 0)`);
    return [terms.join(' + '), usingMetrics];
  }

  /** Requests that API Gateway refused with 429; it has no metric of its own of them, but a line in its log. */
  tooManyRequests(period: Duration): Metric {
    return new Metric({ ...TOO_MANY_REQUESTS, namespace: this.tooManyNamespace, statistic: 'Sum', period });
  }

  /** A namespace for each stack, since a metric of a log has only dimensions that the log's lines have. */
  get tooManyNamespace(): string {
    return `${NAMESPACE}/${this.#stack}`;
  }
}

export const TOO_MANY_REQUESTS = { metricName: 'TooManyRequests', label: '429 of API Gateway' } as const;
