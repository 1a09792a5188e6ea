import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  Annotations,
  ArnFormat,
  CfnOutput,
  type CfnResource,
  Duration,
  RemovalPolicy,
  Stack,
  type StackProps,
  Validations,
} from 'aws-cdk-lib';
import { AccessLogFormat } from 'aws-cdk-lib/aws-apigateway';
import {
  HttpApi,
  type HttpMethod,
  HttpStage,
  LogGroupLogDestination,
  PayloadFormatVersion,
} from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpIamAuthorizer } from 'aws-cdk-lib/aws-apigatewayv2-authorizers';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import { AttributeType, BillingMode, Table } from 'aws-cdk-lib/aws-dynamodb';
import { PolicyDocument, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Architecture, Code, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { CfnSecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { SETTINGS } from '../lambda/config.ts';
import { ROUTE_KEYS } from '../lambda/routes.ts';
import { TABLE_KEY, TTL_ATTRIBUTE } from './table.ts';
import { EXAMPLE_SERVER, type TrustSettings } from './trust-settings.ts';

export interface TrustedFilterStackProps extends StackProps {
  readonly trust: TrustSettings;
  /** The folder that `npm run build` writes: a folder in it for each function. */
  readonly dist: string;
}

/** What API Gateway notes of each request: who asked and how it went, and nothing of what was asked. */
const ACCESS_LOG = {
  request_id: '$context.requestId',
  time: '$context.requestTime',
  route: '$context.routeKey',
  status: '$context.status',
  latency_ms: '$context.responseLatency',
  integration_latency_ms: '$context.integrationLatency',
  integration_error: '$context.integrationErrorMessage',
  principal: '$context.identity.userArn',
  source_ip: '$context.identity.sourceIp',
};

/** The filter as it runs in AWS: an HTTP API, the function behind it, its table and its secret. */
export class TrustedFilterStack extends Stack {
  constructor(scope: Construct, id: string, props: TrustedFilterStackProps) {
    super(scope, id, props);
    const { trust } = props;
    if (trust.server === EXAMPLE_SERVER) {
      Annotations.of(this).addWarningV2(
        'trusted-filter:example-server',
        `trust.server is still ${EXAMPLE_SERVER}: set it in cdk.json to the host name or IP address of your attestation service.`,
      );
    }
    const table = this.#table();
    const secretArn = trust.createSecret ? this.#secret(trust.secretName) : this.#arnOfSecret(trust.secretName);
    const filter = this.#filter(props, table, secretArn);
    const api = this.#api(filter);

    // Without the slash that a stage's own URL ends in: the routes begin with one.
    new CfnOutput(this, 'ApiUrl', { value: api.apiEndpoint });
    new CfnOutput(this, 'FunctionName', { value: filter.functionName });
    new CfnOutput(this, 'TableName', { value: table.tableName });
    new CfnOutput(this, 'SecretName', { value: trust.secretName });
  }

  #table(): Table {
    const table = new Table(this, 'Attestations', {
      partitionKey: { name: TABLE_KEY, type: AttributeType.STRING },
      timeToLiveAttribute: TTL_ATTRIBUTE,
      billingMode: BillingMode.PAY_PER_REQUEST,
      // A cache: what is lost is attested again.
      removalPolicy: RemovalPolicy.DESTROY,
    });
    Validations.of(table).acknowledge({
      id: 'AwsSolutions-DDB3',
      reason: 'The table is a cache of attestations that are valid for a minute or so; there is nothing to restore.',
    });
    return table;
  }

  /** Makes the secret without a value: key material must not pass through a template. */
  #secret(name: string): string {
    const secret = new CfnSecret(this, 'ClientCertificate', {
      name,
      description:
        'JSON with the client certificate that the attestation service is shown: cert, key and ca, PEM text.',
    });
    secret.applyRemovalPolicy(RemovalPolicy.RETAIN);
    Validations.of(secret).acknowledge({
      id: 'AwsSolutions-SMG4',
      reason:
        'The authority that the attestation service trusts issues the certificate; Secrets Manager cannot renew it. Whoever renews it puts the new one into the secret.',
    });
    new CfnOutput(this, 'FillSecretCommand', {
      description: 'Puts the client certificate into the secret, which is empty until then.',
      value: `aws secretsmanager put-secret-value --secret-id ${name} --secret-string file://client-certificate.json`,
    });
    return secret.ref;
  }

  /** Secrets Manager ends the ARN of every secret with six characters of its own. */
  #arnOfSecret(name: string): string {
    return this.formatArn({
      service: 'secretsmanager',
      resource: 'secret',
      resourceName: `${name}-??????`,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }

  #filter({ trust, dist }: TrustedFilterStackProps, table: Table, secretArn: string): LambdaFunction {
    const bundle = join(dist, 'filter');
    if (!existsSync(join(bundle, 'index.mjs'))) {
      throw new Error('The bundle dist/filter/index.mjs does not exist: run npm run build first.');
    }
    const logGroup = this.#logGroup('FilterLog');
    const statements = [
      new PolicyStatement({ actions: ['secretsmanager:GetSecretValue'], resources: [secretArn] }),
      new PolicyStatement({ actions: ['dynamodb:BatchGetItem', 'dynamodb:PutItem'], resources: [table.tableArn] }),
      new PolicyStatement({
        actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
        resources: [logGroup.logGroupArn],
      }),
    ];
    const filter = new LambdaFunction(this, 'Filter', {
      description: 'Answers which hosts have the trust level that a workload requires.',
      code: Code.fromAsset(bundle),
      handler: 'index.handler',
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      memorySize: 1024,
      // The longest that API Gateway's own limit of 30 s leaves.
      timeout: Duration.seconds(29),
      // A role of our own, since the one that CDK makes brings a managed policy with it.
      role: new Role(this, 'FilterRole', {
        assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
        inlinePolicies: { filter: new PolicyDocument({ statements }) },
      }),
      logGroup,
      environment: { ...trust.environment, [SETTINGS.table.variable]: table.tableName },
    });
    // CDK makes it wait for its role, which its reference to the role's ARN does already.
    (filter.node.defaultChild as CfnResource).addDeletionOverride('DependsOn');
    return filter;
  }

  #api(filter: LambdaFunction): HttpApi {
    const integration = new HttpLambdaIntegration('FilterIntegration', filter, {
      payloadFormatVersion: PayloadFormatVersion.VERSION_2_0,
    });
    const api = new HttpApi(this, 'Api', {
      apiName: this.stackName,
      description: 'Answers cloud schedulers which hosts have the trust level that a workload requires.',
      createDefaultStage: false,
      defaultAuthorizer: new HttpIamAuthorizer(),
      // Whatever has no route of its own: the function says why not, as problem+json.
      defaultIntegration: integration,
    });
    for (const routeKey of ROUTE_KEYS) {
      const [method, path] = routeKey.split(' ') as [HttpMethod, string];
      api.addRoutes({ path, methods: [method], integration });
    }
    new HttpStage(this, 'Stage', {
      httpApi: api,
      stageName: '$default',
      autoDeploy: true,
      throttle: { rateLimit: 100, burstLimit: 200 },
      accessLogSettings: {
        destination: new LogGroupLogDestination(this.#logGroup('AccessLog')),
        format: AccessLogFormat.custom(JSON.stringify(ACCESS_LOG)),
      },
    });
    return api;
  }

  #logGroup(id: string): LogGroup {
    // Who asked, and what went wrong, outlives the stack for as long as it is kept; a failed first deployment leaves none.
    return new LogGroup(this, id, {
      retention: RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
    });
  }
}
