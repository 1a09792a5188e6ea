/** The CDK app: what `cdk synth` and `cdk deploy` run. */
import { fileURLToPath } from 'node:url';
import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { parseTrustSettings, TrustSettingsError } from './settings/trust-settings.ts';
import { TrustedFilterStack } from './trusted-filter-stack.ts';

const app = new App();
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
try {
  new TrustedFilterStack(app, 'TrustedFilter', {
    description: "Nova's TrustedFilter as a serverless function.",
    trust: parseTrustSettings(app.node.tryGetContext('trust')),
    dist: fileURLToPath(new URL('../dist', import.meta.url)),
  });
} catch (error) {
  if (!(error instanceof TrustSettingsError)) throw error;
  // The faults are the operator's to mend: a list of them helps, a stack trace does not.
  console.error(error.message);
  process.exit(1);
}
