import {
  Annotations,
  ArnFormat,
  CfnOutput,
  Duration,
  RemovalPolicy,
  Stack,
  type StackProps,
  Validations,
} from 'aws-cdk-lib';
import { AccessLogFormat } from 'aws-cdk-lib/aws-apigateway';
import {
  ApiMapping,
  type CfnStage,
  DomainName,
  HttpApi,
  type HttpMethod,
  HttpNoneAuthorizer,
  type HttpRoute,
  HttpStage,
  LogGroupLogDestination,
  PayloadFormatVersion,
  SecurityPolicy,
} from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpIamAuthorizer } from 'aws-cdk-lib/aws-apigatewayv2-authorizers';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import { Certificate } from 'aws-cdk-lib/aws-certificatemanager';
import { AttributeType, BillingMode, Table } from 'aws-cdk-lib/aws-dynamodb';
import { EventBus } from 'aws-cdk-lib/aws-events';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { CfnSecret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { SETTINGS } from '../lambda/config.ts';
import { ROUTE_KEYS, WEBHOOK_ROUTE } from '../lambda/http/routes.ts';
import { AgentIdsLayer } from './constructs/agent-ids-layer.ts';
import { KeptLog } from './constructs/log-group.ts';
import { RefreshFunction } from './functions/refresh-function.ts';
import { TABLE_KEY, TTL_ATTRIBUTE } from './constructs/table.ts';
import { tableCeiling } from './constructs/table-ceiling.ts';
import { FILTER_LIMITS, throttleOf } from './functions/filter-limits.ts';
import { reserved, TrustFunction } from './functions/trust-function.ts';
import { EXAMPLE_SERVER, type TrustDomain, type TrustSettings } from './settings/trust-settings.ts';

export interface TrustedFilterStackProps extends StackProps {
  readonly trust: TrustSettings;
  /** The folder that `npm run build` writes: a folder in it for each function. */
  readonly dist: string;
}

/**
 * What API Gateway notes of each request: who asked and how it went, and nothing of what was asked. It escapes no value, so
 * none may stand here that whoever asks could write a quote into: of a client certificate the serial number, in hexadecimal
 * digits, and neither subject nor issuer. The function's line has the subject, escaped.
 */
const ACCESS_LOG = {
  request_id: '$context.requestId',
  time: '$context.requestTime',
  route: '$context.routeKey',
  status: '$context.status',
  latency_ms: '$context.responseLatency',
  integration_latency_ms: '$context.integrationLatency',
  principal: '$context.identity.userArn',
  client_serial: '$context.identity.clientCert.serialNumber',
  source_ip: '$context.identity.sourceIp',
  error: '$context.error.message',
  integration_error: '$context.integrationErrorMessage',
};

/** The filter as it runs in AWS: an HTTP API, the functions behind it, their table, secret and event bus. */
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
    if (trust.domain !== undefined && !(SETTINGS.hostPattern.variable in trust.environment)) {
      Annotations.of(this).addWarningV2(
        'trusted-filter:no-host-pattern',
        'trust.hostPattern is not set: whoever holds a client certificate can have any name polled. Set it in cdk.json to what the names of your hosts look like, from ^ to $.',
      );
    }
    const table = this.#table(trust.fleetSize);
    const secretArn = trust.createSecret ? this.#secret(trust.secretName) : this.#arnOfSecret(trust.secretName);
    // Tells when the trust level of a host changes, and of hosts that stay unknown. Not as its description: CloudFormation
    // knows none of that in every region.
    const bus = new EventBus(this, 'TrustEvents');
    const layers = trust.agentIds === undefined ? [] : [new AgentIdsLayer(this, 'AgentIds', trust.agentIds)];
    const refresh = new RefreshFunction(this, 'Refresh', { ...props, layers });
    const filter = new TrustFunction(this, 'Filter', {
      description: 'Answers which hosts have the trust level that a workload requires.',
      dist: props.dist,
      bundle: 'filter',
      timeout: Duration.seconds(FILTER_LIMITS.timeoutSeconds),
      // While the attestation service hangs, every request waits to its deadline: without a limit they would take what the
      // account has for all of its functions.
      ...reserved(trust.filterConcurrency),
      environment: { ...trust.environment, ...trust.filterEnvironment },
      layers,
    });
    for (const each of [filter, refresh]) {
      each.addEnvironment(SETTINGS.stack.variable, this.stackName);
      each.may(['secretsmanager:GetSecretValue'], secretArn);
      const ofTable = { by: SETTINGS.table, name: table.tableName };
      each.may(['dynamodb:BatchGetItem', 'dynamodb:PutItem'], table.tableArn, ofTable);
      each.may(['events:PutEvents'], bus.eventBusArn, { by: SETTINGS.eventBus, name: bus.eventBusName });
    }
    const ofRefresh = { by: SETTINGS.refreshFunction, name: refresh.functionName };
    filter.may(['lambda:InvokeFunction'], refresh.functionArn, ofRefresh);
    const api = this.#api(filter, trust.domain, hasWebhook(trust) ? [...ROUTE_KEYS, WEBHOOK_ROUTE] : ROUTE_KEYS);

    // Without the slash that a stage's own URL ends in: the routes begin with one.
    new CfnOutput(this, 'ApiUrl', {
      value: trust.domain === undefined ? api.apiEndpoint : `https://${trust.domain.name}`,
    });
    new CfnOutput(this, 'FunctionName', { value: filter.functionName });
    new CfnOutput(this, 'RefreshFunctionName', { value: refresh.functionName });
    new CfnOutput(this, 'DeadLetterQueueUrl', { value: refresh.deadLetters.queueUrl });
    new CfnOutput(this, 'EventBusName', { value: bus.eventBusName });
    new CfnOutput(this, 'TableName', { value: table.tableName });
    new CfnOutput(this, 'SecretName', { value: trust.secretName });
  }

  #table(fleetSize: number): Table {
    const { readUnits, writeUnits } = tableCeiling(fleetSize);
    const table = new Table(this, 'Attestations', {
      partitionKey: { name: TABLE_KEY, type: AttributeType.STRING },
      timeToLiveAttribute: TTL_ATTRIBUTE,
      billingMode: BillingMode.PAY_PER_REQUEST,
      maxReadRequestUnits: readUnits,
      maxWriteRequestUnits: writeUnits,
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

  /**
   * Whoever asks signs (IAM), on every route. With a domain of one's own, who asks at the filter's routes shows a client
   * certificate instead: schedulers can do that, and verifiers, and can't sign. Everything else goes on to be signed.
   */
  #api(filter: TrustFunction, domain: TrustDomain | undefined, routeKeys: readonly string[]): HttpApi {
    const integration = new HttpLambdaIntegration('FilterIntegration', filter, {
      payloadFormatVersion: PayloadFormatVersion.VERSION_2_0,
    });
    const api = new HttpApi(this, 'Api', {
      apiName: this.stackName,
      description: 'Answers cloud schedulers which hosts have the trust level that a workload requires.',
      createDefaultStage: false,
      // At the default endpoint nobody asks for a client certificate.
      disableExecuteApiEndpoint: domain !== undefined,
      defaultAuthorizer: new HttpIamAuthorizer(),
      // Whatever has no route of its own: the function says why not, as problem+json.
      defaultIntegration: integration,
    });
    const filterRoutes: HttpRoute[] = [];
    for (const routeKey of routeKeys) {
      const [method, path] = routeKey.split(' ') as [HttpMethod, string];
      const authorizer = domain === undefined ? {} : { authorizer: new HttpNoneAuthorizer() };
      const routes = api.addRoutes({ path, methods: [method], integration, ...authorizer });
      filterRoutes.push(...routes);
      if (domain === undefined) continue;
      for (const route of routes) {
        Validations.of(route).acknowledge({
          id: 'AwsSolutions-APIG4',
          reason: 'API Gateway demands a client certificate at the domain, and the function checks its subject.',
        });
      }
    }
    const stage = new HttpStage(this, 'Stage', {
      httpApi: api,
      stageName: '$default',
      autoDeploy: true,
      throttle: FILTER_LIMITS.throttle,
      accessLogSettings: {
        destination: new LogGroupLogDestination(new KeptLog(this, 'AccessLog')),
        format: AccessLogFormat.custom(JSON.stringify(ACCESS_LOG)),
      },
    });
    // CDK knows a limit of all routes alone. CloudFormation refuses one of a route that is not there yet.
    (stage.node.defaultChild as CfnStage).routeSettings = Object.fromEntries(
      routeKeys.map((routeKey) => [routeKey, throttleOf(routeKey)]),
    );
    stage.node.addDependency(...filterRoutes);
    if (domain !== undefined) this.#domain(domain, api, stage);
    return api;
  }

  #domain({ name, certificateArn, truststore }: TrustDomain, api: HttpApi, stage: HttpStage): void {
    const domainName = new DomainName(this, 'Domain', {
      domainName: name,
      certificate: Certificate.fromCertificateArn(this, 'DomainCertificate', certificateArn),
      securityPolicy: SecurityPolicy.TLS_1_2,
      mtls: { bucket: Bucket.fromBucketName(this, 'Truststore', truststore.bucket), key: truststore.key },
    });
    new ApiMapping(this, 'DomainMapping', { api, domainName, stage });
    new CfnOutput(this, 'DomainTarget', {
      description: 'What the name of the domain must point to in DNS (CNAME or alias).',
      value: domainName.regionalDomainName,
    });
  }
}

/** Whether Keylime verifiers may post: those that sign, or whose certificates are named. */
function hasWebhook({ domain, environment, filterEnvironment }: TrustSettings): boolean {
  const isKeylime = environment[SETTINGS.service.variable] === 'keylime';
  return isKeylime && (domain === undefined || SETTINGS.verifiers.variable in filterEnvironment);
}
