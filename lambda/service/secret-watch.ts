import { type ClientCertificate, parseSecret, type Secret, type SecretStage } from './client-certificate.ts';
import type { Clock } from '../clock.ts';
import type { Counts } from '../log/counts.ts';
import { ClientCertificateError } from '../errors.ts';
import { isSince } from '../trust/time.ts';

/** A certificate, and the version of the secret that it came with. */
export interface CertificateVersion {
  readonly version: string;
  readonly certificate: ClientCertificate;
}

export interface SecretWatchOptions {
  readonly secret: Secret;
  readonly clock: Clock;
  readonly counts: Counts;
}

/** What one stage of the secret held when it was last seen in order. */
export class SecretWatch {
  readonly #stage: SecretStage;
  readonly #options: SecretWatchOptions;
  #certificate: CertificateVersion | undefined;
  #lookedAt = -Infinity;
  #looking: Promise<void> | undefined;

  constructor(stage: SecretStage, options: SecretWatchOptions) {
    this.#stage = stage;
    this.#options = options;
  }

  get certificate(): CertificateVersion | undefined {
    return this.#certificate;
  }

  /** When the last look began, epoch milliseconds. */
  get lookedAt(): number {
    return this.#lookedAt;
  }

  /** Whether no look has begun since a time. One in the future was stamped by a clock that was set back. */
  isDue(since: number): boolean {
    return isSince(since, this.#lookedAt) || !isSince(this.#options.clock.now(), this.#lookedAt);
  }

  /**
   * Looks at the secret, unless a look has begun since a time; one that is under way is everybody's.
   * @throws {ClientCertificateError} where the look failed; that is counted, and what was seen before stays
   */
  lookSince(since: number): Promise<void> {
    if (this.#looking !== undefined) return this.#looking;
    if (!this.isDue(since)) return Promise.resolve();
    this.#lookedAt = this.#options.clock.now();
    this.#looking = this.#look().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  /** As if it had never looked. */
  forget(): void {
    this.#certificate = undefined;
    this.#lookedAt = -Infinity;
  }

  async #look(): Promise<void> {
    const { clock, counts, secret } = this.#options;
    try {
      const value = await secret.read(this.#stage);
      if (value === undefined) return void (this.#certificate = undefined);
      // Read anew each time: a certificate that was in order may have ended.
      const certificate = parseSecret(value.text, clock.now());
      if (value.version !== this.#certificate?.version) this.#certificate = { version: value.version, certificate };
    } catch (cause) {
      const isPrevious = this.#stage === 'AWSPREVIOUS';
      const error = isPrevious ? new ClientCertificateError('of the secret’s previous value', { cause }) : cause;
      counts.fault('SecretFaults', error);
      throw error;
    }
  }
}

/** For promises whose rejection was counted where it arose. */
export function ignore(): void {}
