/** What there is to set where the attestation service is a Keylime verifier, beside what is set of every service. */
import { blameClient, parseClients } from './http/client-subject.ts';
import type { DistinguishedName } from './http/distinguished-name.ts';
import { oneOf, type Setting, uuid } from './setting.ts';

export interface KeylimeConfig {
  /** How host names become agent ids: `uuid5`, `name`, or the path of a JSON file of host → id. */
  readonly agentIds: string;
  /** The namespace of `uuid5`. */
  readonly namespace: string;
  /** Whether a host that is checked against nothing is `unchecked` rather than trusted. */
  readonly policyRequired: boolean;
  /** The subjects of the client certificates of verifiers that may say what happened to an agent; absent where none may. */
  readonly verifiers?: readonly DistinguishedName[] | undefined;
}

export const KEYLIME_SETTINGS = {
  agentIds: {
    variable: 'ATTESTATION_KEYLIME_AGENT_IDS',
    context: 'keylime.agentIds',
    default: 'uuid5',
    rule: 'must be uuid5, name, or the path of a JSON file of host → agent id that ends in .json',
    parse: (text) => (/^(uuid5|name|[^\0]{1,1000}\.json)$/.test(text) ? text : undefined),
  } satisfies Setting<string>,
  namespace: {
    variable: 'ATTESTATION_KEYLIME_NAMESPACE',
    context: 'keylime.namespace',
    // That of DNS names (RFC 9562, 6.6).
    default: '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
    rule: 'must be the UUID of the namespace in which agent ids are computed from host names',
    parse: uuid,
  } satisfies Setting<string>,
  policyRequired: {
    variable: 'ATTESTATION_KEYLIME_POLICY_REQUIRED',
    context: 'keylime.policyRequired',
    default: 'true',
    rule: 'must be true or false',
    parse: oneOf('true', 'false'),
  } satisfies Setting<string>,
  verifiers: {
    variable: 'ATTESTATION_KEYLIME_VERIFIERS',
    rule: 'must be a JSON array of at least one subject of a client certificate, such as ["CN=keylime-verifier,O=example"], as RFC 4514 writes it: with no space around "=" and ",", and no "subject=" before it',
    parse: parseClients,
    blame: blameClient,
  } satisfies Setting<readonly DistinguishedName[]>,
};
