import { describe, expect, test } from '@jest/globals';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { checkClient } from '../../../lambda/http/client-subject.ts';
import { SETTINGS } from '../../../lambda/config.ts';
import { UnknownClientError } from '../../../lambda/errors.ts';

const SUBJECTS = ['CN=kube-scheduler,O=example', 'CN=nova', String.raw`CN=trust\, east+UID=7,O=example`];
const CLIENTS = SETTINGS.clients.parse(JSON.stringify(SUBJECTS));

function eventOf(subjectDN: string | number | undefined): Partial<APIGatewayProxyEventV2> {
  const authentication = subjectDN === undefined ? undefined : { clientCert: { subjectDN } };
  return { requestContext: { authentication } } as unknown as Partial<APIGatewayProxyEventV2>;
}

describe('who asks', () => {
  test('may, where the subject of the certificate is one of the clients', () => {
    for (const subject of SUBJECTS) expect(checkClient(eventOf(subject), CLIENTS)).toBe(subject);
  });

  test.each([
    ['the other order, as OpenSSL does', 'O=example,CN=kube-scheduler'],
    ['types in another case', 'cn=nova'],
    ['numbers for types', '2.5.4.3=nova'],
    ['other escapes', String.raw`uid=7+cn=trust\2C\20east,o=example`],
  ])('may, where the subject is written with %s; it is told as it was shown', (_, subject) => {
    expect(checkClient(eventOf(subject), CLIENTS)).toBe(subject);
  });

  test.each([
    ['of another subject', 'CN=somebody'],
    ['of a subject that begins alike', 'CN=nova,O=example'],
    ['of a subject in another case', 'CN=Nova'],
    ['of a subject with a part less', 'CN=kube-scheduler'],
    ['of a subject that is no name', 'CN=kube-scheduler, O=example'],
    ['of a subject that is no text', 7],
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
    if (subject) expect(String((error as Error).cause)).toContain(String(subject));
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
