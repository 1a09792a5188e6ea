import { Duration } from 'aws-cdk-lib';
import { Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction as LambdaTarget } from 'aws-cdk-lib/aws-events-targets';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import { DeadLetters } from '../constructs/dead-letters.ts';
import { except } from '../constructs/exceptions.ts';
import { mayUseKeyOfQueue } from '../constructs/key-rights.ts';
import { REFRESH_LIMITS } from './refresh-limits.ts';
import { reserved, TrustFunction, type TrustFunctionProps } from './trust-function.ts';
import type { TrustSettings } from '../settings/trust-settings.ts';

export interface RefreshFunctionProps extends Pick<TrustFunctionProps, 'dist' | 'layers' | 'network'> {
  readonly trust: TrustSettings;
}

/** The function that attests off the requests' path: invoked asynchronously by the filter, and by a schedule if there is one. */
export class RefreshFunction extends TrustFunction {
  readonly deadLetters: IQueue;

  constructor(scope: Construct, id: string, { trust, dist, layers, network }: RefreshFunctionProps) {
    const { compliance } = trust;
    const deadLetters = new DeadLetters(scope, `${id}DeadLetters`, compliance);
    super(scope, id, {
      description: 'Attests hosts that no request has the time to wait for.',
      dist,
      bundle: 'refresh',
      timeout: Duration.seconds(REFRESH_LIMITS.timeoutSeconds),
      // Each execution may have `parallelPolls` polls under way: without a limit a large fleet that is handed over at once
      // would meet the attestation service with all of them. What finds no room waits in Lambda's own queue. The limit is
      // taken out of the account's, which must keep 100 (10 in the smallest accounts) for all other functions.
      ...reserved(trust.refreshConcurrency),
      retryAttempts: REFRESH_LIMITS.retries,
      maxEventAge: Duration.seconds(REFRESH_LIMITS.maxEventAgeSeconds),
      deadLetterQueue: deadLetters,
      environment: trust.environment,
      network,
      compliance,
      ...(layers === undefined ? {} : { layers }),
    });
    this.deadLetters = deadLetters;
    this.may(['sqs:SendMessage'], deadLetters.queueArn);
    if (compliance.kmsKeyArn !== undefined) mayUseKeyOfQueue(this, compliance.kmsKeyArn);
    except(
      this.node.findChild('EventInvokeConfig'),
      ['Serverless-LambdaAsyncFailureDestination'],
      'What it failed at goes to the queue of dead letters.',
    );
    if (trust.refreshMinutes !== undefined) {
      const schedule = new Rule(scope, `${id}Schedule`, {
        description: 'Has the hosts that were asked about in the last day attested before their attestations end.',
        schedule: Schedule.rate(Duration.minutes(trust.refreshMinutes)),
        // A round that could not begin in time is the next round's.
        targets: [new LambdaTarget(this, { retryAttempts: 1, maxEventAge: Duration.minutes(1) })],
      });
      except(schedule, ['Serverless-EventBusDLQ'], "A round that could not begin in time is the next round's.");
    }
  }
}
