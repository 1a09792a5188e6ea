import { describe, expect, test } from '@jest/globals';
import FaultTable, { findPart, KEYLIME, OAT, renderPage, renderPart } from './fault-table.ts';

const tests = [
  { ancestorTitles: ['TLS'], title: 'the certificate has expired → unreachable', status: 'passed' },
  { ancestorTitles: ['TLS'], title: 'none → the host passes', status: 'passed' },
  { ancestorTitles: ['The reply', 'its body'], title: 'a | b → bad-reply, and its neighbour passes', status: 'passed' },
];

describe('the page of faults', () => {
  test('has a section for each group of tests, and a row for each test', () => {
    const page = renderPart(OAT, tests);
    expect(page.slice(page.indexOf('## '))).toBe(`## TLS

| fault                       | what the caller sees |
| --------------------------- | -------------------- |
| the certificate has expired | \`unreachable\`        |
| none                        | the host passes      |

## The reply, its body

| fault  | what the caller sees                  |
| ------ | ------------------------------------- |
| a \\| b | \`bad-reply\`, and its neighbour passes |
`);
  });

  test.each(['no arrow', 'one → two → three'])('is not made of the title %j', (title) => {
    expect(() => renderPart(OAT, [{ ...tests[0]!, title }])).toThrow(title);
  });

  test('has the tables of the second service below a heading of its own', () => {
    const [oat, keylime] = [renderPart(OAT, tests), renderPart(KEYLIME, tests)];
    const page = renderPage(oat, keylime);
    expect(page.match(/^#+ .*$/gm)).toEqual([
      '# What faults of the attestation server look like',
      '## TLS',
      '## The reply, its body',
      '## Keylime',
      '### TLS',
      '### The reply, its body',
    ]);
    expect([findPart(page, OAT), findPart(page, KEYLIME)]).toEqual([oat, keylime]);
    expect([findPart(oat, OAT), findPart(oat, KEYLIME)]).toEqual([oat, '']);
  });
});

describe('after a test run', () => {
  const run = (testFilePath: string, results: typeof tests): string | undefined => {
    const table = new FaultTable({ rootDir: '/nowhere' });
    table.onTestFileResult(undefined, { testFilePath, testResults: results });
    return table.getLastError()?.message;
  };
  const FILE = '/nowhere/test/integration/faults.test.ts';

  test.each([FILE, '/nowhere/test/integration/keylime-faults.test.ts'])(
    'a page that is not what the tests in %s say fails it, and the message says how to make it anew',
    (file) => {
      expect(run(file, tests)).toContain('make it anew with "npm run docs"');
    },
  );

  test.each<[string, string, typeof tests]>([
    ['of other tests', '/nowhere/test/integration/filter.test.ts', tests],
    ['of some of the tests', FILE, [...tests, { ...tests[0]!, status: 'pending' }]],
    ['of tests that failed', FILE, [...tests, { ...tests[0]!, status: 'failed' }]],
    ['of tests that could not run', FILE, []],
  ])('the results %s say nothing of the page', (_, testFilePath, results) => {
    expect(run(testFilePath, results)).toBeUndefined();
  });
});
