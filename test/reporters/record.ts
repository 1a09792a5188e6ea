/**
 * What a test run leaves for the search for secrets at its end: every secret that a test made for the function, and
 * everything that came out of the function. Tests run in processes of their own, so it is kept in files of a folder, a line
 * of JSON each; without such a folder, as in a benchmark, nothing is kept.
 */
import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The variable that names the folder. */
export const RECORD_FOLDER = 'TEST_RECORD_FOLDER';

export const SECRET_KINDS = [
  'key',
  'certificate',
  'passphrase',
  'auth blob',
  'username',
  'password',
  'payload key',
  'agent id',
] as const;
export type SecretKind = (typeof SECRET_KINDS)[number];

export interface Secret {
  readonly kind: SecretKind;
  /** PEM text, or the passphrase or blob itself. */
  readonly text: string;
}

/** Something that somebody may see. */
export interface Output {
  /** What it is, and of which test file. */
  readonly source: string;
  readonly text: string;
}

export interface Recorded {
  readonly secrets: readonly Secret[];
  readonly outputs: readonly Output[];
}

const PEM = /-----BEGIN ([A-Z0-9 ]+)-----[^-]+-----END \1-----/g;
/** A shorter one would be found in what has nothing to do with it. */
const SHORTEST = 8;

/** Every secret in the secret of Secrets Manager as the function reads it; it may be damaged. Or those in what a verifier says. */
export function secretsIn(text: string): Secret[] {
  const members = membersOf(text);
  const texts = members === undefined ? [text] : Object.values(members).filter((value) => typeof value === 'string');
  const pems = texts.flatMap((each) =>
    Array.from(each.matchAll(PEM), ([pem, label = '']): Secret => {
      return { kind: label.includes('KEY') ? 'key' : 'certificate', text: pem };
    }),
  );
  const named: [SecretKind, unknown][] = [
    ['passphrase', members?.['passphrase']],
    ['auth blob', members?.['auth_blob']],
    ['username', members?.['username']],
    ['password', members?.['password']],
    ['payload key', members?.['v']],
    ['agent id', members?.['agent_id']],
  ];
  const words = named.flatMap(([kind, value]) =>
    typeof value === 'string' && value !== '' ? [{ kind, text: value }] : [],
  );
  const short = words.find((word) => word.text.length < SHORTEST);
  if (short !== undefined) throw new Error(`the ${short.kind} of a test has at least ${SHORTEST} characters`);
  return [...pems, ...words];
}

function membersOf(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** @param text the secret's text as the function reads it, or PEM */
export function recordSecrets(text: string): void {
  for (const secret of secretsIn(text)) append('secrets', secret);
}

/** @param kind what the output is, in a few words */
export function recordOutput(kind: string, text: string): void {
  append('outputs', { source: `${kind} (${testFile()})`, text });
}

export function readRecorded(folder: string): Recorded {
  const secrets: Secret[] = [];
  const outputs: Output[] = [];
  for (const name of readdirSync(folder)) {
    const rows = readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1);
    for (const row of rows) {
      if (name.startsWith('secrets')) secrets.push(JSON.parse(row) as Secret);
      else outputs.push(JSON.parse(row) as Output);
    }
  }
  return { secrets, outputs };
}

function append(name: 'secrets' | 'outputs', entry: Secret | Output): void {
  const folder = process.env[RECORD_FOLDER];
  // Each process has its own files, so that no line is written into another.
  if (folder !== undefined) appendFileSync(join(folder, `${name}-${process.pid}`), `${JSON.stringify(entry)}\n`);
}

/** The test file that runs, where one does. */
function testFile(): string {
  const { expect } = globalThis as { expect?: { getState(): { testPath?: string } } };
  return expect?.getState().testPath?.replace(/^.*\/test\//, 'test/') ?? 'no test';
}
