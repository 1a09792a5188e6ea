/** One Lambda execution environment: loads the built function and answers the events that its parent sends. */
import { subscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';
import { pathToFileURL } from 'node:url';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import type { Handler } from '../../infra/local/aws/http-api.ts';

export type Order =
  | { readonly id: number; readonly event: unknown; readonly remainingMs: number }
  | { readonly clockOffsetMs: number; readonly isWrong: boolean };

// The hands of this environment's clock; what is measured in spans (timers) is not touched.
let passedMs = 0;
let wrongMs = 0;
const now = Date.now.bind(Date);
Date.now = () => now() + passedMs + wrongMs;
// Time that has passed has passed for AWS, too.
subscribe('http.client.response.finish', (message) => {
  const { headers } = (message as { response: IncomingMessage }).response;
  if (headers.date !== undefined) headers.date = new Date(Date.parse(headers.date) + passedMs).toUTCString();
});

const { handler } = (await import(pathToFileURL(process.argv[2] ?? '').href)) as { handler: Handler };

async function invoke(id: number, event: unknown, remainingMs: number): Promise<void> {
  const endsAt = performance.now() + remainingMs;
  const result = await handler(event as APIGatewayProxyEventV2, {
    awsRequestId: `invocation-${id}`,
    functionName: 'filter',
    functionVersion: '$LATEST',
    invokedFunctionArn: 'arn:aws:lambda:us-east-1:000000000000:function:filter',
    memoryLimitInMB: '1024',
    logGroupName: '/aws/lambda/filter',
    logStreamName: 'test',
    callbackWaitsForEmptyEventLoop: false,
    getRemainingTimeInMillis: () => endsAt - performance.now(),
  });
  process.send?.({ id, result });
}

process.on('message', (order: Order) => {
  if ('clockOffsetMs' in order && order.isWrong) wrongMs = order.clockOffsetMs;
  else if ('clockOffsetMs' in order) passedMs = order.clockOffsetMs;
  else void invoke(order.id, order.event, order.remainingMs);
});
process.send?.('ready');
