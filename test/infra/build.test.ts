import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ENTRY = fileURLToPath(new URL('../../dist/filter/index.mjs', import.meta.url));
const REFRESH = fileURLToPath(new URL('../../dist/refresh/index.mjs', import.meta.url));

/** What is loaded with a module: itself, and what it imports statically. */
function loadedWith(file: string, seen = new Map<string, string>()): Map<string, string> {
  if (seen.has(file)) return seen;
  const text = readFileSync(file, 'utf8');
  seen.set(file, text);
  for (const [, chunk = ''] of text.matchAll(/(?:from|import)"(\.\/[^"]+\.mjs)"/g)) {
    loadedWith(join(dirname(file), chunk), seen);
  }
  return seen;
}

/** Whether the text is anywhere in the filter's bundle. */
function bundleHas(text: string): boolean {
  const folder = dirname(ENTRY);
  return readdirSync(folder).some((name) => readFileSync(join(folder, name), 'utf8').includes(text));
}

test.each([ENTRY, REFRESH])('the bundle %s exports its handler', (entry) => {
  expect(/export\{[^}]* as handler\}/.test(readFileSync(entry, 'utf8'))).toBe(true);
  expect(loadedWith(entry).size).toBeGreaterThan(1);
});

test('what a cached answer does not need is in chunks of its own: undici, and all clients but that of DynamoDB', () => {
  const loaded = [...loadedWith(ENTRY).values()].join('\n');
  // What each client has in it, and nothing that only uses it.
  const has = (text: string): boolean => loaded.includes(text);
  expect(has('com.amazonaws.dynamodb')).toBe(true);
  for (const service of ['secretsmanager', 'lambda', 'eventbridge']) {
    expect(has(`com.amazonaws.${service}`)).toBe(false);
    expect(bundleHas(`com.amazonaws.${service}`)).toBe(true);
  }
  expect(has('UND_ERR_SOCKET')).toBe(false);
});

test('what speaks to a Keylime verifier is in a chunk of its own, which nobody loads who asks none', () => {
  const loaded = [...loadedWith(ENTRY).values()].join('\n');
  expect(loaded).not.toContain('not_reachable');
  expect(bundleHas('not_reachable')).toBe(true);
});

test('can be read by everybody, also where whoever built it lets nobody read what he writes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'build-'));
  try {
    const modes = `umask 077 && '${process.execPath}' infra/build.ts && stat -c %a dist/filter/* dist/refresh/*`;
    const copy = `cp -r infra lambda package.json tsconfig.json ${folder} && ln -s "$PWD/node_modules" ${folder}/node_modules && cd ${folder}`;
    const told = execFileSync('bash', ['-c', `${copy} && ${modes}`], { cwd: ROOT, encoding: 'utf8' });
    expect(new Set(told.trim().split('\n'))).toEqual(new Set(['644']));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
