/** The order of the rooms of `lambda/`: who may import whom, types included. docs/architecture.md draws it. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import ts from 'typescript';

const LAMBDA = fileURLToPath(new URL('../../lambda/', import.meta.url));

/** From the top to the bottom: a file imports from its own room and from lower ones. Rooms of one row do not know each other. */
const ROWS: readonly (readonly string[])[] = [
  ['entries'],
  ['http', 'refreshing'],
  ['protocols'],
  ['attestation'],
  ['polling'],
  ['events'],
  ['service/oat', 'service/keylime'],
  ['table', 'service'],
  ['log'],
  ['ground'],
  ['trust'],
];

/** Of the files at the root, those that compose; the others are ground that every room stands on. */
const ENTRIES = new Set(['filter.ts', 'refresh.ts', 'parts.ts', 'config.ts', 'keylime-settings.ts']);
const MOST_AT_ROOT = 10;
const MOST_IN_A_ROOM = 18;
const MOST_LINES = 300;

const FILES = globSync('**/*.ts', { cwd: LAMBDA }).sort();
const IMPORTS = new Map(FILES.map((file) => [file, importsOf(file)]));

function importsOf(file: string): string[] {
  const { importedFiles } = ts.preProcessFile(readFileSync(join(LAMBDA, file), 'utf8'), true, true);
  return importedFiles
    .map(({ fileName }) => fileName)
    .filter((name) => name.startsWith('.'))
    .map((name) => relative(LAMBDA, join(LAMBDA, dirname(file), name)));
}

function roomOf(file: string): string {
  const room = dirname(file);
  if (room !== '.') return room;
  return ENTRIES.has(file) ? 'entries' : 'ground';
}

function rowOf(file: string): number {
  return ROWS.findIndex((rooms) => rooms.includes(roomOf(file)));
}

/** The files of a circle of imports, if there is one. */
function findCircle(arrows: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const next of arrows.get(file) ?? []) {
      const circle = visit(next, [...path, file]);
      if (circle !== undefined) return circle;
    }
    done.add(file);
    return undefined;
  };
  for (const file of arrows.keys()) {
    const circle = visit(file, []);
    if (circle !== undefined) return circle;
  }
  return undefined;
}

describe('the imports of lambda/', () => {
  test('are found, those of types and those at run time, too', () => {
    expect(IMPORTS.get('protocols/filter-request.ts')).toContain('attestation/trusted-filter.ts');
    expect(IMPORTS.get('service/https-client-auth-connection.ts')).toContain('service/tls-connection.ts');
    expect([...IMPORTS.values()].flat().filter((file) => !FILES.includes(file))).toEqual([]);
  });

  test('lead from a room into itself or into a lower one, and into no other', () => {
    const wrong: string[] = [];
    for (const [file, imports] of IMPORTS) {
      for (const other of imports) {
        const isAllowed = roomOf(file) === roomOf(other) || rowOf(file) < rowOf(other);
        if (!isAllowed) wrong.push(`${file} → ${other}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('show the two attestation services to nobody but who composes', () => {
    const isOne = (file: string): boolean => /^service\/(oat|keylime)\//.test(file);
    const known = [...IMPORTS].filter(([file, imports]) => !isOne(file) && imports.some(isOne)).map(([file]) => file);
    expect(known).toEqual(['parts.ts']);
  });

  test('make no circle of files', () => {
    expect(findCircle(IMPORTS)).toBeUndefined();
  });

  test('make no circle of rooms', () => {
    const rooms = new Map<string, string[]>();
    for (const [file, imports] of IMPORTS) {
      const others = imports.map(roomOf).filter((room) => room !== roomOf(file));
      rooms.set(roomOf(file), [...(rooms.get(roomOf(file)) ?? []), ...others]);
    }
    expect(findCircle(rooms)).toBeUndefined();
  });

  test('would show a circle where there is one', () => {
    const arrows = new Map([
      ['a', ['b']],
      ['b', ['c']],
      ['c', ['b']],
    ]);
    expect(findCircle(arrows)).toEqual(['b', 'c', 'b']);
  });
});

describe('the rooms of lambda/', () => {
  test('have a place in the order', () => {
    expect(FILES.filter((file) => rowOf(file) === -1)).toEqual([]);
  });

  test('are small, and so are their files', () => {
    const files = Map.groupBy(FILES, dirname);
    expect(files.get('.')?.length).toBeLessThanOrEqual(MOST_AT_ROOT);
    for (const [room, its] of files) expect([room, its.length > MOST_IN_A_ROOM]).toEqual([room, false]);
    const lines = FILES.map((file) => [file, readFileSync(join(LAMBDA, file), 'utf8').split('\n').length - 1] as const);
    expect(lines.filter(([, count]) => count > MOST_LINES)).toEqual([]);
    expect(lines.filter(([, count]) => count >= 200).length).toBeLessThanOrEqual(FILES.length / 10);
  });
});
