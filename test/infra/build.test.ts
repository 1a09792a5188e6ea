import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

const ENTRY = fileURLToPath(new URL('../../dist/filter/index.mjs', import.meta.url));

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

test('the bundle exports its handler', () => {
  expect(/export\{[^}]* as handler\}/.test(readFileSync(ENTRY, 'utf8'))).toBe(true);
  expect(loadedWith(ENTRY).size).toBeGreaterThan(1);
});

test('undici and the Secrets Manager client are in chunks of their own, which a cached answer does not load', () => {
  const loaded = [...loadedWith(ENTRY).values()].join('\n');
  // What each client has in it, and nothing that only uses it.
  const has = (text: string): boolean => loaded.includes(text);
  expect(has('com.amazonaws.dynamodb')).toBe(true);
  expect(has('com.amazonaws.secretsmanager')).toBe(false);
  expect(has('UND_ERR_SOCKET')).toBe(false);
});
