import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { ConfigurationError } from '../../../../lambda/errors.ts';
import { agentIdOf, loadAgentIds, parseAgentIds, uuid5 } from '../../../../lambda/service/keylime/agent-ids.ts';

const DNS = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';

describe('an agent id', () => {
  test.each([
    ['compute-1.example.com', DNS, '1882f555-6930-50a3-b8f2-45d2a1c8a70d'],
    // RFC 9562, A.4
    ['www.example.com', DNS, '2ed6657d-e927-568b-95e1-2665a8aea6a2'],
  ])('is the UUIDv5 of %s in the namespace %s', (host, namespace, id) => {
    expect(uuid5(host, namespace)).toBe(id);
    expect(agentIdOf(host, { kind: 'uuid5', namespace })).toBe(id);
  });

  test.each(['a b', 'a/b', 'ü', '', '.', '..', '...', 'a?b', 'a%2e', 'x'.repeat(81)])('is not the name %j', (host) => {
    expect(agentIdOf(host, { kind: 'name' })).toBeUndefined();
  });

  test.each(['compute-1.example.com', 'a_b', '..a', 'X'.repeat(80)])('may be the name %s', (host) => {
    expect(agentIdOf(host, { kind: 'name' })).toBe(host);
  });

  test('of a table is what stands there, and none for a name that does not', () => {
    const ids = new Map([['compute-1', 'a'.repeat(64)]]);
    expect(agentIdOf('compute-1', { kind: 'table', ids })).toBe('a'.repeat(64));
    expect(agentIdOf('__proto__', { kind: 'table', ids })).toBeUndefined();
  });
});

describe('a table of agent ids', () => {
  test('is a JSON object, whatever the names in it', () => {
    const text = '\uFEFF{"compute-1":"a1","__proto__":"b2","ü":"c3"}';
    expect(parseAgentIds(text)).toEqual({
      ids: new Map([
        ['compute-1', 'a1'],
        ['__proto__', 'b2'],
        ['ü', 'c3'],
      ]),
      faults: [],
    });
  });

  test.each([
    ['{', ['is not JSON']],
    ['[]', ['must be a JSON object, {"<host>": "<agent id>", …}']],
    ['{}', ['has no host in it']],
    [
      '{"a":"x1","b":"X1","c":"","d":7,"":"e5","f":"../agents"}',
      [
        'has the same agent id for "a" and "b": each host needs one of its own',
        'has for "c" no agent id: 1 to 80 letters, digits, "_", "." and "-"',
        'has for "d" no agent id: 1 to 80 letters, digits, "_", "." and "-"',
        'has a host without a name',
        'has for "f" no agent id: 1 to 80 letters, digits, "_", "." and "-"',
      ],
    ],
  ])('of %s has all its faults said at once', (text, faults) => {
    expect(parseAgentIds(text)).toEqual({ faults });
  });

  test('says how many more faults there are after twenty', () => {
    const table = Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`h${i}`, '']));
    const { faults } = parseAgentIds(JSON.stringify(table));
    expect(faults).toHaveLength(21);
    expect(faults.at(-1)).toBe('has 5 more such faults');
  });

  test('is read from a file, and a file that can’t be read or has faults is a fault of the configuration', () => {
    const folder = mkdtempSync(join(tmpdir(), 'agent-ids-'));
    try {
      const path = join(folder, 'ids.json');
      writeFileSync(path, '{"a":"1"}');
      expect(loadAgentIds({ agentIds: path, namespace: DNS })).toEqual({ kind: 'table', ids: new Map([['a', '1']]) });
      writeFileSync(path, '{"a":"1","b":"1"}');
      expect(() => loadAgentIds({ agentIds: path, namespace: DNS })).toThrow(ConfigurationError);
      expect(() => loadAgentIds({ agentIds: join(folder, 'no.json'), namespace: DNS })).toThrow("can't be read");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
