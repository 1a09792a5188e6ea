import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type CfnResource, type Duration } from 'aws-cdk-lib';
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Architecture, Code, Function as LambdaFunction, type FunctionOptions, Runtime } from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import type { Setting } from '../../lambda/config.ts';
import { KeptLog } from '../constructs/log-group.ts';

export interface TrustFunctionProps extends Pick<
  FunctionOptions,
  'reservedConcurrentExecutions' | 'retryAttempts' | 'maxEventAge' | 'deadLetterQueue' | 'layers'
> {
  readonly description: string;
  /** The folder that `npm run build` writes, and the function's folder in it. */
  readonly dist: string;
  readonly bundle: string;
  readonly timeout: Duration;
  readonly environment: Readonly<Record<string, string>>;
}

/** What is reserved for a function of the account's executions, which is also the most it gets; 0 reserves none. */
export function reserved(executions: number): { readonly reservedConcurrentExecutions?: number } {
  return executions === 0 ? {} : { reservedConcurrentExecutions: executions };
}

/** What all functions of the stack share: how they run, a log that is kept, and a role whose rights are all written here. */
export class TrustFunction extends LambdaFunction {
  readonly #rights: PolicyDocument;

  constructor(scope: Construct, id: string, { dist, bundle, ...props }: TrustFunctionProps) {
    const code = join(dist, bundle);
    if (!existsSync(join(code, 'index.mjs'))) {
      throw new Error(`The bundle dist/${bundle}/index.mjs does not exist: run npm run build first.`);
    }
    const logGroup = new KeptLog(scope, `${id}Log`);
    const rights = new PolicyDocument();
    // A role of our own, since the one that CDK makes brings a managed policy with it.
    const role = new Role(scope, `${id}Role`, {
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
      inlinePolicies: { [bundle]: rights },
    });
    super(scope, id, {
      ...props,
      code: Code.fromAsset(code),
      handler: 'index.handler',
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      memorySize: 1024,
      // CDK would put the rights that it thinks of into a policy beside this role's own.
      role: role.withoutPolicyUpdates(),
      logGroup,
    });
    // CDK makes it wait for its role, which its reference to the role's ARN does already.
    (this.node.defaultChild as CfnResource).addDeletionOverride('DependsOn');
    this.#rights = rights;
    this.may(['logs:CreateLogStream', 'logs:PutLogEvents'], logGroup.logGroupArn);
  }

  /** Gives it a right to one resource, and the variable that names the resource where it needs one. */
  may(actions: string[], resource: string, named?: { readonly by: Setting<string>; readonly name: string }): void {
    this.#rights.addStatements(new PolicyStatement({ actions, resources: [resource] }));
    if (named !== undefined) this.addEnvironment(named.by.variable, named.name);
  }
}
