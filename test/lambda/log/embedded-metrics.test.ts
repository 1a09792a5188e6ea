import { expect, test } from '@jest/globals';
import { embeddedMetrics } from '../../../lambda/log/embedded-metrics.ts';

test('metrics and their dimensions are members of one object, which `_aws` points to', () => {
  const metrics = [
    { name: 'Requests', unit: 'Count', value: 1 },
    { name: 'Duration', unit: 'Milliseconds', value: 0.25 },
  ] as const;
  expect(embeddedMetrics(metrics, { service: 's', stack: 'blue' }, 1_700_000_000_000)).toEqual({
    _aws: {
      Timestamp: 1_700_000_000_000,
      CloudWatchMetrics: [
        {
          Namespace: 'TrustedFilter',
          Dimensions: [['service', 'stack']],
          Metrics: [
            { Name: 'Requests', Unit: 'Count' },
            { Name: 'Duration', Unit: 'Milliseconds' },
          ],
        },
      ],
    },
    service: 's',
    stack: 'blue',
    Requests: 1,
    Duration: 0.25,
  });
});

test('a line without metrics stays a plain line', () => {
  expect(embeddedMetrics([], { service: 's' }, 0)).toEqual({});
});
