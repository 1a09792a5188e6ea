import { TrustedFilterError } from '../errors.ts';

/** What an invocation did; also the fields of its log line. */
export interface RefreshResult {
  readonly kind: 'handed over' | 'schedule';
  readonly hosts: number;
  /** Those that have an attestation now that is new enough. */
  readonly attested: number;
}

/** A round that could not read all of the table, and so may not know all hosts. */
export class UnreadTableError extends TrustedFilterError {
  readonly code = 'unread-table';
  readonly status = 500;
  /** What it did with the shards that it could read. */
  readonly done: RefreshResult;

  constructor(unread: number, shards: number, done: RefreshResult) {
    super(`${unread} of ${shards} shards of the table could not be read.`);
    this.done = done;
  }
}
