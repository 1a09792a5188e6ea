/** What is used of the Lambda client, to be imported when hosts are first handed over. */
export { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
