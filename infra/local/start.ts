/** The whole service on one machine: `npm start`. */
import { parseArgs } from 'node:util';
import { SETTINGS } from '../../lambda/config.ts';
import { ROUTE_KEYS, WEBHOOK_ROUTE } from '../../lambda/http/routes.ts';
import { type Answered, hostsOf, renderAnswers } from './answer-table.ts';
import { loadFunction, PARTS, type Part, type Service, SERVICES, startEnvironment } from './environment.ts';
import { readFixtures } from './fixtures.ts';
import { HttpApi, newContext } from './aws/http-api.ts';
import { MutualTlsFront } from './aws/mutual-tls-front.ts';
import { Schedule } from './aws/schedule.ts';
import { readEntries } from './table-view.ts';

const HELP = `Runs the service on this machine: the bundled function behind an HTTP front on 127.0.0.1, with DynamoDB, Secrets
Manager, an attestation service (OAT or Keylime), an event bus and the function refresh beside it. Sends the fixtures of
test/events/ through once, prints what was answered, and serves until Ctrl-C.

  npm start -- [options]

  --once             end after the table
  --port PORT        where to listen (default 3000; 0 for any free port)
  --mutual-tls DIR   serve https and demand a client certificate, as a domain of the stack's own does; writes
                     client.pem, client.key and ca.pem for it into DIR, and prints how curl shows them
  --schedule SECONDS refresh the hosts in use every so often, as a schedule of the stack does
  --service NAME     what attests: ${SERVICES.join(' or ')} (default oat, or what ATTESTATION_SERVICE says)
  --without PART     leave a part out: ${PARTS.join(', ')};
                     may be given more than once
  --help             this text

A part is not started where its variable names a real one: AWS_ENDPOINT_URL_DYNAMODB,
AWS_ENDPOINT_URL_SECRETS_MANAGER, ATTESTATION_SERVER, AWS_ENDPOINT_URL_EVENTBRIDGE (with
ATTESTATION_EVENT_BUS), AWS_ENDPOINT_URL_LAMBDA (with ATTESTATION_REFRESH_FUNCTION). All other
ATTESTATION_* variables reach the functions too.
`;

/** What is asked about where nothing else is said. */
const EXAMPLES = ['compute-9.example.com', 'untrusted-9.example.com'];

interface Options {
  readonly once: boolean;
  readonly port: number;
  readonly without: ReadonlySet<Part>;
  /** Absent where it is left to the variable. */
  readonly service: Service | undefined;
  readonly scheduleSeconds: number | undefined;
  /** Where to write what a client needs. */
  readonly mutualTls: string | undefined;
}

/** @throws {Error} naming the option and the rule */
function parseOptions(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      once: { type: 'boolean', default: false },
      'mutual-tls': { type: 'string' },
      port: { type: 'string', default: '3000' },
      schedule: { type: 'string' },
      service: { type: 'string' },
      without: { type: 'string', multiple: true, default: [] },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const port = /^\d{1,5}$/.test(values.port) ? Number(values.port) : NaN;
  if (!(port <= 65_535)) throw new Error('--port must be a number, 0 to 65535');
  const without = new Set<Part>();
  for (const name of values.without) {
    const part = PARTS.find((known) => known === name);
    if (part === undefined) throw new Error(`--without takes one of ${PARTS.join(', ')}`);
    without.add(part);
  }
  const service = SERVICES.find((name) => name === values.service);
  if (service !== values.service) throw new Error(`--service must be ${SERVICES.join(' or ')}`);
  const { once, 'mutual-tls': mutualTls } = values;
  const options = { once, port, without, service, mutualTls };
  if (values.schedule === undefined) return { ...options, scheduleSeconds: undefined };
  const scheduleSeconds = /^\d{1,5}$/.test(values.schedule) ? Number(values.schedule) : NaN;
  if (!(scheduleSeconds >= 1 && scheduleSeconds <= 86_400)) {
    throw new Error('--schedule must be a whole number of seconds, 1 to 86400');
  }
  if (without.has('refresh')) throw new Error('--schedule needs refresh, which --without leaves out');
  return { ...options, scheduleSeconds };
}

async function main(options: Options): Promise<void> {
  let isStopping = false;
  const stopped = new Promise<void>((resolve) => {
    // A terminal's Ctrl-C reaches npm and this process, and npm passes it on: the second must not cut the first short.
    const stop = (): void => {
      if (isStopping) return;
      isStopping = true;
      console.log('\nStopping.');
      resolve();
    };
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
  });
  const environment = await startEnvironment(process.env, options.without, options.service);
  let api: HttpApi | undefined;
  let schedule: Schedule | undefined;
  try {
    const front = options.mutualTls === undefined ? undefined : await MutualTlsFront.make(options.mutualTls);
    const handler = await loadFunction({ ...environment.env, ...front?.env });
    const routes =
      environment.env[SETTINGS.service.variable] === 'keylime' ? [...ROUTE_KEYS, WEBHOOK_ROUTE] : ROUTE_KEYS;
    api = await HttpApi.start(handler, routes, options.port, front?.server);
    const parts = [...environment.parts];
    if (options.scheduleSeconds !== undefined) {
      schedule = new Schedule(options.scheduleSeconds, environment.env);
      parts.push(`Schedule         refresh, every ${options.scheduleSeconds} s`);
    }
    console.log(['', ...parts, `HTTP API         ${api.url}`, ''].join('\n'));

    const answers: Answered[] = [];
    for (const fixture of readFixtures()) {
      const answered = handler(front?.authenticated(fixture.event) ?? fixture.event, newContext()).then((result) =>
        answers.push({ ...fixture, result }),
      );
      await Promise.race([answered, stopped]);
      // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- set by a signal
      if (isStopping) return;
    }
    const entries = await readEntries(environment.env, answers.flatMap(hostsOf));
    console.log(`\n${renderAnswers(answers, entries)}`);

    if (options.once) return;
    const { lines = [], examples = EXAMPLES } = environment.fleet ?? {};
    const curl = curlLine(api.url, front?.curlOptions, examples);
    console.log(
      [...lines, '', 'Ready. Ctrl-C ends it. Ask from another terminal:', '', curl, ''].join('\n').trimStart(),
    );
    await stopped;
  } finally {
    schedule?.close();
    await api?.close();
    await environment.close();
  }
}

function curlLine(url: string, options = '', hosts: readonly string[]): string {
  const body = {
    filter_properties: { instance_type: { extra_specs: { 'trust:trusted_host': 'trusted' } } },
    host_states: hosts.map((nodename) => ({ nodename })),
  };
  return `curl -s ${options}${url}/filter -H 'content-type: application/json' -d '${JSON.stringify(body)}'`;
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') process.stdout.write(HELP);
  else {
    await main(options);
    // A request that Ctrl-C cut short would go on, without what it needs.
    process.exit();
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  console.error('See npm start -- --help.');
  process.exitCode = 1;
}
