import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Architecture, Code, LayerVersion, Runtime } from 'aws-cdk-lib/aws-lambda';
import { DISABLE_ASSET_STAGING_CONTEXT } from 'aws-cdk-lib/cx-api';
import type { Construct } from 'constructs';
import { AGENT_IDS_FILE } from '../settings/keylime-settings.ts';

/** The table of Keylime's agent ids, as a file that functions find in `/opt`. A table of the same content is the same layer. */
export class AgentIdsLayer extends LayerVersion {
  constructor(scope: Construct, id: string, agentIds: ReadonlyMap<string, string>) {
    const folder = mkdtempSync(join(tmpdir(), 'trusted-filter-agent-ids-'));
    const file = join(folder, AGENT_IDS_FILE);
    const sorted = [...agentIds].sort(([a], [b]) => (a < b ? -1 : 1));
    writeFileSync(file, `${JSON.stringify(Object.fromEntries(sorted))}\n`);
    // Lambda unpacks files with their modes: whatever the umask is here, the function must be able to read this one.
    chmodSync(file, 0o644);
    super(scope, id, {
      description: "Which of Keylime's agents is which host.",
      code: Code.fromAsset(folder),
      compatibleRuntimes: [Runtime.NODEJS_24_X],
      compatibleArchitectures: [Architecture.ARM_64],
    });
    // By now it has been copied, unless CDK was told to use assets where they are.
    if (scope.node.tryGetContext(DISABLE_ASSET_STAGING_CONTEXT) === undefined) rmSync(folder, { recursive: true });
  }
}
