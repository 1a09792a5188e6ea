import { createServer, type Server } from 'node:net';
import { close, listen } from '../../../infra/local/listen.ts';

const HIGHEST_PORT = 65_535;

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await close(server);
  return port;
}

/** A port that was free a moment ago, as was the one after it. */
export async function freePortBeforeAnother(): Promise<number> {
  for (;;) {
    const server = createServer();
    const port = await listen(server);
    const isFree = port < HIGHEST_PORT && (await canListen(createServer(), port + 1));
    await close(server);
    if (isFree) return port;
  }
}

async function canListen(server: Server, port: number): Promise<boolean> {
  try {
    await listen(server, port);
    await close(server);
    return true;
  } catch {
    return false;
  }
}
