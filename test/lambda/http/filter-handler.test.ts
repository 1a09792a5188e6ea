import { describe, expect, test } from '@jest/globals';
import { filterHandler, type FilterParts } from '../../../lambda/http/filter-handler.ts';
import { ROUTE_KEYS } from '../../../lambda/http/routes.ts';
import type { RequestLog } from '../../../lambda/log/request-log.ts';
import type { Invocation } from '../../../lambda/polling/waiter.ts';
import { VirtualClock } from '../../fakes/virtual-clock.ts';

const HOSTS = { hosts: [], host_states: [], NodeNames: [], Nodes: null };
const ASKING = {
  ...HOSTS,
  Pod: {},
  spec: { 'nova_object.data': { flavor: { 'nova_object.data': {} } } },
  filter_properties: { flavor: {} },
};

/** How many milliseconds a request at this route has, where these are configured for Nova's own terms. */
async function timeOf(routeKey: string, nativeDeadlineSeconds: number): Promise<number> {
  const clock = new VirtualClock();
  const answerBy: number[] = [];
  const filter = {
    filterAll: (_hosts: unknown, _properties: unknown, { deadline }: Invocation) => {
      answerBy.push(deadline.answerBy);
      return Promise.resolve({ reasons: undefined, passing: undefined, validUntil: undefined });
    },
  } as unknown as FilterParts['filter'];
  const config = { maxHosts: 10, kubernetesKey: 'trust/trusted-host', nativeDeadlineSeconds };
  const log = { note: () => undefined } as unknown as RequestLog;
  const handler = filterHandler(() => ({ config, filter, clock }), log);
  const answer = await handler({ routeKey, body: JSON.stringify(ASKING) }, {});
  expect(answer.statusCode).toBe(200);
  return (answerBy[0] ?? NaN) - clock.monotonic();
}

describe('a request', () => {
  test('in Nova’s own terms has the time that is configured', async () => {
    for (const seconds of [1, 7.5, 25]) expect(await timeOf('POST /filter', seconds)).toBe(1_000 * seconds);
  });

  test('of any other protocol has the time that its caller waits', async () => {
    const others = ROUTE_KEYS.filter((routeKey) => routeKey !== 'POST /filter');
    const times = await Promise.all(others.map((routeKey) => timeOf(routeKey, 1)));
    expect(times).toEqual([4_000, 8_000]);
  });
});
