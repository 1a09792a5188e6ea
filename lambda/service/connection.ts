/** What is sent over a connection to the attestation service, and what comes back. */
export interface Connection {
  /**
   * Sends a JSON body and reads the whole answer.
   * @throws {PollError} where no complete answer came
   */
  post(path: string, body: string, limits: AnswerLimits): Promise<HttpAnswer>;
  /**
   * Asks without a body, a content type or a login, and reads the whole answer, with the time that its server said.
   * @throws {PollError} where no complete answer came
   */
  get(path: string, limits: AnswerLimits): Promise<HttpAnswer>;
}

export interface AnswerLimits {
  /** Aborts the request and closes its connection. */
  readonly signal: AbortSignal;
  /** The most bytes that are read of an answer. */
  readonly maxBytes: number;
  /**
   * Whether the answer takes long though all is well: it goes over a new connection, so that nobody need tell whether a kept one is
   * dead or the answer late, and its time says nothing of how long others take.
   */
  readonly isLong?: boolean;
}

export interface HttpAnswer {
  readonly status: number;
  /** Empty where the status is a fault; of one that `get` brings, its beginning. */
  readonly body: Uint8Array;
  /** What `get` found as the `Date` of the answer, epoch milliseconds; absent where there is none that can be read. */
  readonly date?: number | undefined;
}
