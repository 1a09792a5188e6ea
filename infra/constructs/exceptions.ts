import { Validations } from 'aws-cdk-lib';
import type { IConstruct } from 'constructs';

/** The packs of cdk-nag that say the same of a resource, each under its own name. */
const PACKS = { NIST: 'NIST.800.53.R5', HIPAA: 'HIPAA.Security', PCI: 'PCI.DSS.321' } as const;

/** A rule as several packs of cdk-nag have it. */
export function inPacks(rule: string, ...packs: readonly (keyof typeof PACKS)[]): string[] {
  return packs.map((pack) => `${PACKS[pack]}-${rule}`);
}

/**
 * Says why a resource does not keep rules, which are then no findings of it: rules of cdk-nag by its names, and AWS Control
 * Tower's by theirs (`CT.LAMBDA.PR.3`). Of the resource and of nothing around it, and only where it does not keep them: a
 * test finds exceptions that are not needed.
 */
export function except(resource: IConstruct, rules: readonly string[], reason: string): void {
  Validations.of(resource).acknowledge(...rules.map((id) => ({ id, reason })));
}
