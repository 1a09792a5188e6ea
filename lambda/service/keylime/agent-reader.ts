import type { Clock } from '../../clock.ts';
import { PollError } from '../../errors.ts';
import type { Counts } from '../../log/counts.ts';
import { isSince, isYounger, LONG_AGO, type Moment } from '../../trust/time.ts';
import { lateAfter, slowestOf } from '../../trust/try.ts';
import type { Connection } from '../connection.ts';
import { AgentPoll, type AgentReply } from './agent-poll.ts';
import { parseAgent, parseAgents } from './verifier-answer.ts';

export interface AgentReaderOptions {
  readonly connection: Pick<Connection, 'get'>;
  /** The path prefix of `/agents/`. */
  readonly apiUrl: string;
  /** How many agents the verifier is thought to have, until it says. */
  readonly fleetSize: number;
  /** How long a poll may take. */
  readonly pollTimeoutMs: number;
  /** From 0 up to 1: in which order agents are read. */
  readonly random: () => number;
  readonly clock: Clock;
  readonly counts: Counts;
}

/** GETs at once: each is a connection of its own, and the verifier is one process of Python, or two. */
const MOST_AT_ONCE = 10;
/** Of an agent's record: some 800 bytes, its policy and metadata among them, and room for larger ones. */
const BYTES_PER_AGENT = 2 * 1024;
const FIXED_BYTES = 64 * 1024;
/** More is not read at once: it is none of a verifier that answers in time. */
const MOST_BYTES = 64 * 1024 * 1024;
/** Reading all agents costs the verifier less than single GETs where at least one of so many is wanted. */
const WORTH_ALL = 6;
/** How long it is remembered how many agents there are, and that reading all of them did not do. */
const REMEMBERED_MS = 600_000;

/** An agent to read, for one poll. */
interface Wanted {
  readonly id: string;
  readonly poll: AgentPoll;
}

/**
 * Reads agents' records from a Keylime verifier, each by a GET of its own and at most ten at once, over all polls; or all
 * that the verifier has in one GET, where so many are wanted that this costs less. Each agent has its own outcome; what
 * concerns the verifier as a whole ends a poll early.
 */
export class AgentReader {
  readonly #options: AgentReaderOptions;
  #queue: Wanted[] = [];
  /** Those that were to be read among all agents, in vain. */
  #again: Wanted[] = [];
  #running = 0;
  #isReadingAll = false;
  /** How many agents there were when all were read last. */
  #agents: { readonly count: number; readonly at: Moment } | undefined;
  #failedInBulk = LONG_AGO;
  /** How long the slowest of the last GETs of one agent took, and when the last one was answered. */
  #slowestMs = 0;
  #answered = -Infinity;

  constructor(options: AgentReaderOptions) {
    this.#options = options;
  }

  /**
   * Reads agents.
   * @param ids at least one
   * @param signal ends it early: what has come by then is the result
   * @returns a reply for each id; never rejects
   */
  read(ids: ReadonlySet<string>, signal: AbortSignal): Promise<ReadonlyMap<string, AgentReply>> {
    const poll = new AgentPoll(ids, signal);
    const cut = (): void => poll.end(new PollError('pending', 'the poll got no complete answer in its time'));
    if (signal.aborted) cut();
    signal.addEventListener('abort', cut, { once: true });
    // In another order each time: ten whose GETs hang, one in each place, would keep those behind them waiting at every poll.
    const inOrder = Array.from(ids, (id) => ({ id, at: this.#options.random() })).sort((a, b) => a.at - b.at);
    for (const { id } of inOrder) this.#queue.push({ id, poll });
    // Polls that begin together are read together.
    queueMicrotask(() => this.#next());
    return poll.done.finally(() => signal.removeEventListener('abort', cut));
  }

  #next(): void {
    if (this.#isAllWorthIt()) {
      // For polls that were aborted since, nothing is read.
      this.#queue = this.#queue.filter(({ id, poll }) => !poll.isDecided(id));
      if (this.#isAllWorthIt()) void this.#readAll(this.#queue.splice(0));
    }
    while (this.#running < MOST_AT_ONCE) {
      const wanted = this.#again.shift() ?? this.#queue.shift();
      if (wanted === undefined) return;
      if (!wanted.poll.isDecided(wanted.id)) void this.#readOne(wanted);
    }
  }

  /** Whether so many agents wait to be read that reading all takes less; not for few, which are read at once. */
  #isAllWorthIt(): boolean {
    const { clock, fleetSize } = this.#options;
    const waiting = this.#queue.length;
    if (this.#isReadingAll || this.#running >= MOST_AT_ONCE || waiting <= MOST_AT_ONCE) return false;
    const now = clock.moment();
    if (isYounger(this.#failedInBulk, REMEMBERED_MS, now)) return false;
    const known =
      this.#agents !== undefined && isYounger(this.#agents.at, REMEMBERED_MS, now) ? this.#agents : undefined;
    return waiting * WORTH_ALL >= (known?.count ?? fleetSize);
  }

  async #readOne({ id, poll }: Wanted): Promise<void> {
    this.#running++;
    poll.settle(id, await this.#get(id, poll.signal));
    this.#running--;
    this.#next();
  }

  /** Asks about one agent; gives up once others were answered while it took much longer than they did. */
  async #get(id: string, signal: AbortSignal): Promise<AgentReply> {
    const { apiUrl, clock, connection, counts } = this.#options;
    const sent = clock.moment();
    const sentAt = sent.monotonic;
    const isAnswered = new AbortController();
    const isLate = new AbortController();
    void this.#untilLate(sentAt, isAnswered.signal).then(() => isLate.abort());
    try {
      const limits = { signal: AbortSignal.any([signal, isLate.signal]), maxBytes: FIXED_BYTES + BYTES_PER_AGENT };
      const answer = await connection.get(`${apiUrl}/agents/${id}`, limits);
      const parsed = parseAgent(answer);
      this.#answered = clock.monotonic();
      this.#slowestMs = slowestOf(this.#slowestMs, this.#answered - sentAt);
      return parsed === 'no such agent' ? parsed : { ...parsed, sent, received: clock.moment(), date: answer.date };
    } catch (error) {
      if (!(error instanceof PollError)) return new PollError('unreachable', 'unknown', { cause: error });
      if (error.reason !== 'bad-reply') return error;
      // What can't be read is an answer too; why it can't be is in the log alone.
      this.#answered = clock.monotonic();
      counts.fault('HostFaults', error);
      return { record: undefined, sent, received: clock.moment(), date: undefined };
    } finally {
      isAnswered.abort();
    }
  }

  /**
   * Resolves when an answer is late while others are not, and when it has come. It may be late twice: after the first time, the
   * connection tries another way, where the one that it was sent over may be lost.
   */
  async #untilLate(sentAt: number, isAnswered: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    await clock.wait(lateAfter(this.#slowestMs), isAnswered);
    while (!isAnswered.aborted) {
      await clock.wait(lateAfter(this.#slowestMs), isAnswered);
      if (isSince(this.#answered, sentAt)) return;
    }
  }

  /** Reads all agents at once. What fails at that is read one by one: it may be the fault of any. */
  async #readAll(wanted: readonly Wanted[]): Promise<void> {
    const { apiUrl, clock, connection, counts, fleetSize, pollTimeoutMs } = this.#options;
    const limit = new AbortController();
    const isOver = new AbortController();
    const sent = clock.moment();
    this.#isReadingAll = true;
    this.#running++;
    // The other half of the time is for reading them one by one.
    void clock.wait(pollTimeoutMs / 2, isOver.signal).then(() => limit.abort());
    const stop = (): void => {
      if (wanted.every(({ poll }) => poll.isOver)) limit.abort();
    };
    for (const { poll } of wanted) poll.signal.addEventListener('abort', stop, { once: true });
    try {
      const most = Math.max(fleetSize, this.#agents?.count ?? 0, wanted.length * WORTH_ALL);
      const maxBytes = Math.min(MOST_BYTES, FIXED_BYTES + BYTES_PER_AGENT * most);
      const limits = { signal: limit.signal, maxBytes, isLong: true };
      const answer = await connection.get(`${apiUrl}/agents/?bulk=true`, limits);
      const records = parseAgents(answer);
      this.#agents = { count: Object.keys(records).length, at: clock.moment() };
      const received = clock.moment();
      for (const { id, poll } of wanted) {
        const reply = { record: records[id], sent, received, date: answer.date };
        poll.settle(id, Object.hasOwn(records, id) ? reply : 'no such agent');
      }
    } catch (error) {
      if (!wanted.every(({ poll }) => poll.isOver)) {
        this.#failedInBulk = clock.moment();
        counts.fault('BulkFaults', error);
      }
      this.#again = this.#again.concat(wanted);
    } finally {
      isOver.abort();
      for (const { poll } of wanted) poll.signal.removeEventListener('abort', stop);
      this.#isReadingAll = false;
      this.#running--;
      this.#next();
    }
  }
}
