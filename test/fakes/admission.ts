import { celEnv, type CelResult, isCelError, parse, plan } from '@bufbuild/cel';

/** What the tests' policies have of admissionregistration.k8s.io/v1. */
export interface ValidatingAdmissionPolicy {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly failurePolicy: 'Fail' | 'Ignore';
    readonly matchConstraints: { readonly resourceRules: readonly ResourceRule[] };
    readonly variables: readonly { readonly name: string; readonly expression: string }[];
    readonly validations: readonly { readonly expression: string; readonly message: string }[];
  };
}

interface ResourceRule {
  readonly apiGroups: readonly string[];
  readonly apiVersions: readonly string[];
  readonly operations: readonly string[];
  readonly resources: readonly string[];
}

export interface AdmissionRequest {
  readonly operation: 'CREATE' | 'UPDATE';
  readonly group: string;
  /** With the subresource, as in a rule: pods/status. */
  readonly resource: string;
  readonly userInfo: { readonly username: string; readonly groups?: readonly string[] };
  readonly object: object;
  /** Null on CREATE. */
  readonly oldObject: object | null;
}

type Scope = NonNullable<Parameters<ReturnType<typeof plan>>[0]>;

const ENVIRONMENT = celEnv();
const PLANS = new Map<string, ReturnType<typeof plan>>();

/** What kube-apiserver answers a request with, one text for each validation that does not hold; none where it lets it in. */
export function refusals({ spec }: ValidatingAdmissionPolicy, request: AdmissionRequest): string[] {
  if (!spec.matchConstraints.resourceRules.some((rule) => covers(rule, request))) return [];
  const { operation, userInfo, object, oldObject } = request;
  const scope = withVariables(spec.variables, { request: { operation, userInfo }, object, oldObject } as Scope);
  return spec.validations.flatMap(({ expression, message }) => {
    const holds = evaluate(expression, scope);
    if (isCelError(holds)) return spec.failurePolicy === 'Fail' ? [holds.message] : [];
    return holds === true ? [] : [message];
  });
}

/** Rules name everything in full here: a wildcard covers nothing. */
function covers(rule: ResourceRule, { operation, group, resource }: AdmissionRequest): boolean {
  return (
    rule.apiGroups.includes(group) &&
    rule.apiVersions.includes('v1') &&
    rule.operations.includes(operation) &&
    rule.resources.includes(resource)
  );
}

/** Each variable sees those before it, and is evaluated where it is used: elsewhere its error is nobody's. */
function withVariables(variables: ValidatingAdmissionPolicy['spec']['variables'], scope: Scope): Scope {
  return variables.reduce<Scope>(
    (before, { name, expression }) =>
      Object.create(before, { [`variables.${name}`]: { get: () => evaluate(expression, before) } }) as Scope,
    scope,
  );
}

function evaluate(expression: string, scope: Scope): CelResult {
  const planned = PLANS.get(expression) ?? plan(ENVIRONMENT, parse(expression));
  PLANS.set(expression, planned);
  return planned(scope);
}
