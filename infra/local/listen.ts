import type { Server } from 'node:net';

const KEEP_ALIVE_MS = 120_000;

/** Listens on loopback; port 0 is any that is free. Resolves to the port. */
export function listen(server: Server, port = 0, host = '127.0.0.1'): Promise<number> {
  // Node's own limit of five seconds would now and then end a connection under a client that is about to use it again.
  if ('keepAliveTimeout' in server) server.keepAliveTimeout = KEEP_ALIVE_MS;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

/** Stops a server, its open connections included. */
export function close(server: Server & { closeAllConnections?: () => void }): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections?.();
  });
}
