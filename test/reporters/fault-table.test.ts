import { describe, expect, test } from '@jest/globals';
import FaultTable, { renderPage } from './fault-table.ts';

const tests = [
  { ancestorTitles: ['TLS'], title: 'the certificate has expired → unreachable', status: 'passed' },
  { ancestorTitles: ['TLS'], title: 'none → the host passes', status: 'passed' },
  { ancestorTitles: ['The reply', 'its body'], title: 'a | b → bad-reply, and its neighbour passes', status: 'passed' },
];

describe('the page of faults', () => {
  test('has a section for each group of tests, and a row for each test', () => {
    const page = renderPage(tests);
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
    expect(() => renderPage([{ ...tests[0]!, title }])).toThrow(title);
  });
});

describe('after a test run', () => {
  const run = (testFilePath: string, results: typeof tests): string | undefined => {
    const table = new FaultTable({ rootDir: '/nowhere' });
    table.onTestFileResult(undefined, { testFilePath, testResults: results });
    return table.getLastError()?.message;
  };
  const FILE = '/nowhere/test/integration/faults.test.ts';

  test('a page that is not what the tests say fails it, and the message says how to make it anew', () => {
    expect(run(FILE, tests)).toContain('make it anew with "npm run docs"');
  });

  test.each<[string, string, typeof tests]>([
    ['of other tests', '/nowhere/test/integration/filter.test.ts', tests],
    ['of some of the tests', FILE, [...tests, { ...tests[0]!, status: 'pending' }]],
    ['of tests that failed', FILE, [...tests, { ...tests[0]!, status: 'failed' }]],
    ['of tests that could not run', FILE, []],
  ])('the results %s say nothing of the page', (_, testFilePath, results) => {
    expect(run(testFilePath, results)).toBeUndefined();
  });
});
