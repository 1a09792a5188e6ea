import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Duration } from 'aws-cdk-lib';
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import {
  Architecture,
  type CfnFunction,
  Code,
  Function as LambdaFunction,
  type FunctionOptions,
  Runtime,
} from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import type { Setting } from '../../lambda/config.ts';
import { except, inPacks } from '../constructs/exceptions.ts';
import { KeptLog } from '../constructs/log-group.ts';
import type { Network } from '../constructs/network.ts';
import { networkRights } from '../constructs/network-rights.ts';
import type { ComplianceSettings } from '../settings/compliance-settings.ts';

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
  /** Where it is in a VPC, if in one: no function of the stack may be elsewhere than the others. */
  readonly network: Network | undefined;
  readonly compliance: ComplianceSettings;
}

/** What a right is limited by, and the variable that names its resource where the function needs one. */
export interface RightOptions {
  readonly conditions?: Record<string, Record<string, string>>;
  readonly named?: { readonly by: Setting<string>; readonly name: string };
}

/** What is reserved for a function of the account's executions, which is also the most it gets; 0 reserves none. */
export function reserved(executions: number): { readonly reservedConcurrentExecutions?: number } {
  return executions === 0 ? {} : { reservedConcurrentExecutions: executions };
}

/** What all functions of the stack share: how they run, a log that is kept, and a role whose rights are all written here. */
export class TrustFunction extends LambdaFunction {
  readonly #rights: PolicyDocument;

  constructor(scope: Construct, id: string, { dist, bundle, network, compliance, ...props }: TrustFunctionProps) {
    const code = join(dist, bundle);
    if (!existsSync(join(code, 'index.mjs'))) {
      throw new Error(`The bundle dist/${bundle}/index.mjs does not exist: run npm run build first.`);
    }
    const logGroup = new KeptLog(scope, `${id}Log`, { compliance });
    const rights = new PolicyDocument();
    if (network !== undefined) rights.addStatements(...networkRights(scope));
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
      ...(compliance.kmsKeyArn === undefined
        ? {}
        : { environmentEncryption: Key.fromKeyArn(scope, `${id}Key`, compliance.kmsKeyArn) }),
    });
    const resource = this.node.defaultChild as CfnFunction;
    // CDK makes it wait for its role, which its reference to the role's ARN does already.
    resource.addDeletionOverride('DependsOn');
    if (network === undefined) {
      except(
        this,
        [...inPacks('LambdaInsideVPC', 'NIST', 'HIPAA', 'PCI'), 'CT.LAMBDA.PR.3'],
        'An attestation service that is reached over the internet needs no VPC; trust.vpc names one.',
      );
    } else {
      const { subnetIds, securityGroupIds } = network;
      resource.vpcConfig = { subnetIds, securityGroupIds };
      except(
        role,
        ['AwsSolutions-IAM5[Resource::*]', 'Serverless-LambdaStarPermissions'],
        'Lambda attaches the function to the VPC with these rights, which EC2 has on all resources alone; they are denied to the function.',
      );
    }
    except(
      role,
      inPacks('IAMNoInlinePolicy', 'NIST', 'HIPAA', 'PCI'),
      'The rights are of this function alone: a policy beside its role could be attached to others.',
    );
    except(
      this,
      ['Serverless-LambdaTracing'],
      'Each invocation writes one line with its times and faults; traces would cost more than they tell.',
    );
    this.#rights = rights;
    this.may(['logs:CreateLogStream', 'logs:PutLogEvents'], logGroup.logGroupArn);
  }

  /** Gives it a right to one resource. */
  may(actions: string[], resource: string, { conditions, named }: RightOptions = {}): void {
    const limits = conditions === undefined ? {} : { conditions };
    this.#rights.addStatements(new PolicyStatement({ actions, resources: [resource], ...limits }));
    if (named !== undefined) this.addEnvironment(named.by.variable, named.name);
  }
}
