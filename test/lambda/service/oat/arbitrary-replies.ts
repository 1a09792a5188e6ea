/** Replies of `PollHosts` as nobody should write them, and what may come of one whatever it is. */
import fc from 'fast-check';
import type { PollReply } from '../../../../lambda/service/attestation-service.ts';
import { parseVtime } from '../../../../lambda/service/oat/vtime.ts';
import { NOW, SECOND } from '../../builders.ts';

export const ASKED: ReadonlySet<string> = new Set(['compute-1', 'compute-2', '__proto__', 'constructor']);

const HOST_NAMES = [...ASKED, 'COMPUTE-1', 'compute-1 ', 'somebody-else', 'toString'];
const WORDS = ['untrusted', 'unknown', 'timeout', 'pending', 'Trusted', 'trusted ', 'constructor', ''];
const VTIMES = [
  NOW + SECOND,
  String(NOW),
  'Mon Nov 23 15:59:58 2026',
  '2026-11-23T15:59:58.000+0000',
  '2026-11-23T15:59:58',
  -1,
  '',
  null,
];

/** Mostly what it should be, now and then something like it, and now and then anything. */
function mostly<T>(right: fc.Arbitrary<T>, like: readonly unknown[]): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 12, arbitrary: right },
    { weight: 3, arbitrary: fc.constantFrom(...like) },
    { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 1 }) },
  );
}

const members = {
  host_name: mostly(fc.constantFrom(...ASKED), HOST_NAMES),
  trust_lvl: mostly(fc.constant('trusted'), WORDS),
  vtime: mostly(fc.constant('2026-11-23T15:59:58Z'), VTIMES),
};
const entry = fc.oneof(
  { weight: 5, arbitrary: fc.record(members) },
  { weight: 1, arbitrary: fc.record(members, { requiredKeys: [] }) },
);

/** JSON of any shape, mostly near that of a reply, so that most of it gets past the first checks. */
export const arbitraryReply: fc.Arbitrary<unknown> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      hosts: fc.array(
        fc.oneof({ weight: 9, arbitrary: entry }, { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 1 }) }),
        { maxLength: 6 },
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ hosts: fc.jsonValue({ maxDepth: 2 }) }) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
);

/** Bytes of any kind, mostly those of a reply in which some were replaced, or whose end is missing. */
export const arbitraryBytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 64 }) },
  { weight: 2, arbitrary: arbitraryReply.map(toBytes) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(arbitraryReply, fc.nat(), fc.nat(3), fc.uint8Array({ maxLength: 3 }))
      .map(([reply, position, removed, put]) => {
        const bytes = toBytes(reply);
        const at = position % (bytes.length + 1);
        return Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + removed)]);
      }),
  },
  { weight: 1, arbitrary: fc.tuple(arbitraryReply, fc.nat()).map(([reply, at]) => cut(toBytes(reply), at)) },
);

function toBytes(reply: unknown): Buffer {
  return Buffer.from(JSON.stringify(reply));
}

function cut(bytes: Buffer, at: number): Buffer {
  return bytes.subarray(0, at % (bytes.length + 1));
}

/**
 * What a reply was taken for that it is not: a level of a host that was not asked for, or one that not every entry about
 * the host says in exactly that word and with a valid time.
 * @returns a sentence for each
 */
export function unfounded(reply: PollReply, body: unknown): string[] {
  const entries = (body as { hosts: (Record<string, unknown> | null)[] }).hosts;
  return [...reply.answers].flatMap(([host, { level, reason }]) => {
    if (!ASKED.has(host)) return [`${host} was not asked for`];
    const about = entries.filter((candidate) => candidate?.['host_name'] === host);
    if (about.length === 0) return [`nothing was said of ${host}`];
    const isDefinite = reason === 'trusted' || reason === 'untrusted';
    if (level === 'unknown') return isDefinite ? [`${host} is unknown and ${reason}`] : [];
    if (!isDefinite || reason !== level) return [`${host} is ${level} and ${reason}`];
    const isFounded = about.every((said) => said?.['trust_lvl'] === level && parseVtime(said['vtime']) !== undefined);
    return isFounded ? [] : [`${host} is not ${level}`];
  });
}
