import { Annotations, ArnFormat, CfnOutput, Duration, Fn, Stack, type StackProps, Tags } from 'aws-cdk-lib';
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
import { type IRole, ManagedPolicy, PermissionsBoundary } from 'aws-cdk-lib/aws-iam';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import type { Construct } from 'constructs';
import { SETTINGS } from '../lambda/config.ts';
import { ROUTE_KEYS, WEBHOOK_ROUTE } from '../lambda/http/routes.ts';
import { AgentIdsLayer } from './constructs/agent-ids-layer.ts';
import { Alarms } from './constructs/alarms.ts';
import { AttestationsTable } from './constructs/attestations-table.ts';
import { ClientCertificateSecret } from './constructs/client-certificate-secret.ts';
import { TrustDashboard } from './constructs/dashboard.ts';
import { except, inPacks } from './constructs/exceptions.ts';
import { nameAccount } from './constructs/invoke-permissions.ts';
import { mayUseKey } from './constructs/key-rights.ts';
import { KeptLog } from './constructs/log-group.ts';
import { Network } from './constructs/network.ts';
import { TrustEventBus } from './constructs/trust-event-bus.ts';
import { TrustMetrics } from './constructs/trust-metrics.ts';
import { makeVpcEndpoints } from './constructs/vpc-endpoints.ts';
import { FILTER_LIMITS, throttleOf } from './functions/filter-limits.ts';
import { RefreshFunction } from './functions/refresh-function.ts';
import { reserved, TrustFunction } from './functions/trust-function.ts';
import type { ComplianceSettings } from './settings/compliance-settings.ts';
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
    const { compliance } = trust;
    const table = new AttestationsTable(this, 'Attestations', trust);
    const secretArn = trust.createSecret ? this.#secret(trust) : this.#arnOfSecret(trust.secretName);
    const bus = new TrustEventBus(this, 'TrustEvents', compliance);
    const network = trust.vpc === undefined ? undefined : new Network(this, 'Network', trust.vpc);
    const layers = trust.agentIds === undefined ? [] : [new AgentIdsLayer(this, 'AgentIds', trust.agentIds)];
    const refresh = new RefreshFunction(this, 'Refresh', { ...props, layers, network });
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
      network,
      compliance,
    });
    except(
      filter,
      [...inPacks('LambdaDLQ', 'NIST', 'HIPAA'), 'Serverless-LambdaDLQ'],
      'API Gateway waits for its answers: no event of it is ever in a queue.',
    );
    const roles = [filter, refresh].map(({ role }) => role as IRole);
    for (const each of [filter, refresh]) {
      each.addEnvironment(SETTINGS.stack.variable, this.stackName);
      each.may(['secretsmanager:GetSecretValue'], secretArn);
      const ofTable = { by: SETTINGS.table, name: table.tableName };
      each.may(['dynamodb:BatchGetItem', 'dynamodb:PutItem'], table.tableArn, { named: ofTable });
      each.may(['events:PutEvents'], bus.eventBusArn, { named: { by: SETTINGS.eventBus, name: bus.eventBusName } });
      if (compliance.kmsKeyArn !== undefined) mayUseKey(each, { kmsKeyArn: compliance.kmsKeyArn, secretArn });
    }
    const ofRefresh = { by: SETTINGS.refreshFunction, name: refresh.functionName };
    filter.may(['lambda:InvokeFunction'], refresh.functionArn, { named: ofRefresh });
    bus.closeTo(roles);
    if (network !== undefined && trust.vpc?.endpoints?.kind === 'new') {
      makeVpcEndpoints(this, 'Endpoint', {
        network,
        routeTableIds: trust.vpc.endpoints.routeTableIds,
        roles,
        table: table.tableArn,
        secret: secretArn,
        refresh: refresh.functionArn,
        bus: bus.eventBusArn,
      });
    }
    const accessLog = this.#accessLog(compliance);
    const routeKeys = hasWebhook(trust) ? [...ROUTE_KEYS, WEBHOOK_ROUTE] : ROUTE_KEYS;
    const api = this.#api(filter, accessLog, trust.domain, routeKeys);
    const { deadLetters } = refresh;
    const metrics = new TrustMetrics({ filter, refresh, table, deadLetters, api, accessLog });
    const alarms = new Alarms(this, 'Alarms', { trust, metrics, alarmTopicArn: compliance.alarmTopicArn });
    const { dashboard } = new TrustDashboard(this, 'Overview', { metrics, alarms: [alarms.page, ...alarms.all] });
    this.#comply(compliance);

    // Without the slash that a stage's own URL ends in: the routes begin with one.
    new CfnOutput(this, 'ApiUrl', {
      value: trust.domain === undefined ? api.apiEndpoint : `https://${trust.domain.name}`,
    });
    new CfnOutput(this, 'FunctionName', { value: filter.functionName });
    new CfnOutput(this, 'RefreshFunctionName', { value: refresh.functionName });
    new CfnOutput(this, 'DeadLetterQueueUrl', { value: deadLetters.queueUrl });
    new CfnOutput(this, 'DashboardName', { value: dashboard.dashboardName });
    new CfnOutput(this, 'EventBusName', { value: bus.eventBusName });
    new CfnOutput(this, 'TableName', { value: table.tableName });
    new CfnOutput(this, 'SecretName', { value: trust.secretName });
  }

  /** What holds for whatever the stack has by now. */
  #comply({ permissionsBoundary, tags }: ComplianceSettings): void {
    if (permissionsBoundary !== undefined) {
      const boundary = ManagedPolicy.fromManagedPolicyArn(this, 'PermissionsBoundary', permissionsBoundary);
      PermissionsBoundary.of(this).apply(boundary);
    }
    for (const [name, value] of Object.entries(tags)) Tags.of(this).add(name, value);
    nameAccount(this);
  }

  #secret({ secretName: name, compliance }: TrustSettings): string {
    const secret = new ClientCertificateSecret(this, 'ClientCertificate', { name, compliance });
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
  #api(
    filter: TrustFunction,
    accessLog: KeptLog,
    domain: TrustDomain | undefined,
    routeKeys: readonly string[],
  ): HttpApi {
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
        except(
          route,
          ['AwsSolutions-APIG4', 'CT.APIGATEWAY.PR.5'],
          'API Gateway demands a client certificate at the domain, and the function checks its subject.',
        );
      }
    }
    const stage = new HttpStage(this, 'Stage', {
      httpApi: api,
      stageName: '$default',
      autoDeploy: true,
      throttle: FILTER_LIMITS.throttle,
      accessLogSettings: {
        destination: new LogGroupLogDestination(accessLog),
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

  /**
   * Under the name that AWS keeps for logs which its services deliver: for a group elsewhere, each delivery is a line in a policy
   * of the account that soon has no room. The name ends in what the stack's own id does, so that a stack made anew finds
   * no group of the one before in its place.
   */
  #accessLog(compliance: ComplianceSettings): KeptLog {
    const stackIdsEnd = Fn.select(2, Fn.split('/', this.stackId));
    return new KeptLog(this, 'AccessLog', {
      compliance,
      name: `/aws/vendedlogs/${this.stackName}/access-${stackIdsEnd}`,
    });
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
