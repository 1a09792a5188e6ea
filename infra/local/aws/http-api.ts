import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { TLSSocket } from 'node:tls';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import type { KeyPair } from '../certificates.ts';
import { close, listen } from '../listen.ts';

/** Lambda's context, without what Node's runtime no longer offers. */
export type InvocationContext = Omit<Context, 'done' | 'fail' | 'succeed'>;

export type Handler = (
  event: APIGatewayProxyEventV2,
  context: InvocationContext,
) => Promise<APIGatewayProxyStructuredResultV2>;

/** What API Gateway takes of a body. */
const LARGEST_BODY = 10 * 1024 * 1024;
const FUNCTION_TIMEOUT_MS = 29_000;
/** Bodies of these types reach a function as text, all others in base64. */
const TEXT_TYPES = /^\s*(text\/|application\/(json|xml|javascript|x-www-form-urlencoded)\b|[^;]*\+(json|xml)\b)/i;

/** An HTTP API on this machine: builds the events that API Gateway would (payload 2.0), and renders the answers. */
export class HttpApi {
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server, port: number, scheme: string) {
    this.#server = server;
    this.url = `${scheme}://127.0.0.1:${port}`;
  }

  /**
   * @param routes route keys that the API has, `$default` among them where it has one
   * @param mutualTls has it demand client certificates of an authority, as a domain with a truststore does
   */
  static async start(
    handler: Handler,
    routes: readonly string[],
    port: number,
    mutualTls?: KeyPair & { readonly ca: string },
  ): Promise<HttpApi> {
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      void serve(handler, routes, request, response).catch((error: unknown) => {
        console.error(error);
        if (!response.headersSent) response.writeHead(500, { 'content-type': 'application/json' });
        response.end('{"message":"Internal Server Error"}');
      });
    };
    const server =
      mutualTls === undefined
        ? createServer(answer)
        : createTlsServer({ ...mutualTls, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.2' }, answer);
    try {
      return new HttpApi(server, await listen(server, port), mutualTls === undefined ? 'http' : 'https');
    } catch (cause) {
      throw new Error(`Port ${port} is not free: choose another with --port, or --port 0 for any.`, { cause });
    }
  }

  close(): Promise<void> {
    return close(this.#server);
  }
}

async function serve(
  handler: Handler,
  routes: readonly string[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await buffer(request);
  if (body.length > LARGEST_BODY) {
    response.writeHead(413, { 'content-type': 'application/json' }).end('{"message":"Request Entity Too Large"}');
    return;
  }
  const event = toEvent(request, body, routes);
  const result = await handler(event, newContext());
  const { statusCode = 200, headers = {}, body: text = '', isBase64Encoded = false } = result;
  const names = Object.entries(headers).map(([name, value]) => [name, String(value)] as const);
  response.writeHead(statusCode, Object.fromEntries(names)).end(Buffer.from(text, isBase64Encoded ? 'base64' : 'utf8'));
}

export interface ContextOptions {
  readonly functionName?: string | undefined;
  /** What is left of the function's time-out; that of the filter unless given. */
  readonly remainingMs?: number | undefined;
  readonly requestId?: string | undefined;
}

/** The context of an invocation that begins now. */
export function newContext(options: ContextOptions = {}): InvocationContext {
  const { functionName = 'filter', remainingMs = FUNCTION_TIMEOUT_MS, requestId = randomUUID() } = options;
  // By a clock that nobody sets, as Lambda counts it.
  const endsAt = performance.now() + remainingMs;
  return {
    awsRequestId: requestId,
    functionName,
    functionVersion: '$LATEST',
    invokedFunctionArn: `arn:aws:lambda:us-east-1:000000000000:function:${functionName}`,
    memoryLimitInMB: '1024',
    logGroupName: `/aws/lambda/${functionName}`,
    logStreamName: 'local',
    callbackWaitsForEmptyEventLoop: false,
    getRemainingTimeInMillis: () => Math.max(0, endsAt - performance.now()),
  };
}

function toEvent(request: IncomingMessage, body: Buffer, routes: readonly string[]): APIGatewayProxyEventV2 {
  const method = request.method ?? 'GET';
  const [target = '/', query = ''] = (request.url ?? '/').split(/\?(.*)/s, 2);
  const path = decode(target);
  const routeKey = [`${method} ${path}`, `ANY ${path}`].find((key) => routes.includes(key)) ?? '$default';
  const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
  const isText = TEXT_TYPES.test(request.headers['content-type'] ?? 'text/plain');
  const now = new Date();
  const parameters = Object.fromEntries(new URLSearchParams(query));
  return {
    version: '2.0',
    routeKey,
    rawPath: path,
    rawQueryString: query,
    headers,
    ...(query === '' ? {} : { queryStringParameters: parameters }),
    requestContext: {
      accountId: '000000000000',
      apiId: 'local',
      domainName: request.headers.host ?? 'localhost',
      domainPrefix: 'local',
      ...(request.socket instanceof TLSSocket
        ? { authentication: { clientCert: clientCertificate(request.socket) } }
        : {}),
      http: {
        method,
        path,
        protocol: `HTTP/${request.httpVersion}`,
        sourceIp: request.socket.remoteAddress ?? '127.0.0.1',
        userAgent: request.headers['user-agent'] ?? '',
      },
      requestId: randomUUID(),
      routeKey,
      stage: '$default',
      time: now.toUTCString(),
      timeEpoch: now.getTime(),
    },
    ...(body.length === 0 ? {} : { body: body.toString(isText ? 'utf8' : 'base64') }),
    isBase64Encoded: body.length > 0 && !isText,
  };
}

/** What API Gateway says of a client's certificate; the subject with its parts in the order of the certificate. */
function clientCertificate(socket: TLSSocket) {
  const certificate = socket.getPeerX509Certificate();
  return {
    clientCertPem: certificate?.toString() ?? '',
    subjectDN: oneLine(certificate?.subject),
    issuerDN: oneLine(certificate?.issuer),
    serialNumber: certificate?.serialNumber ?? '',
    validity: { notBefore: certificate?.validFrom ?? '', notAfter: certificate?.validTo ?? '' },
  };
}

/** A name of a certificate as Node has it: a line a part, and spaces around the `+` within one; else as RFC 4514 has it. */
export function oneLine(name = ''): string {
  return name.replaceAll(' + ', '+').split('\n').join(',');
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
