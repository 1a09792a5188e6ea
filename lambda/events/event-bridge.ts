/** What is used of the EventBridge client, to be imported when the first event is due. */
export { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
