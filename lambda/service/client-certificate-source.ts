import type { Secret } from './client-certificate.ts';
import { waitUntil, type Clock } from '../clock.ts';
import type { Counts } from '../log/counts.ts';
import { ageOf } from '../trust/time.ts';
import { ignore, SecretWatch, type CertificateVersion } from './secret-watch.ts';

/** How old a look at the secret may be. */
const LOOK_EVERY_MS = 300_000;
/** The shortest pause between two looks that refusals ask for. */
const REFUSAL_PAUSE_MS = 5_000;
/** How long a poll waits for a look when it has a certificate. */
const LOOK_WAIT_MS = 1_000;
const DAY_MS = 86_400_000;

export interface ClientCertificateSourceOptions {
  readonly secret: Secret;
  readonly clock: Clock;
  readonly counts: Counts;
}

/** The certificates that the service may have refused to one poll. */
export class Refused {
  readonly versions = new Set<string>();
  hasWaited = false;
}

/** Which client certificate polls use: the secret's current one, or the previous one while the service takes only that. */
export class ClientCertificateSource {
  readonly #options: ClientCertificateSourceOptions;
  readonly #current: SecretWatch;
  readonly #previous: SecretWatch;
  /** The last certificate of AWSCURRENT. */
  #seen: CertificateVersion | undefined;
  #inUse: CertificateVersion | undefined;
  /** Versions with which the service ever answered. */
  readonly #accepted = new Set<string>();

  constructor(options: ClientCertificateSourceOptions) {
    this.#options = options;
    this.#current = new SecretWatch('AWSCURRENT', options);
    this.#previous = new SecretWatch('AWSPREVIOUS', options);
  }

  /**
   * The certificate for the first attempt of a poll.
   * @throws {ClientCertificateError} where there never was a good one, saying what is wrong with the secret or with reading it
   */
  async get(): Promise<CertificateVersion> {
    const { clock } = this.#options;
    const by = clock.monotonic() + LOOK_WAIT_MS;
    if (this.#inUse === undefined) {
      await this.#look(0);
    } else if (this.#current.isDue(LOOK_EVERY_MS)) {
      const looked = this.#look(0).then(() => this.#use(this.#current.certificate));
      await waitUntil(by, looked.catch(ignore), clock);
    }
    if (this.#inUse === undefined) throw new Error('a look that found no certificate did not say why');
    return this.#inUse;
  }

  /**
   * A certificate that may help a poll after a refusal: the current one, or else the previous one. Where the service knew
   * one of those that it refuses now, the new one may be a moment away, and is waited for once.
   * @returns undefined where there is none that the poll has not tried
   */
  async getAnother(refused: Refused, signal: AbortSignal): Promise<CertificateVersion | undefined> {
    const { clock } = this.#options;
    await this.#look(REFUSAL_PAUSE_MS).catch(ignore);
    const next = await this.#untried(refused);
    const wasAccepted = [...refused.versions].some((version) => this.#accepted.has(version));
    if (next !== undefined || refused.hasWaited || !wasAccepted) return next;
    refused.hasWaited = true;
    const last = this.#current.looked;
    await clock.wait(REFUSAL_PAUSE_MS - ageOf(last, clock.moment()), signal);
    if (signal.aborted) return undefined;
    // Where somebody else has begun a look meanwhile, that one is waited for.
    await this.#look(this.#current.looked === last ? 0 : Infinity).catch(ignore);
    return this.#untried(refused);
  }

  /**
   * To be told of every certificate with which the service answered.
   * @param isAnother whether it took the place of one that was refused
   */
  accepted(certificate: CertificateVersion, isAnother: boolean): void {
    this.#accepted.add(certificate.version);
    const known = [this.#current.certificate, this.#previous.certificate];
    const isKnown = known.some((one) => one?.version === certificate.version);
    // The current secret may name other authorities than when the poll was sent.
    const ca = this.#current.certificate?.certificate.ca ?? certificate.certificate.ca;
    if (isAnother && isKnown && ca === certificate.certificate.ca) this.#use(certificate);
  }

  measure({ certificate }: CertificateVersion): void {
    const { clock, counts } = this.#options;
    counts.measure('CertificateDaysLeft', Math.round(((certificate.notAfter - clock.now()) / DAY_MS) * 100) / 100);
  }

  /** Looks at AWSCURRENT, unless a look has begun in the last so many milliseconds; a new one is used at once. */
  async #look(spanMs: number): Promise<void> {
    try {
      await this.#current.look(spanMs);
    } finally {
      const { certificate } = this.#current;
      if (certificate !== this.#seen) {
        this.#seen = certificate;
        this.#previous.forget();
        this.#use(certificate);
      }
      if (this.#inUse !== undefined) this.measure(this.#inUse);
    }
  }

  async #untried({ versions }: Refused): Promise<CertificateVersion | undefined> {
    const isUntried = (one: CertificateVersion | undefined): boolean => one !== undefined && !versions.has(one.version);
    if (isUntried(this.#current.certificate)) return this.#current.certificate;
    await this.#previous.look(REFUSAL_PAUSE_MS).catch(ignore);
    const previous = this.#previous.certificate;
    if (previous === undefined || !isUntried(previous)) return undefined;
    // Whom to trust is the current secret's to say: an authority that was taken out must not come back by a refusal.
    const ca = this.#current.certificate?.certificate.ca ?? previous.certificate.ca;
    return { version: previous.version, certificate: { ...previous.certificate, ca } };
  }

  #use(certificate: CertificateVersion | undefined): void {
    if (certificate === undefined || isSame(certificate, this.#inUse)) return;
    if (this.#inUse !== undefined) this.#options.counts.add('CertificateChanges');
    this.#inUse = certificate;
  }
}

/** Whether two are one: a version that was the previous one may have had the authorities of a later one. */
function isSame(a: CertificateVersion, b: CertificateVersion | undefined): boolean {
  return a.version === b?.version && a.certificate.ca === b.certificate.ca;
}
