import { PollError } from '../../errors.ts';
import type { Answer } from '../../trust/attestation.ts';
import type { AttestationService, PollResult } from '../attestation-service.ts';
import { agentIdOf, type AgentIds, type AgentIdSettings, loadAgentIds } from './agent-ids.ts';
import type { AgentReply } from './agent-poll.ts';
import { AgentReader, type AgentReaderOptions } from './agent-reader.ts';
import { type Judgement, liesAhead, type Meaning, meaningOf, periodOf } from './agent-record.ts';

export interface KeylimeServiceOptions extends AgentReaderOptions, AgentIdSettings, Judgement {}

const NO_AGENT: Answer = { level: 'unknown', reason: 'unknown' };

/** A Keylime verifier, asked what it knows of each host's agent. Each host has an outcome of its own. */
export class KeylimeService implements AttestationService {
  readonly #options: KeylimeServiceOptions;
  readonly #reader: AgentReader;
  #agentIds: AgentIds | undefined;

  constructor(options: KeylimeServiceOptions) {
    this.#options = options;
    this.#reader = new AgentReader(options);
  }

  async doAttestation(hosts: readonly string[], signal: AbortSignal): Promise<PollResult> {
    const { clock } = this.#options;
    const ids = this.#idsOf(hosts);
    const sent = clock.moment();
    const asked = new Set([...ids.values()].filter((id) => id !== undefined));
    const replies = asked.size === 0 ? new Map<string, AgentReply>() : await this.#reader.read(asked, signal);
    const receivedAt = clock.now();
    const answers = new Map<string, Answer>();
    const failures = new Map<string, PollError>();
    let futureVtimes = 0;
    // A name that can have no agent is nobody's answer: beside it, a verifier that is silent would seem to live.
    let isAnswered = asked.size === 0;
    for (const [host, id] of ids) {
      const reply = id === undefined ? 'no such agent' : replies.get(id);
      if (reply instanceof PollError) {
        failures.set(host, reply);
        continue;
      }
      isAnswered ||= id !== undefined;
      const meaning = reply === undefined ? 'left out' : this.#meaningOf(reply, receivedAt);
      if (meaning !== 'left out') answers.set(host, meaning);
      if (typeof reply === 'object' && liesAhead(reply.record, reply.date ?? receivedAt)) futureVtimes++;
    }
    if (!isAnswered) throw worstOf(failures.values());
    return {
      answers,
      failures: new Map(Array.from(failures, ([host, error]) => [host, ofHostAlone(error)])),
      unasked: 0,
      otherCase: 0,
      futureVtimes,
      zonelessVtimes: 0,
      ...newestOf(answers.values()),
      sentAt: clock.timeOf(sent),
      receivedAt,
    };
  }

  /** Those of the hosts that have one of these agents. */
  hostsOf(agents: readonly string[], hosts: readonly string[]): string[] {
    const wanted = new Set<string | undefined>(agents);
    return Array.from(this.#idsOf(hosts))
      .filter(([, id]) => id !== undefined && wanted.has(id))
      .map(([host]) => host);
  }

  #idsOf(hosts: readonly string[]): Map<string, string | undefined> {
    const agentIds = (this.#agentIds ??= loadAgentIds(this.#options));
    return new Map(hosts.map((host) => [host, agentIdOf(host, agentIds)]));
  }

  #meaningOf(reply: Exclude<AgentReply, PollError>, judgedAt: number): Meaning {
    if (reply === 'no such agent') return NO_AGENT;
    const { clock, counts, validityMs } = this.#options;
    const { date, received, record, sent } = reply;
    const periodMs = periodOf(record);
    if (periodMs !== undefined && 2 * periodMs > validityMs) {
      counts.fault('ShortValidity', `authTimeout must be at least ${(2 * periodMs) / 1000}: twice an agent's period`);
    }
    const receipt = { sentAt: clock.timeOf(sent), receivedAt: clock.timeOf(received), date, judgedAt };
    return meaningOf(record, receipt, this.#options);
  }
}

/** Why nobody was answered: what concerns all says more than what one agent has. */
function worstOf(failures: Iterable<PollError>): PollError {
  const all = [...failures];
  return all.find(({ reason }) => reason === 'unreachable') ?? all[0] ?? new PollError('unreachable', 'unknown');
}

/** A failure while other agents were answered about: a status 500 is about the one then. */
function ofHostAlone(error: PollError): PollError {
  return error.refusedWith === undefined ? error : new PollError('refused', error.message);
}

/** The time of the newest good quote, as it counts here. */
function newestOf(answers: Iterable<Answer>): Pick<PollResult, 'newestVtime'> {
  const newest = Math.max(...Array.from(answers, ({ vtime }) => vtime ?? -Infinity));
  return newest === -Infinity ? {} : { newestVtime: newest };
}
