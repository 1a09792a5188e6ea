/** Where the metrics stand in CloudWatch. */
export const NAMESPACE = 'TrustedFilter';

/** A number that CloudWatch is to keep, in one of its units. */
export interface Metric {
  readonly name: string;
  readonly unit: 'Count' | 'Milliseconds' | 'Seconds' | 'Percent' | 'None';
  readonly value: number;
}

/**
 * The members that make a log line carry metrics: CloudWatch's embedded metric format, in which `_aws` says which members of
 * the same object are metrics and which are dimensions
 * (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
 * @param dimensions one set, which all of the metrics have
 * @param at milliseconds since 1970
 * @returns no members where there are no metrics
 */
export function embeddedMetrics(
  metrics: readonly Metric[],
  dimensions: Readonly<Record<string, string>>,
  at: number,
): Readonly<Record<string, unknown>> {
  if (metrics.length === 0) return {};
  const members: Record<string, unknown> = {
    _aws: {
      Timestamp: at,
      CloudWatchMetrics: [
        {
          Namespace: NAMESPACE,
          Dimensions: [Object.keys(dimensions)],
          Metrics: metrics.map(({ name, unit }) => ({ Name: name, Unit: unit })),
        },
      ],
    },
    ...dimensions,
  };
  for (const { name, value } of metrics) members[name] = value;
  return members;
}
