import { readFileSync } from 'node:fs';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import type { ExtenderAnswer } from '../../infra/local/answer-table.ts';

/** An event of test/events/, by its name. */
export function fixture(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../events/${name}.json`, import.meta.url), 'utf8'));
}

/** A `POST /filter` event as API Gateway builds it. */
export function filterEvent(hosts: readonly string[], trust: string | null = 'trusted'): unknown {
  const extra_specs = trust === null ? {} : { 'trust:trusted_host': trust };
  return {
    version: '2.0',
    routeKey: 'POST /filter',
    rawPath: '/filter',
    rawQueryString: '',
    headers: { 'content-type': 'application/json' },
    requestContext: {
      http: { method: 'POST', path: '/filter', protocol: 'HTTP/1.1', sourceIp: '127.0.0.1', userAgent: 'test' },
      requestId: 'request',
      routeKey: 'POST /filter',
      stage: '$default',
    },
    body: JSON.stringify({
      filter_properties: { instance_type: { extra_specs } },
      host_states: hosts.map((nodename) => ({ nodename })),
    }),
    isBase64Encoded: false,
  };
}

export interface FilterAnswer {
  readonly hosts: readonly string[];
  readonly rejected: readonly {
    readonly reason: string;
    readonly message: string;
    readonly hosts: readonly string[];
  }[];
  readonly valid_until?: string;
}

export function answerOf(result: APIGatewayProxyStructuredResultV2): FilterAnswer {
  return JSON.parse(result.body ?? '') as FilterAnswer;
}

/** Why each rejected host was rejected. */
export function reasonsOf(result: APIGatewayProxyStructuredResultV2): Record<string, string> {
  const groups = answerOf(result).rejected;
  return Object.fromEntries(groups.flatMap(({ reason, hosts }) => hosts.map((host) => [host, reason])));
}

export function extenderAnswerOf(result: APIGatewayProxyStructuredResultV2): ExtenderAnswer {
  return JSON.parse(result.body ?? '') as ExtenderAnswer;
}
