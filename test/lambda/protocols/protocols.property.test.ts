/** One core, several protocols: for the same hosts and trust they agree on who passes. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { REASONS, type Reason, type RequiredTrust } from '../../../lambda/trust/reason.ts';
import { externalScheduler } from '../../../lambda/protocols/external-scheduler.ts';
import { kubernetes } from '../../../lambda/protocols/kubernetes.ts';
import { native } from '../../../lambda/protocols/native.ts';
import type { Verdicts } from '../../../lambda/attestation/compute-attestation.ts';
import { NOW } from '../builders.ts';

const MAX_HOSTS = 1_000;
const OPTIONS = { kubernetesKey: 'trust/trusted-host' };

interface Answer {
  /** The hosts that the protocol had attested. */
  readonly attested: readonly string[];
  readonly passing: readonly string[];
  /** The lists of those that do not pass, each on its own. */
  readonly failing: readonly (readonly string[])[];
}

type Ask = (hosts: readonly string[], trust: RequiredTrust, reasonOf: (host: string) => Reason) => Answer;

function verdictsOf(hosts: readonly string[], trust: RequiredTrust, reasonOf: (host: string) => Reason): Verdicts {
  return { reasons: hosts.map(reasonOf), passing: trust, validUntil: NOW };
}

const askNative: Ask = (hosts, trust, reasonOf) => {
  const flavor = { extra_specs: { 'trust:trusted_host': trust } };
  const request = native.parse(
    { filter_properties: { flavor }, host_states: hosts.map((nodename) => ({ nodename })) },
    MAX_HOSTS,
  );
  const answer = native.render(request, verdictsOf(request.hosts, trust, reasonOf)) as {
    hosts: string[];
    rejected: { hosts: string[] }[];
  };
  return { attested: request.hosts, passing: answer.hosts, failing: answer.rejected.map((group) => group.hosts) };
};

const askKubernetes = (form: 'names' | 'nodes'): Ask => {
  return (hosts, trust, reasonOf) => {
    const Pod = { metadata: { name: 'pod', annotations: { [OPTIONS.kubernetesKey]: trust } }, spec: {} };
    const items = hosts.map((name) => ({ metadata: { name } }));
    const body = form === 'names' ? { Pod, NodeNames: hosts, Nodes: null } : { Pod, NodeNames: null, Nodes: { items } };
    const request = kubernetes.parse(body, MAX_HOSTS, OPTIONS);
    const rendered = kubernetes.render(request, verdictsOf(request.hosts, trust, reasonOf));
    const answer = JSON.parse(JSON.stringify(rendered)) as {
      NodeNames: string[] | null;
      Nodes: { items: { metadata: { name: string } }[] } | null;
      FailedNodes: Record<string, string>;
      FailedAndUnresolvableNodes: Record<string, string>;
    };
    const passing = answer.NodeNames ?? answer.Nodes?.items.map(({ metadata }) => metadata.name) ?? [];
    const failing = [Object.keys(answer.FailedNodes), Object.keys(answer.FailedAndUnresolvableNodes)];
    return { attested: request.hosts, passing, failing };
  };
};

const askExternalScheduler: Ask = (hosts, trust, reasonOf) => {
  const flavor = { 'nova_object.data': { extra_specs: { 'trust:trusted_host': trust } } };
  const body = {
    spec: { 'nova_object.data': { flavor } },
    hosts: hosts.map((name) => ({ host: name, hypervisor_hostname: name })),
  };
  const request = externalScheduler.parse(body, MAX_HOSTS);
  const { hosts: passing } = externalScheduler.render(request, verdictsOf(request.hosts, trust, reasonOf));
  return { attested: request.hosts, passing, failing: [hosts.filter((host) => !passing.includes(host))] };
};

const PROTOCOLS: Readonly<Record<string, Ask>> = {
  native: askNative,
  'kubernetes, names': askKubernetes('names'),
  'kubernetes, nodes': askKubernetes('nodes'),
  'external scheduler': askExternalScheduler,
};

const name = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'toString', 'NodeNames', '1', 'compute-1.example.com'),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter((text) => text.length > 0 && text.length <= 255),
);

test('all protocols agree on who passes; no host is in two lists, every name out was one in, and the order is kept', () => {
  const hosts = fc.uniqueArray(name, { maxLength: 20 });
  const trust = fc.constantFrom<RequiredTrust>('trusted', 'untrusted');
  fc.assert(
    fc.property(hosts, trust, fc.infiniteStream(fc.constantFrom(...REASONS)), (some, required, reasons) => {
      const reasonByHost = new Map(some.map((host) => [host, reasons.next().value as Reason]));
      const reasonOf = (host: string): Reason => reasonByHost.get(host) ?? 'unknown';
      const expected = some.filter((host) => reasonOf(host) === required);
      for (const [protocol, ask] of Object.entries(PROTOCOLS)) {
        const { attested, passing, failing } = ask(some, required, reasonOf);
        expect([protocol, ...attested]).toEqual([protocol, ...some]);
        expect([protocol, ...passing]).toEqual([protocol, ...expected]);
        expect([protocol, ...[...passing, ...failing.flat()].sort()]).toEqual([protocol, ...some.toSorted()]);
      }
    }),
    { numRuns: 2_000 },
  );
});
