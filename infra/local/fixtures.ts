import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';

const FOLDER = fileURLToPath(new URL('../../test/events', import.meta.url));

/** A local event fixture: an event as API Gateway builds it. */
export interface Fixture {
  readonly name: string;
  readonly event: APIGatewayProxyEventV2;
}

/** @throws {Error} saying what is wrong with the file */
export function readFixture(path: string): Fixture {
  let event: APIGatewayProxyEventV2;
  try {
    event = JSON.parse(readFileSync(path, 'utf8')) as APIGatewayProxyEventV2;
  } catch (cause) {
    throw new Error(`${path} can't be read as an event: name a file of test/events/.`, { cause });
  }
  return { name: basename(path, '.json'), event };
}

export function readFixtures(): Fixture[] {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));
  return names.sort().map((name) => readFixture(join(FOLDER, name)));
}
