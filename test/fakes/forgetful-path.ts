import { connect, createServer, type Socket } from 'node:net';
import { close, listen } from '../../infra/local/listen.ts';

/** What a gateway does with the next word on a connection that it has forgotten. */
export type Forgets = 'reset' | 'swallow' | 'close';

/** A network path as behind a NAT gateway: it carries connections, until it forgets those that there are. */
export class ForgetfulPath {
  readonly port: number;
  /** Connections that were made so far. */
  connections = 0;
  readonly #close: () => Promise<void>;
  readonly #flows = new Set<{ near: Socket; far: Socket; forgotten: Forgets | undefined }>();

  private constructor(port: number, close: () => Promise<void>) {
    this.port = port;
    this.#close = close;
  }

  /** @param port where the path leads to, on loopback */
  static async to(port: number): Promise<ForgetfulPath> {
    const server = createServer((near) => path.#carry(near, connect(port, '127.0.0.1')));
    const path = new ForgetfulPath(await listen(server), () => close(server));
    return path;
  }

  /** Forgets the connections that there are; what is closed is closed at once, as far as anybody listens. */
  forget(how: Forgets): void {
    for (const flow of this.#flows) {
      flow.forgotten = how;
      if (how === 'close') flow.near.end();
      flow.far.destroy();
    }
  }

  async close(): Promise<void> {
    for (const { near, far } of this.#flows) {
      near.destroy();
      far.destroy();
    }
    await this.#close();
  }

  #carry(near: Socket, far: Socket): void {
    this.connections++;
    const flow = { near, far, forgotten: undefined as Forgets | undefined };
    this.#flows.add(flow);
    near.on('data', (data) => {
      if (flow.forgotten === undefined) far.write(data);
      else if (flow.forgotten === 'reset') near.resetAndDestroy();
    });
    far.on('data', (data) => {
      if (flow.forgotten === undefined) near.write(data);
    });
    for (const socket of [near, far]) socket.on('error', () => {});
    near.on('close', () => far.destroy());
    far.on('close', () => {
      if (flow.forgotten === undefined) near.destroy();
    });
  }
}
