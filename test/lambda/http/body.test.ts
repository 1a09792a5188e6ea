import { describe, expect, test } from '@jest/globals';
import { parseBody } from '../../../lambda/http/body.ts';
import { InvalidRequestError } from '../../../lambda/errors.ts';

const base64 = (bytes: string | Uint8Array): string => Buffer.from(bytes).toString('base64');

describe('the body of an event', () => {
  test.each([
    ['as it is', { body: '{"a":"ü🚀"}' }],
    ['as it is, where the event says so', { body: '{"a":"ü🚀"}', isBase64Encoded: false }],
    ['from base64', { body: base64('{"a":"ü🚀"}'), isBase64Encoded: true }],
    ['behind a byte order mark', { body: '\uFEFF{"a":"ü🚀"}' }],
    ['behind a byte order mark, from base64', { body: base64('\uFEFF{"a":"ü🚀"}'), isBase64Encoded: true }],
    ['whatever its content type', { body: '{"a":"ü🚀"}', headers: { 'content-type': 'text/plain' } }],
  ])('is read %s', (_, event) => {
    expect(parseBody(event)).toEqual({ a: 'ü🚀' });
  });

  test.each([
    ['no body', {}, 'The body is empty; it must be a JSON object.'],
    ['an empty one', { body: '' }, 'The body is empty; it must be a JSON object.'],
    ['an empty one in base64', { body: '', isBase64Encoded: true }, 'The body is empty; it must be a JSON object.'],
    ['one that is not JSON', { body: '{"hunter2"' }, 'The body is not JSON.'],
    ['base64 that the event does not tell of', { body: base64('{}') }, 'The body is not JSON.'],
    ['one behind two byte order marks', { body: '\uFEFF\uFEFF{}' }, 'The body is not JSON.'],
    ['base64 of no JSON', { body: base64('hunter2'), isBase64Encoded: true }, 'The body is not JSON.'],
    [
      'base64 of JSON that is not UTF-8',
      { body: base64(Uint8Array.of(0x22, 0xff, 0x22)), isBase64Encoded: true },
      'The body is not JSON.',
    ],
  ])('is refused, with nothing of it shown: %s', (_, event, message) => {
    let error: unknown;
    try {
      parseBody(event);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toEqual(new InvalidRequestError(message));
    expect((error as Error).cause).toBeUndefined();
  });
});
