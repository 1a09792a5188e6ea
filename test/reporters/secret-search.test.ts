import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { RECORD_FOLDER, type Secret, secretsIn } from './record.ts';
import SecretSearch, { searchForSecrets } from './secret-search.ts';

const LINES = [
  'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgK+x/1rPqOa8bXv0c',
  '3s/qTn+Vb1mCkJ7yhRANCAAQW5pLx2dFzKcVh9jYt6uGoMiEwXrNsAlBvCqDePfH',
  'gIyUtSaRkTmZoLn1',
];
const key: Secret = {
  kind: 'key',
  text: `-----BEGIN PRIVATE KEY-----\n${LINES.join('\n')}\nshort==\n-----END PRIVATE KEY-----\n`,
};
const certificate: Secret = { ...key, kind: 'certificate', text: key.text.replaceAll('PRIVATE KEY', 'CERTIFICATE') };
const passphrase: Secret = { kind: 'passphrase', text: 'hunter2 "and" some+more/' };
const blob: Secret = { kind: 'auth blob', text: 'Basic aHVudGVyMg==' };

const base64 = (text: string): string => Buffer.from(text).toString('base64');

describe('the search for secrets', () => {
  test.each<[string, Secret, string]>([
    ['a key as it is', key, key.text],
    ['one line of a key', key, `what is ${LINES[1]} here?`],
    ['the short last line of a key', key, `"${LINES[2]}"`],
    ['a key in JSON', key, JSON.stringify({ error: key.text })],
    ['a key in JSON in JSON', key, JSON.stringify({ error: JSON.stringify({ key: key.text }) })],
    ['a key in a URL', key, encodeURIComponent(key.text)],
    ['a key in base64', key, base64(key.text)],
    ['a secret in base64 that begins one byte later', key, base64(`"${key.text}`)],
    ['a secret in base64 that begins two bytes later', key, base64(`{"${key.text}`)],
    ['a key in base64 of URLs', key, Buffer.from(key.text).toString('base64url')],
    ['a certificate', certificate, certificate.text],
    ['a passphrase', passphrase, `it is ${passphrase.text}.`],
    ['a passphrase in JSON', passphrase, JSON.stringify(passphrase.text)],
    ['a passphrase in a URL', passphrase, encodeURIComponent(passphrase.text)],
    ['a passphrase in base64', passphrase, base64(`x${passphrase.text}y`)],
    ['an auth blob', blob, `x-auth-blob: ${blob.text}`],
  ])('finds %s, and names its kind and where it is', (_, secret, text) => {
    const harmless = { source: 'another', text: 'nothing of it' };
    expect(searchForSecrets([secret], [harmless, { source: 'the log', text }])).toEqual([
      { kind: secret.kind, source: 'the log' },
    ]);
  });

  test('finds nothing where nothing is', () => {
    const texts = ['-----BEGIN PRIVATE KEY-----', 'short==', 'MIGHAgEAMBMGByqGSM49', 'hunter2', '', '{"hosts":[]}'];
    const outputs = texts.map((text) => ({ source: 'the log', text }));
    expect(searchForSecrets([key, certificate, passphrase, blob], outputs)).toEqual([]);
  });
});

describe('the secrets of a test', () => {
  test('are all that the function reads of its secret', () => {
    const text = JSON.stringify({
      cert: certificate.text,
      key: key.text,
      passphrase: passphrase.text,
      auth_blob: blob.text,
      username: 'scheduler',
      password: passphrase.text,
    });
    const found = secretsIn(text).map(({ kind }) => kind);
    expect(found).toEqual(
      expect.arrayContaining(['certificate', 'key', 'passphrase', 'auth blob', 'username', 'password']),
    );
    expect(found).toHaveLength(6);
  });

  test('are found in a secret that is not JSON, too', () => {
    expect(secretsIn(`no JSON ${key.text}`)).toEqual([{ kind: 'key', text: key.text.trim() }]);
  });

  test.each(['', 'null', '17', '{}', '{"passphrase":"","auth_blob":null,"key":["x"]}'])('are none in %j', (text) => {
    expect(secretsIn(text)).toEqual([]);
  });

  test('are long enough to be told from anything else', () => {
    expect(() => secretsIn('{"passphrase":"secret"}')).toThrow('the passphrase of a test has at least 8 characters');
  });
});

describe('at the end of a test run', () => {
  const OPTIONS = {
    rootDir: '/here',
    nonFlagArgs: [],
    onlyChanged: false,
    onlyFailures: false,
    findRelatedTests: false,
  };
  const folderOfThisRun = process.env[RECORD_FOLDER];
  afterEach(() => {
    if (folderOfThisRun !== undefined) process.env[RECORD_FOLDER] = folderOfThisRun;
    jest.restoreAllMocks();
  });

  function run(
    files: Record<string, object>,
    options: Partial<ConstructorParameters<typeof SecretSearch>[0]> = {},
    result: object = {},
  ): { error: Error | undefined; printed: string } {
    const folder = mkdtempSync(join(tmpdir(), 'trusted-filter-record-'));
    for (const [name, entry] of Object.entries(files)) writeFileSync(join(folder, name), `${JSON.stringify(entry)}\n`);
    process.env[RECORD_FOLDER] = folder;
    const print = jest.spyOn(process.stderr, 'write').mockReturnValue(true);
    const search = new SecretSearch({ ...OPTIONS, ...options });
    search.onTestFileResult(undefined, { testFilePath: '/here/test/x.test.ts', ...result });
    search.onRunComplete(undefined, { wasInterrupted: false });
    return { error: search.getLastError(), printed: print.mock.calls.join('') };
  }

  const harmless = { source: 'an answer (test/x.test.ts)', text: '{"hosts":[]}' };

  test('the run passes where no secret came out, and says how much was searched', () => {
    const { error, printed } = run({ 'secrets-1': key, 'outputs-1': harmless, 'outputs-2': harmless });
    expect(error).toBeUndefined();
    expect(printed).toBe('Searched 2 outputs of 24 bytes for 1 secrets: none is there.\n');
  });

  test.each<[string, object, object]>([
    ['an answer (test/x.test.ts)', { ...harmless, text: LINES[0] }, {}],
    ['the console (test/x.test.ts)', harmless, { console: [{ message: key.text }] }],
    ['a failure (test/x.test.ts)', harmless, { failureMessage: `expected ${key.text}` }],
  ])('it fails where one is in %s, names it and does not show it', (source, output, result) => {
    const { error, printed } = run({ 'secrets-1': key, 'outputs-2': output }, {}, result);
    expect(error?.message).toBe(`the key of a test is in ${source}`);
    expect(printed).toContain(`the key of a test is in ${source}`);
    for (const line of LINES) expect(printed).not.toContain(line);
  });

  test.each<[string, Record<string, object>]>([
    ['nothing at all', {}],
    ['no output', { 'secrets-1': key }],
    ['no secret', { 'outputs-1': harmless }],
  ])('a run of all tests that recorded %s fails; one of some tests does not', (_, files) => {
    expect(run(files).error?.message).toMatch('not enough was recorded');
    expect(run(files, { nonFlagArgs: ['test/x.test.ts'] }).error).toBeUndefined();
    expect(run(files, { testNamePattern: 'x' }).error).toBeUndefined();
  });
});
