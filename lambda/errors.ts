import type { Reason } from './trust/reason.ts';

/** Base of the errors that the handler turns into answers; `code` is stable, messages are for people. */
export abstract class TrustedFilterError extends Error {
  abstract readonly code: string;
  abstract readonly status: number;
  /** Further response headers that the status calls for. */
  readonly headers: Readonly<Record<string, string>> = {};

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TrustedFilterError';
  }
}

/** The request is not of the protocol's shape; the message names the member and the rule. */
export class InvalidRequestError extends TrustedFilterError {
  readonly code = 'invalid-request';
  readonly status = 400;
}

export class TooManyHostsError extends TrustedFilterError {
  readonly code = 'too-many-hosts';
  readonly status = 413;
}

export class UnknownRouteError extends TrustedFilterError {
  readonly code = 'unknown-route';
  readonly status = 404;
}

export class MethodNotAllowedError extends TrustedFilterError {
  readonly code = 'method-not-allowed';
  readonly status = 405;
  override readonly headers: Readonly<Record<string, string>>;

  constructor(message: string, allow: string) {
    super(message);
    this.headers = { allow };
  }
}

/** Whoever asks is none of the clients that may. */
export class UnknownClientError extends TrustedFilterError {
  readonly code = 'unknown-client';
  readonly status = 403;

  constructor(cause: unknown) {
    super('The client certificate is none of those that may ask.', { cause });
  }
}

/** A verifier's hint could not be passed on: it tries again. */
export class HintNotTakenError extends TrustedFilterError {
  readonly code = 'hint-not-taken';
  readonly status = 503;

  constructor() {
    super('The hint could not be passed on; the log says why. Send it again.');
  }
}

/** Every fault of the configuration at once, each by the name of its setting; values are not repeated. */
export class ConfigurationError extends TrustedFilterError {
  readonly code = 'configuration';
  readonly status = 500;
  readonly faults: readonly string[];

  constructor(faults: readonly string[], options?: ErrorOptions) {
    super(`The configuration has faults: ${faults.join('; ')}.`, options);
    this.faults = faults;
  }
}

/** What a caller learns of a fault of our own; the cause is for the log. */
export class InternalError extends TrustedFilterError {
  readonly code = 'internal-error';
  readonly status = 500;

  constructor(cause: unknown) {
    super('The request failed for a reason that is not its own; the log has the cause under this request id.', {
      cause,
    });
  }
}

/** A poll that brought no attestation of any host, for one reason. */
export class PollError extends Error {
  readonly reason: Reason;
  /** The HTTP status with which the service refused the hosts, however many: 400 or 500. */
  readonly refusedWith: number | undefined;

  constructor(reason: Reason, message: string, options?: ErrorOptions & { readonly refusedWith?: number }) {
    super(message, options);
    this.name = 'PollError';
    this.reason = reason;
    this.refusedWith = options?.refusedWith;
  }
}

/** The client certificate could not be loaded; the message says why and shows nothing of the secret. */
export class ClientCertificateError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ClientCertificateError';
  }
}

/** DynamoDB did not do what was asked within the time there was. */
export class TableError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TableError';
  }
}
