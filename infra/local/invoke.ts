/** Sends one fixture to the bundled function, everything it needs brought up beside it: `npm run invoke`. */
import { loadFunction, type LocalEnvironment, startEnvironment } from './environment.ts';
import { readFixture } from './fixtures.ts';
import { newContext } from './aws/http-api.ts';

const USAGE = 'Usage: npm run invoke -- test/events/NAME.json';
const HELP = `${USAGE}

Sends one event, such as test/events/trusted-wanted.json, to the bundled function and prints the answer, below the
function's log lines. The parts beside it, and the variables that replace them, are those of npm start -- --help.
`;

const [path, ...rest] = process.argv.slice(2);
if (path === '--help') {
  process.stdout.write(HELP);
} else if (path === undefined || path.startsWith('-') || rest.length > 0) {
  console.error(USAGE);
  process.exitCode = 2;
} else {
  let environment: LocalEnvironment | undefined;
  try {
    const { event } = readFixture(path);
    environment = await startEnvironment(process.env, new Set());
    const handler = await loadFunction(environment.env);
    const { statusCode, headers, body } = await handler(event, newContext());
    console.log(JSON.stringify({ statusCode, headers, body: JSON.parse(body ?? 'null') as unknown }, null, 2));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  } finally {
    await environment?.close();
  }
}
