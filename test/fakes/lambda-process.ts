/** One Lambda execution environment: loads the built function and answers the events that its parent sends. */
import { pathToFileURL } from 'node:url';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import type { Handler } from '../../infra/local/aws/http-api.ts';

export type Order =
  { readonly id: number; readonly event: unknown; readonly remainingMs: number } | { readonly clockOffsetMs: number };

// The hands of this environment's clock; what is measured in spans (timers) is not touched.
let clockOffsetMs = 0;
const now = Date.now.bind(Date);
Date.now = () => now() + clockOffsetMs;

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
  if ('clockOffsetMs' in order) clockOffsetMs = order.clockOffsetMs;
  else void invoke(order.id, order.event, order.remainingMs);
});
process.send?.('ready');
