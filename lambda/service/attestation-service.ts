import type { PollError } from '../errors.ts';
import type { Answer } from '../trust/attestation.ts';

/** What attests hosts: OpenAttestation, or a Keylime verifier. Hosts in; of each an answer, or why there is none, out. */
export interface AttestationService {
  /**
   * Polls hosts.
   * @param hosts at least one, each once
   * @param signal aborts it
   * @throws {PollError} where the service answered about nobody, with the reason
   */
  doAttestation(hosts: readonly string[], signal: AbortSignal): Promise<PollResult>;
}

/** What a service said of the hosts of a poll, and how far it deviates from what was asked. */
export interface PollReply {
  /** Only hosts that were asked for; one that is neither here nor in `failures` was not in the reply. */
  readonly answers: ReadonlyMap<string, Answer>;
  /** Hosts that got no answer while others may have, each for a reason of its own. None where hosts are answered together. */
  readonly failures?: ReadonlyMap<string, PollError>;
  /** Entries about hosts that nobody asked for, or about no host at all: dropped. */
  readonly unasked: number;
  /** Those of them that name a host which was asked for in other letters: upper case for lower, or the reverse. */
  readonly otherCase: number;
  /** The latest usable time among the answers; absent where none has one. */
  readonly newestVtime?: number;
  /** Hosts whose vtime lies after the receipt: it gains nothing. */
  readonly futureVtimes: number;
  /** Hosts whose vtime states no zone: it says nothing of when. */
  readonly zonelessVtimes: number;
}

/** A poll that was answered: when it was sent, when its answer was complete, and what that says. */
export interface PollResult extends PollReply {
  readonly sentAt: number;
  readonly receivedAt: number;
}
