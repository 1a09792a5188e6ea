/**
 * A young process that answers requests about hosts of which it knows all: loads the bundle (first argument), is sent one
 * `Task`, and sends back what it `Measured`. What the function prints goes to this process's own stdout, as in Lambda.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { type Handler, newContext } from '../../infra/local/aws/http-api.ts';
import { answerOf, filterEvent } from '../fakes/events.ts';

/** What is measured: requests about hosts, of which those whose names begin with `bad` are rejected. */
export interface Task {
  readonly hosts: readonly string[];
  /** How many requests count as the first ones of the process, and how many are measured once it is warm. */
  readonly first: number;
  readonly warmUp: number;
  readonly runs: number;
  /** Before each request and each floor, milliseconds. */
  readonly pauseMs: number;
}

/** How long the handler and the floor took for each request, in milliseconds. */
export interface Samples {
  readonly handlerMs: readonly number[];
  readonly floorMs: readonly number[];
}

/** What came of a task. */
export interface Measured {
  readonly first: Samples;
  readonly warm: Samples;
  /** How many requests were answered in all. */
  readonly requests: number;
}

type Event = Parameters<Handler>[0];

const { handler } = (await import(pathToFileURL(process.argv[2] ?? '').href)) as { handler: Handler };

async function measure({ hosts, first, warmUp, runs, pauseMs }: Task): Promise<Measured> {
  const event = filterEvent(hosts) as Event;
  const known = new Map(hosts.map((host) => [host, !host.startsWith('bad')]));
  const passing = hosts.filter((host) => known.get(host)).length;
  let requests = 1;
  // A fleet this size may need more than one request's time to fill the memory.
  for (; answerOf(await handler(event, newContext())).hosts.length !== passing; requests++) {
    if (requests > 10) throw new Error('the hosts do not pass');
  }
  const pause = (): Promise<unknown> => (pauseMs === 0 ? new Promise(setImmediate) : sleep(pauseMs));
  const take = async (number: number): Promise<Samples> => {
    const handlerMs: number[] = [];
    const floorMs: number[] = [];
    for (let run = 0; run < number; run++) {
      const context = newContext();
      await pause();
      const begun = performance.now();
      await handler(event, context);
      handlerMs.push(performance.now() - begun);
      await pause();
      const begunFloor = performance.now();
      floor(event.body ?? '', known);
      floorMs.push(performance.now() - begunFloor);
    }
    requests += number;
    return { handlerMs, floorMs };
  };
  const firstOnes = await take(first);
  await take(warmUp);
  return { first: firstOnes, warm: await take(runs), requests };
}

/** The least: the body parsed, every host looked up, the answer written. */
function floor(body: string, known: ReadonlyMap<string, boolean>): string {
  const { host_states } = JSON.parse(body) as { host_states: { nodename: string }[] };
  const hosts: string[] = [];
  const rejected: string[] = [];
  for (const { nodename } of host_states) (known.get(nodename) === true ? hosts : rejected).push(nodename);
  return JSON.stringify({ hosts, rejected });
}

process.once('message', (task: Task) => {
  void measure(task).then((measured) => process.send?.(measured, () => process.disconnect()));
});
