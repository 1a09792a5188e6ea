/** The CDK app: what `cdk synth` and `cdk deploy` run. */
import { fileURLToPath } from 'node:url';
import { App, type Environment, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { parseTrustSettings, type TrustSettings, TrustSettingsError } from './settings/trust-settings.ts';
import { TrustedFilterStack } from './trusted-filter-stack.ts';

// cdk-nag looks at members that CDK deprecates, of which CDK would warn at every synth; those that are used here, the linter finds.
process.env['JSII_DEPRECATED'] ??= 'quiet';
const app = new App();
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
try {
  const trust = parseTrustSettings(app.node.tryGetContext('trust'));
  new TrustedFilterStack(app, 'TrustedFilter', {
    description: "Nova's TrustedFilter as a serverless function.",
    trust,
    ...(needsEnvironment(trust) ? { env: environment() } : {}),
    dist: fileURLToPath(new URL('../dist', import.meta.url)),
  });
} catch (error) {
  if (!(error instanceof TrustSettingsError)) throw error;
  // The faults are the operator's to mend: a list of them helps, a stack trace does not.
  console.error(error.message);
  process.exit(1);
}

/** Rules want the account as a number, and the endpoints of some regions have names of their own. */
function needsEnvironment({ compliance, vpc }: TrustSettings): boolean {
  return compliance.isSet || vpc?.endpoints?.kind === 'new';
}

/** What the command line of CDK knows of where it deploys to; nothing without credentials, and the template is then one for everywhere. */
function environment(): Environment {
  const { CDK_DEFAULT_ACCOUNT: account, CDK_DEFAULT_REGION: region } = process.env;
  return { ...(account === undefined ? {} : { account }), ...(region === undefined ? {} : { region }) };
}
