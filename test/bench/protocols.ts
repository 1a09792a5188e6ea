import { createServer, type AddressInfo } from 'node:net';
import { loadFunction } from '../../infra/local/environment.ts';
import { type Handler, newContext } from '../../infra/local/aws/http-api.ts';
import { answerWith, Cloud } from '../fakes/cloud.ts';
import { withReadLog } from './read-log.ts';
import { median, progress, type Report } from './report.ts';

const SIZES = [100, 1_000, 5_000] as const;
/** At this size a request that asks for no trust may cost so many times what its JSON alone does. */
const BOUND = { size: 5_000, atMost: 1.6 } as const;
const RUNS = 150;
const WARM_UP = 75;

type Event = Parameters<Handler>[0];

/** A protocol, or a form of one: an entry here is a row in the table. */
interface Dialect {
  readonly name: string;
  readonly route: string;
  /** The body of a request. */
  readonly body: (hosts: readonly string[], isTrustAsked: boolean) => unknown;
  /** How many hosts pass by an answer. */
  readonly passing: (answer: never) => number;
}

const DIALECTS: readonly Dialect[] = [
  {
    name: 'native',
    route: 'POST /filter',
    body: (hosts, isTrustAsked) => ({
      filter_properties: {
        instance_type: { name: 'm1.large', extra_specs: isTrustAsked ? { 'trust:trusted_host': 'trusted' } : {} },
      },
      host_states: hosts.map((nodename, i) => ({ host: `nova-compute-${i}`, nodename })),
    }),
    passing: ({ hosts }: { hosts: unknown[] }) => hosts.length,
  },
  {
    name: 'Kubernetes, names',
    route: 'POST /kubernetes/filter',
    body: (hosts, isTrustAsked) => ({ Pod: pod(isTrustAsked), Nodes: null, NodeNames: hosts }),
    passing: ({ NodeNames }: { NodeNames: unknown[] }) => NodeNames.length,
  },
  {
    name: 'Kubernetes, whole nodes',
    route: 'POST /kubernetes/filter',
    body: (hosts, isTrustAsked) => ({
      Pod: pod(isTrustAsked),
      Nodes: { metadata: {}, items: hosts.map(node) },
      NodeNames: null,
    }),
    passing: ({ Nodes }: { Nodes: { items: unknown[] } }) => Nodes.items.length,
  },
  {
    name: 'Nova external scheduler',
    route: 'POST /nova/external-scheduler',
    body: (hosts, isTrustAsked) => ({
      spec: {
        'nova_object.name': 'RequestSpec',
        'nova_object.data': {
          flavor: {
            'nova_object.data': {
              name: 'm1.large',
              extra_specs: isTrustAsked ? { 'trust:trusted_host': 'trusted' } : {},
            },
          },
        },
      },
      rebuild: false,
      hosts: hosts.map((hypervisor_hostname, i) => ({ host: `nova-compute-${i}`, hypervisor_hostname })),
      weights: Object.fromEntries(hosts.map((_, i) => [`nova-compute-${i}`, 1])),
    }),
    passing: ({ hosts }: { hosts: unknown[] }) => hosts.length,
  },
];

/** Each protocol with every host in memory, and asked for nothing, beside the JSON of the same body. */
export async function protocols(): Promise<Report> {
  const { result: report, lines } = await withReadLog(measureAll);
  const requests = report.rows.length * (WARM_UP + RUNS);
  const bound = {
    what: 'log lines that were read, of the requests that were measured',
    measured: lines / requests,
    atLeast: 1,
  };
  return { ...report, bounds: [...report.bounds, bound] };
}

async function measureAll(): Promise<Report> {
  const cloud = await Cloud.start();
  const nothing = await listenForAnything();
  try {
    const oat = await cloud.oat(answerWith(() => 'trusted'));
    const env = {
      ...cloud.env(oat, await cloud.table()),
      ATTESTATION_FLEET_SIZE: String(Math.max(...SIZES)),
      ATTESTATION_AUTH_TIMEOUT: '3600',
      ATTESTATION_REQUEST_COUNT: '1000',
    };
    const rows: Record<string, string | number>[] = [];
    const bounds: Report['bounds'][number][] = [];
    const asked = await loadFunction(env, 'trust asked');
    for (const dialect of DIALECTS) {
      for (const size of SIZES) {
        progress(`protocols: ${dialect.name}, ${size} hosts, trust asked`);
        rows.push({ ...name(dialect, size, true), ...(await measure(asked, dialect, size, true)) });
      }
    }
    // Whatever this function turned to would be a connection to nothing.
    const unasked = await loadFunction({ ...env, ...nothing.env }, 'no trust asked');
    for (const dialect of DIALECTS) {
      for (const size of SIZES) {
        progress(`protocols: ${dialect.name}, ${size} hosts, no trust asked`);
        const measured = await measure(unasked, dialect, size, false);
        rows.push({ ...name(dialect, size, false), ...measured });
        if (size === BOUND.size) {
          const what = `${dialect.name}, ${size} hosts, no trust asked: times the JSON floor`;
          bounds.push({ what, measured: measured.ratio, atMost: BOUND.atMost });
        }
      }
    }
    bounds.push({ what: 'connections made where no trust was asked', measured: nothing.connections(), atMost: 0 });
    progress('');
    return {
      bench: 'protocols: a request of each, beside JSON.parse and JSON.stringify of its body',
      rows,
      bounds,
    };
  } finally {
    await nothing.close();
    await cloud.close();
  }
}

function name(dialect: Dialect, hosts: number, isTrustAsked: boolean) {
  return { protocol: dialect.name, 'trust asked': isTrustAsked ? 'yes' : 'no', hosts };
}

async function measure(handler: Handler, { route, body, passing }: Dialect, size: number, isTrustAsked: boolean) {
  const hosts = Array.from({ length: size }, (_, i) => `compute-${i}.region-1.example.com`);
  const event = { routeKey: route, body: JSON.stringify(body(hosts, isTrustAsked)) } as Event;
  const passed = async () => passing(JSON.parse((await handler(event, newContext())).body ?? '') as never);
  // The first requests of a fleet may end before its memory is filled.
  for (let round = 0; (await passed()) !== size; round++) {
    if (round > 10) throw new Error('the hosts do not pass');
  }
  const handlerMs: number[] = [];
  const floorMs: number[] = [];
  for (let run = -WARM_UP; run < RUNS; run++) {
    const begun = performance.now();
    await handler(event, newContext());
    const between = performance.now();
    JSON.stringify(JSON.parse(event.body ?? ''));
    const ended = performance.now();
    if (run < 0) continue;
    handlerMs.push(between - begun);
    floorMs.push(ended - between);
  }
  const ratio = median(handlerMs.map((ms, i) => ms / (floorMs[i] ?? NaN)));
  return { 'ms a request': median(handlerMs), 'floor (ms)': median(floorMs), ratio };
}

function pod(isTrustAsked: boolean): object {
  return {
    metadata: {
      name: 'ledger-6f7d9c5b8-x2x7k',
      namespace: 'payments',
      uid: '0f8f5a2e-6a0c-4a53-9d1e-1f1c9a3b7c55',
      labels: { app: 'ledger', 'pod-template-hash': '6f7d9c5b8' },
      annotations: isTrustAsked ? { 'trust/trusted-host': 'trusted' } : { 'example.com/team': 'payments' },
    },
    spec: {
      containers: [{ name: 'ledger', image: 'registry.example.com/ledger:4.2' }],
      schedulerName: 'default-scheduler',
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/os', operator: 'In', values: ['linux'] }] }],
          },
        },
      },
    },
    status: { phase: 'Pending' },
  };
}

function node(name: string): object {
  return {
    metadata: { name, uid: name, resourceVersion: '9001', labels: { 'kubernetes.io/hostname': name } },
    spec: { podCIDR: '10.244.1.0/24', providerID: `metal:///${name}` },
    status: {
      capacity: { cpu: '64', memory: '263856436Ki', pods: '110' },
      conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady' }],
    },
  };
}

/** A server in place of all others, that counts who comes and answers nobody. */
async function listenForAnything() {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  return {
    env: {
      AWS_ENDPOINT_URL_DYNAMODB: url,
      AWS_ENDPOINT_URL_SECRETS_MANAGER: url,
      ATTESTATION_SERVER: '127.0.0.1',
      ATTESTATION_PORT: String(port),
    },
    connections: () => connections,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
