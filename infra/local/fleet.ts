import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Poll, reply, type ReplyEntry } from './oat-server.ts';

/** How long a slow host's agent takes to report, and with it every poll that it is part of. */
const SLOW_MS = 2_000;

/**
 * What the local attestation service says of a host: `untrusted-…` is untrusted, `slow-…` trusted after two seconds,
 * `compute-…` and `node-…` trusted; no other is known.
 */
function levelOf(host: string): string {
  if (host.startsWith('untrusted-')) return 'untrusted';
  return /^(compute|node|slow)-/.test(host) ? 'trusted' : 'unknown';
}

/** Answers a poll as OAT 2.x does: once the slowest host has reported, with the time of the request for every host. */
export async function answerFromFleet({ hosts }: Poll, response: ServerResponse): Promise<void> {
  const vtime = new Date().toISOString().replace('Z', '+0000');
  if (hosts.some((host) => host.startsWith('slow-'))) await sleep(SLOW_MS);
  reply(
    response,
    hosts.map((host): ReplyEntry => ({ host_name: host, trust_lvl: levelOf(host), vtime })),
  );
}
