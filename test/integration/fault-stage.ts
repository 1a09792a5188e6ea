import { createPrivateKey, randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { TlsOptions } from 'node:tls';
import { expect, test } from '@jest/globals';
import {
  CertificateAuthority,
  type CertificateOptions,
  type KeyPair,
  LOOPBACK_NAMES,
} from '../../infra/local/certificates.ts';
import type { Reason } from '../../lambda/trust/reason.ts';
import { Cloud, SECRET_ID } from '../fakes/cloud.ts';
import { answerOf, filterEvent, reasonsOf } from '../fakes/events.ts';
import { answering, type Behaviour, type Exchange, FaultyServer } from '../fakes/faulty-server.ts';
import type { LambdaEnvironment } from '../fakes/lambda-environment.ts';
import { RsaAuthority } from '../fakes/rsa-authority.ts';
import { selfSigned } from '../fakes/self-signed.ts';

/** A connection that does not come about is given up after five seconds. */
export const MOST_MS = 20_000;
export const MEGABYTE = 1024 * 1024;
/** Longer than any pause and any validity. */
export const LATER_MS = 70_000;

export const JSON_BODY = { 'content-type': 'application/json' };
export const HTML_BODY = { 'content-type': 'text/html' };
export const HTML = '<html><body><h1>Something went wrong</h1></body></html>';

export interface Fault {
  readonly fault: string;
  readonly reason: Reason;
  readonly behaviour: () => Behaviour | Promise<Behaviour>;
  /** What the log line's faults say. */
  readonly cause: RegExp;
  /** What the line counts it as. Default: `PollsFailed`. */
  readonly counted?: 'PollsFailed' | 'HostFaults';
  readonly environment?: () => LambdaEnvironment | Promise<LambdaEnvironment>;
  /** How many bytes of an answer it may have taken in the end. */
  readonly mostBytes?: number;
  /** Ends what a change of behaviour does not. */
  readonly end?: () => Promise<void> | void;
}

export interface StageOptions {
  /** What the attestation service does while nothing is wrong: every host that is asked for passes. */
  readonly healthy: () => Behaviour;
  /** Variables of every environment, beside those that are the cloud's. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** An attestation service that can have any fault, and environments of the function that ask it. */
export class FaultStage {
  cloud!: Cloud;
  stranger!: CertificateAuthority;
  /** A server's own certificate of another kind than the client's, which the client trusts too. */
  rsa!: KeyPair;
  /** An authority of old servers, which the client trusts, too. */
  old!: RsaAuthority;
  server!: FaultyServer;
  /** Waits for a poll as long as the default configuration does. */
  patient!: LambdaEnvironment;
  /** Waits for a poll half a second. */
  hasty!: LambdaEnvironment;
  /** The variables of all of them. */
  variables!: Record<string, string>;
  /** The hands of all environments' clocks. */
  clockMs = 0;
  readonly #options: StageOptions;
  #cases = 0;

  constructor(options: StageOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const cloud = await Cloud.start();
    this.cloud = cloud;
    this.stranger = await CertificateAuthority.create('another authority');
    this.rsa = await selfSigned('RSA');
    this.old = await RsaAuthority.create('an old authority');
    // With none before it that might help.
    cloud.secretsManager.secrets.delete(SECRET_ID);
    cloud.secretsManager.secrets.set(SECRET_ID, this.#secretWithEverything());
    this.server = await FaultyServer.start(this.#options.healthy());
    this.variables = { ...cloud.env(this.server, await cloud.table()), ...this.#options.variables };
    this.patient = await cloud.environment(this.variables);
    this.hasty = await cloud.environment({ ...this.variables, ATTESTATION_POLL_TIMEOUT: '0.5' });
    // What the first poll loads is not to be counted in its half second.
    for (const environment of [this.patient, this.hasty]) await environment.invoke(filterEvent(['first.example.com']));
  }

  async close(): Promise<void> {
    await this.server.shut();
    await this.cloud.close();
  }

  /** All that a secret can have, so that the search for secrets looks for each of it in what comes of every fault. */
  #secretWithEverything(): string {
    const { authority, client } = this.cloud;
    const passphrase = randomUUID();
    const key = createPrivateKey(client.key).export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase,
    });
    const ca = [authority.cert, this.rsa.cert, this.old.cert].join('\n');
    const login = { username: randomUUID(), password: randomUUID() };
    return JSON.stringify({ cert: client.cert, key, ca, passphrase, auth_blob: randomUUID(), ...login });
  }

  /**
   * An environment to which the service has never answered: where it has, and seems to refuse the certificate now, a poll
   * waits some seconds for a new one.
   */
  readonly newcomer = async (): Promise<LambdaEnvironment> => {
    const environment = await this.cloud.environment(this.variables);
    environment.turnClock(this.clockMs);
    return environment;
  };

  /** Whom the server trusts, and what it shows. */
  readonly mutualTls = (more: TlsOptions = {}): TlsOptions => {
    const { authority, server } = this.cloud;
    return { ...server, ca: authority.cert, requestCert: true, rejectUnauthorized: true, ...more };
  };

  readonly newHost = (kind: string): string => `${kind}-${++this.#cases}.example.com`;

  /** An answer of which the whole fault consists. */
  readonly answer =
    (status: number, headers: Record<string, string> = {}, body: string | Buffer = ''): (() => Behaviour) =>
    () =>
      answering(this.mutualTls(), ({ response }) => void response.writeHead(status, headers).end(body));

  readonly talk =
    (exchange: (exchange: Exchange) => void): (() => Behaviour) =>
    () =>
      answering(this.mutualTls(), exchange);

  /** What follows the request comes as it is, byte for byte. */
  readonly raw = (text: string): (() => Behaviour) => this.talk(({ response }) => void response.socket?.end(text));

  /** Once the fault is over, and the pauses and validities that came of it too, all is as before. */
  readonly expectToPass = async (environment: LambdaEnvironment, hosts: readonly string[]): Promise<void> => {
    this.server.behave(this.#options.healthy());
    this.clockMs += LATER_MS;
    for (const each of [this.patient, this.hasty, environment]) each.turnClock(this.clockMs);
    expect(answerOf(await environment.invoke(filterEvent(hosts)))).toMatchObject({ hosts, rejected: [] });
  };

  async #expectConnectionsToClose(): Promise<void> {
    const open = this.server.connections.filter((socket) => !socket.destroyed);
    await Promise.all(open.map((socket) => new Promise((resolve) => socket.once('close', resolve))));
  }

  /** A fault that concerns a whole poll, seen by a request about one host. */
  readonly expectFault = async (fault: Fault): Promise<void> => {
    const { reason, behaviour, cause, counted = 'PollsFailed', mostBytes = MEGABYTE, end } = fault;
    const environment = (await fault.environment?.()) ?? this.patient;
    const host = this.newHost('compute');
    this.server.behave(await behaviour());
    const result = await environment.invoke(filterEvent([host]));
    expect(result.statusCode).toBe(200);
    expect(answerOf(result).hosts).toEqual([]);
    expect(reasonsOf(result)).toEqual({ [host]: reason });
    const line = await environment.lastLine();
    expect(line).toMatchObject({ passed: 0, rejected: { [reason]: 1 }, counts: { [counted]: expect.any(Number) } });
    expect(line['faults']).toEqual(
      expect.arrayContaining([{ fault: counted, cause: expect.stringMatching(cause) as unknown }]),
    );
    // Node's advice, which nobody can follow here, nor should.
    expect(JSON.stringify(line)).not.toContain('--use-');
    expect(answerOf(await environment.invoke(filterEvent([host], 'untrusted'))).hosts).toEqual([]);
    await this.#expectConnectionsToClose();
    for (const { bytesWritten } of this.server.connections) expect(bytesWritten).toBeLessThan(mostBytes);
    await end?.();
    await this.expectToPass(environment, [host]);
    if (fault.environment === this.newcomer) await environment.stop();
  };

  testFaults(faults: readonly Fault[]): void {
    test.each([...faults])('$fault → $reason', this.expectFault, MOST_MS);
  }
}

export function serverOf(authority: CertificateAuthority, more: Partial<CertificateOptions> = {}): Promise<KeyPair> {
  return authority.server({ commonName: 'localhost', names: LOOPBACK_NAMES, ...more });
}

/** The beginning of an answer that would go on. */
export function begin(response: ServerResponse, length = 1000): void {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': length });
  response.write('{"hosts":[{"host_name":');
}
