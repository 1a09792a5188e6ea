import { createServer } from 'node:https';
import { text } from 'node:stream/consumers';
import { setInterval } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import type { APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { CertificateAuthority, type KeyPair } from '../../infra/local/certificates.ts';
import { close, listen } from '../../infra/local/listen.ts';
import { reply } from '../../infra/local/oat-server.ts';
import { Cloud, SECRET_ID } from '../fakes/cloud.ts';
import { answerOf, filterEvent } from '../fakes/events.ts';
import type { LambdaEnvironment } from '../fakes/lambda-environment.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const PER_SECOND = 20;

let cloud: Cloud;
let next: CertificateAuthority;
let old: KeyPair;
let renewed: KeyPair;

beforeAll(async () => {
  cloud = await Cloud.start();
  next = await CertificateAuthority.create('next authority');
  old = cloud.client;
  renewed = await next.client({ commonName: 'renewed' });
});
afterAll(() => cloud.close());
beforeEach(() => {
  cloud.secretsManager.before = () => {};
  cloud.secretsManager.secrets.delete(SECRET_ID);
  keepSecret(old);
});
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of closers.splice(0)) await end();
});

function keepSecret(pair: KeyPair): void {
  cloud.secretsManager.secrets.set(SECRET_ID, JSON.stringify({ ...pair, ca: cloud.authority.cert }));
}

/** How a service refuses a client certificate that it does not take. */
type Refusal = 'in the handshake' | 'by closing the connection' | 'with HTTP status 401';

/** An attestation service whose idea of the right client certificate changes, and what it saw when. */
class Service {
  readonly port: number;
  readonly refusedAt: number[] = [];
  /** When the renewed certificate was first used. */
  renewedAt: number | undefined;
  /** How far the function's clock is ahead. */
  clockOffsetMs = 0;
  readonly takeRenewed: () => void;

  private constructor(port: number, takeRenewed: () => void) {
    this.port = port;
    this.takeRenewed = takeRenewed;
  }

  static async start(refusal: Refusal): Promise<Service> {
    const isByHandshake = refusal === 'in the handshake';
    const ca = [cloud.authority.cert, ...(isByHandshake ? [] : [next.cert])];
    const server = createServer({ ...cloud.server, ca, requestCert: true, rejectUnauthorized: true });
    let taken = old;
    const service = new Service(await listen(server), () => {
      taken = renewed;
      if (!isByHandshake) return;
      server.setSecureContext({ ...cloud.server, ca: next.cert });
      // As a service does that is started anew.
      server.closeAllConnections();
    });
    closers.push(() => close(server));
    const pemOf = new WeakMap<object, string>();
    server.on('secureConnection', (socket: TLSSocket) => {
      pemOf.set(socket, socket.getPeerX509Certificate()?.toString().trim() ?? '');
    });
    server.on('tlsClientError', () => service.refusedAt.push(Date.now()));
    server.on('request', (request, response) => {
      const shown = pemOf.get(request.socket);
      if (!isByHandshake && shown !== taken.cert.trim()) {
        service.refusedAt.push(Date.now());
        if (refusal === 'with HTTP status 401') response.writeHead(401).end();
        else request.socket.destroy();
        return;
      }
      if (shown === renewed.cert.trim()) service.renewedAt ??= Date.now();
      const answer = async (): Promise<void> => {
        const { hosts } = JSON.parse(await text(request)) as { hosts: string[] };
        const vtime = new Date(Date.now() + service.clockOffsetMs).toISOString();
        reply(
          response,
          hosts.map((host) => ({ host_name: host, trust_lvl: 'trusted', vtime })),
        );
      };
      answer().catch(() => response.destroy());
    });
    return service;
  }
}

async function environmentFor(service: Service): Promise<LambdaEnvironment> {
  return cloud.environment(cloud.env(service, await cloud.table()));
}

/**
 * Sends requests at a steady rate, each about a host of its own, and expects every host to pass.
 * @param events what happens when, in seconds from the start; told when all that were sent by then are answered, and waited for
 */
async function expectNoRequestFails(
  environment: LambdaEnvironment,
  seconds: number,
  events: Readonly<Record<number, (answered: Promise<unknown>) => unknown>>,
): Promise<void> {
  const answers: Promise<APIGatewayProxyStructuredResultV2>[] = [];
  const ticks = setInterval(SECOND / PER_SECOND);
  for (let sent = 0; sent < seconds * PER_SECOND; sent++) {
    await events[sent / PER_SECOND]?.(Promise.all(answers));
    answers.push(environment.invoke(filterEvent([`compute-${sent}.example.com`])));
    await ticks.next();
  }
  await ticks.return?.();
  const passed = (await Promise.all(answers)).map((answer) => answerOf(answer).hosts);
  expect(passed).toEqual(answers.map((_answer, index) => [`compute-${index}.example.com`]));
}

/** What the function counted, over all requests so far. */
async function countsOf(environment: LambdaEnvironment): Promise<Record<string, number>> {
  await environment.lastLine();
  const sums: Record<string, number> = {};
  for (const { counts } of environment.lines) {
    for (const [name, count] of Object.entries((counts ?? {}) as Record<string, number>)) {
      sums[name] = (sums[name] ?? 0) + count;
    }
  }
  return sums;
}

function expectRenewedInTime({ refusedAt: [first = NaN], renewedAt = NaN }: Service): void {
  expect(renewedAt - first).toBeLessThan(6 * SECOND);
}

describe('while the service is polled 20 times a second, no request fails', () => {
  const refusals: Refusal[] = ['in the handshake', 'by closing the connection', 'with HTTP status 401'];

  test.each(refusals)(
    'where the secret is rotated, and a second later the service refuses the old certificate %s',
    async (refusal) => {
      const service = await Service.start(refusal);
      const environment = await environmentFor(service);
      await expectNoRequestFails(environment, 3, { 1: () => keepSecret(renewed), 2: service.takeRenewed });
      expectRenewedInTime(service);
      expect(await countsOf(environment)).toMatchObject({ CertificateChanges: 1 });
    },
    30 * SECOND,
  );

  test.each(refusals)(
    'where the service refuses the old certificate %s, and the secret is rotated two seconds later',
    async (refusal) => {
      const service = await Service.start(refusal);
      const environment = await environmentFor(service);
      await expectNoRequestFails(environment, 4, { 1: service.takeRenewed, 3: () => keepSecret(renewed) });
      expectRenewedInTime(service);
      expect(await countsOf(environment)).toMatchObject({ CertificateChanges: 1 });
    },
    30 * SECOND,
  );

  /** Lets so much time pass that the secret is looked at. A request that is under way would have no time left then. */
  function passFiveMinutes(environment: LambdaEnvironment, service: Service): void {
    service.clockOffsetMs = 5 * MINUTE;
    environment.turnClock(service.clockOffsetMs);
  }

  test.each(refusals)(
    'where the rotated secret is not known to the service yet, which refuses it %s',
    async (refusal) => {
      const service = await Service.start(refusal);
      const environment = await environmentFor(service);
      await expectNoRequestFails(environment, 2, {
        1: async (answered) => {
          await answered;
          keepSecret(renewed);
          passFiveMinutes(environment, service);
        },
      });
      expect(service.refusedAt.length).toBeGreaterThan(0);
      expect(service.renewedAt).toBeUndefined();
      expect(await countsOf(environment)).toMatchObject({ CertificateChanges: 2 });
    },
    30 * SECOND,
  );

  test('where the rotated secret is of no use, which the log names', async () => {
    const service = await Service.start('in the handshake');
    const environment = await environmentFor(service);
    await expectNoRequestFails(environment, 2, {
      1: async (answered) => {
        await answered;
        keepSecret({ cert: renewed.cert, key: old.key });
        passFiveMinutes(environment, service);
      },
    });
    expect(await countsOf(environment)).toMatchObject({ SecretFaults: 1 });
    expect(environment.output).toMatch(/SecretFaults.*does not belong to/);
  }, 30_000);

  test('where Secrets Manager does not answer when the secret is looked at, and then is down', async () => {
    const service = await Service.start('in the handshake');
    const environment = await environmentFor(service);
    const held = Promise.withResolvers<undefined>();
    await expectNoRequestFails(environment, 4, {
      1: async (answered) => {
        await answered;
        cloud.secretsManager.before = () => held.promise;
        passFiveMinutes(environment, service);
      },
      3: () => held.reject(new Error('down')),
    });
    expect(await countsOf(environment)).toMatchObject({ SecretFaults: 1 });
    expect(environment.output).toMatch(/SecretFaults.*could not be read from Secrets Manager: InternalServiceError/);
  }, 30_000);
});
