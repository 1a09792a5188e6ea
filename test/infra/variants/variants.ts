/** Every shape of the stack that docs show, as the context `trust` that makes it. */
import { fileURLToPath } from 'node:url';
import { App } from 'aws-cdk-lib';
import cdkJson from '../../../cdk.json' with { type: 'json' };
import { parseTrustSettings } from '../../../infra/settings/trust-settings.ts';
import { TrustedFilterStack } from '../../../infra/trusted-filter-stack.ts';

export interface Variant {
  readonly trust: object;
  /** Where it is deployed to, if the command line knows that. */
  readonly env?: { readonly account: string; readonly region: string };
}

const ACCOUNT = '123456789012';
const LEAST = { server: 'oat.example.net', secretName: 'filter/certificate' };
const DOMAIN = {
  domain: {
    name: 'trust.example.net',
    certificateArn: `arn:aws:acm:eu-west-1:${ACCOUNT}:certificate/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f`,
    truststore: 's3://trust-stores/schedulers.pem',
  },
  clients: ['CN=kube-scheduler', 'CN=nova-scheduler,O=example'],
  hostPattern: '^compute-\\d+\\.example\\.net$',
};
const VPC = {
  vpcId: 'vpc-0a1b2c3d4e5f60718',
  subnetIds: ['subnet-0a1b2c3d4e5f60718', 'subnet-0a1b2c3d4e5f60719'],
  attester: '10.1.2.0/24',
};
const ENDPOINTS = { routeTableIds: ['rtb-0a1b2c3d4e5f60718'], prefixListId: 'pl-0a1b2c3d' };

/** All that there is of options, in a region that is known. */
function keyed(partition: string, region: string): Variant {
  const arn = (service: string, rest: string, where = region): string =>
    `arn:${partition}:${service}:${where}:${ACCOUNT}:${rest}`;
  return {
    trust: {
      ...LEAST,
      createSecret: true,
      refresh: 10,
      authTimeout: 1_200,
      vpc: { ...VPC, endpoints: ENDPOINTS },
      compliance: {
        kmsKeyArn: arn('kms', 'key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f'),
        alarmTopicArn: arn('sns', 'pages'),
        permissionsBoundary: arn('iam', 'policy/boundary', ''),
        tags: { 'cost-center': '4711', 'data class': 'internal' },
      },
    },
    env: { account: ACCOUNT, region },
  };
}

export const VARIANTS: Readonly<Record<string, Variant>> = {
  plain: { trust: LEAST },
  'created-secret': { trust: { ...LEAST, createSecret: true } },
  schedule: { trust: { ...LEAST, refresh: 10, authTimeout: 1_200 } },
  domain: { trust: { ...LEAST, ...DOMAIN } },
  keylime: {
    trust: {
      ...LEAST,
      ...DOMAIN,
      service: 'keylime',
      keylime: {
        agentIds: fileURLToPath(new URL('agent-ids.json', import.meta.url)),
        verifiers: ['CN=verifier,O=example'],
      },
    },
  },
  vpc: { trust: { ...LEAST, vpc: { ...VPC, endpoints: { existing: ['10.1.9.0/24', 'pl-0a1b2c3d'] } } } },
  'vpc-open': { trust: { ...LEAST, vpc: VPC } },
  'vpc-groups': { trust: { ...LEAST, vpc: { subnetIds: VPC.subnetIds, securityGroupIds: ['sg-0a1b2c3d4e5f60718'] } } },
  'vpc-endpoints': { trust: { ...LEAST, vpc: { ...VPC, endpoints: ENDPOINTS } } },
  compliance: { trust: { ...LEAST, compliance: {} } },
  'compliance-key': keyed('aws', 'eu-west-1'),
  'compliance-key-govcloud': keyed('aws-us-gov', 'us-gov-west-1'),
  'compliance-key-china': keyed('aws-cn', 'cn-north-1'),
};

const FLAGS = Object.fromEntries(Object.entries(cdkJson.context).filter(([name]) => name.startsWith('@aws-cdk/')));

/**
 * Makes the stack of a variant.
 * @param into the folder that the app writes when it is synthesized
 * @param dist the folder of the bundles
 */
export function makeVariant(
  { trust, env }: Variant,
  into: string,
  dist: string,
): { app: App; stack: TrustedFilterStack } {
  const app = new App({ context: FLAGS, outdir: into });
  const stack = new TrustedFilterStack(app, 'TrustedFilter', {
    trust: parseTrustSettings(trust),
    dist,
    ...(env === undefined ? {} : { env }),
  });
  return { app, stack };
}
