import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

/**
 * Has all that this process prints go to a pipe that somebody reads, as Lambda reads what a function prints, until `run` has
 * ended.
 * @returns what `run` returned, and how many lines were read meanwhile
 */
export async function withReadLog<Result>(run: () => Promise<Result>): Promise<{ result: Result; lines: number }> {
  const reader = spawn('wc', ['-l'], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(reader, 'spawn');
  const counted = text(reader.stdout);
  const write = process.stdout.write.bind(process.stdout);
  process.stdout.write = (chunk: string | Uint8Array) => reader.stdin.write(chunk);
  try {
    const result = await run();
    reader.stdin.end();
    return { result, lines: Number(await counted) };
  } finally {
    process.stdout.write = write;
    reader.kill();
  }
}
