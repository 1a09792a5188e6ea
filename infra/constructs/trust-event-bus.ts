import { EventBus, type EventBusPolicy } from 'aws-cdk-lib/aws-events';
import { AnyPrincipal, Effect, type IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import type { Construct, IDependable } from 'constructs';
import { EVENT_SOURCE } from '../../lambda/events/trust-event.ts';
import type { ComplianceSettings } from '../settings/compliance-settings.ts';

/** Keys of where CloudFormation knows none for a bus, which AWS then encrypts with one of its own. */
const WITHOUT_KEYS = /^arn:aws-us-gov:/;

/** Tells when the trust level of a host changes, and of hosts that stay unknown. */
export class TrustEventBus extends EventBus {
  // Without a description: CloudFormation knows none in every region.
  constructor(scope: Construct, id: string, { kmsKeyArn }: ComplianceSettings) {
    const takesKey = kmsKeyArn !== undefined && !WITHOUT_KEYS.test(kmsKeyArn);
    super(scope, id, takesKey ? { kmsKey: Key.fromKeyArn(scope, `${id}Key`, kmsKeyArn) } : {});
  }

  /**
   * Refuses events of all but these, and from them any but those of the filter: whoever else in the account may put events
   * could say that a host has lost its trust, and have it emptied.
   */
  closeTo(writers: readonly IRole[]): void {
    const refuse = (sid: string, conditions: Record<string, object>): IDependable | undefined =>
      this.addToResourcePolicy(
        new PolicyStatement({
          sid,
          effect: Effect.DENY,
          principals: [new AnyPrincipal()],
          actions: ['events:PutEvents'],
          resources: [this.eventBusArn],
          conditions,
        }),
      ).policyDependable;
    const first = refuse('OthersPutNothing', {
      ArnNotEquals: { 'aws:PrincipalArn': writers.map(({ roleArn }) => roleArn) },
    });
    const second = refuse('NothingOfOthers', { 'ForAnyValue:StringNotEquals': { 'events:source': EVENT_SOURCE } });
    // Both are one policy of the bus, and EventBridge refuses two changes of it at once.
    if (first !== undefined) (second as EventBusPolicy).node.addDependency(first);
  }
}
