import { type ClientCertificate, parseSecret, type Secret, type SecretStage } from './client-certificate.ts';
import type { Clock } from '../clock.ts';
import type { Counts } from '../log/counts.ts';
import { ClientCertificateError } from '../errors.ts';
import { isYounger, LONG_AGO, type Moment } from '../trust/time.ts';

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
  #looked = LONG_AGO;
  #looking: Promise<void> | undefined;

  constructor(stage: SecretStage, options: SecretWatchOptions) {
    this.#stage = stage;
    this.#options = options;
  }

  get certificate(): CertificateVersion | undefined {
    return this.#certificate;
  }

  /** When the last look began. */
  get looked(): Moment {
    return this.#looked;
  }

  /** Whether no look has begun in the last so many milliseconds. */
  isDue(spanMs: number): boolean {
    return !isYounger(this.#looked, spanMs, this.#options.clock.moment());
  }

  /**
   * Looks at the secret, unless a look has begun in the last so many milliseconds; one that is under way is everybody's.
   * @throws {ClientCertificateError} where the look failed; that is counted, and what was seen before stays
   */
  look(spanMs: number): Promise<void> {
    if (this.#looking !== undefined) return this.#looking;
    if (!this.isDue(spanMs)) return Promise.resolve();
    this.#looked = this.#options.clock.moment();
    this.#looking = this.#read().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  /** As if it had never looked. */
  forget(): void {
    this.#certificate = undefined;
    this.#looked = LONG_AGO;
  }

  async #read(): Promise<void> {
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
