import { TrustedFilterError } from '../errors.ts';

/** What an invocation did; also the fields of its log line. */
export interface RefreshResult {
  readonly kind: 'handed over' | 'schedule' | 'hint';
  readonly hosts: number;
  /** Those that have an attestation now that holds, be it an older one. */
  readonly attested: number;
  /** Those whose attestation the table has since this invocation. */
  readonly renewed: number;
  /** Those that were to be attested and were not. */
  readonly due: number;
  /** How old the oldest of the attestations is that hold, in seconds since its receipt; absent where none does. */
  readonly oldest_age_s?: number | undefined;
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
