import { describe, expect, test } from '@jest/globals';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { checkClient } from '../../../lambda/http/client-subject.ts';
import { UnknownClientError } from '../../../lambda/errors.ts';

const CLIENTS = new Set(['CN=kube-scheduler,O=example', 'CN=nova']);

function eventOf(subjectDN: string | undefined): Partial<APIGatewayProxyEventV2> {
  const authentication = subjectDN === undefined ? undefined : { clientCert: { subjectDN } };
  return { requestContext: { authentication } } as unknown as Partial<APIGatewayProxyEventV2>;
}

describe('who asks', () => {
  test('may, where the subject of the certificate is one of the clients', () => {
    for (const subject of CLIENTS) expect(checkClient(eventOf(subject), CLIENTS)).toBe(subject);
  });

  test.each([
    ['of another subject', 'CN=somebody'],
    ['of a subject that begins alike', 'CN=nova,O=example'],
    ['of a subject in another case', 'cn=nova'],
    ['of a subject in another order', 'O=example,CN=kube-scheduler'],
    ['of a subject with a space more', 'CN=kube-scheduler, O=example'],
    ['of an empty subject', ''],
    ['that is none', undefined],
  ])('may not with a certificate %s; the log alone has its subject', (_, subject) => {
    let error: unknown;
    try {
      checkClient(eventOf(subject), CLIENTS);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(UnknownClientError);
    expect(error).toMatchObject({ status: 403, message: 'The client certificate is none of those that may ask.' });
    if (subject) expect(String((error as Error).cause)).toContain(subject);
  });

  test.each([
    ['a request context', {}],
    ['authentication', { requestContext: {} }],
    ['a certificate', { requestContext: { authentication: {} } }],
    ['a certificate, with null', { requestContext: { authentication: { clientCert: null } } }],
    ['a subject', { requestContext: { authentication: { clientCert: {} } } }],
  ])('may not without %s', (_, event) => {
    expect(() => checkClient(event as unknown as Partial<APIGatewayProxyEventV2>, CLIENTS)).toThrow(UnknownClientError);
  });

  test('is API Gateway’s to say where no clients are named', () => {
    expect(checkClient(eventOf('CN=nova'), undefined)).toBeUndefined();
  });
});
