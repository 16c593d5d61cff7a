/**
 * Every TCP connection that this process opens, seen at the socket and not in any log; and listeners on
 * addresses at which nobody may arrive.
 */
import assert from 'node:assert/strict';
import { createServer, type Server, Socket } from 'node:net';

/** As `net` normalizes them: options first. */
type ConnectArguments = readonly [{ readonly host?: string; readonly port?: number | string }];

type Connect = (...parameters: readonly unknown[]) => Socket;

/** Where others than 127.0.0.1 listen, as far as this machine has them. */
const ADDRESSES = ['127.0.0.2', '127.0.0.3', '127.9.9.9', '::1'];

export class DialWatch {
  /** `host port`, in the order in which they were dialled. */
  readonly dials: string[] = [];
  /** Addresses at which somebody arrived who may not. */
  readonly arrivals: string[] = [];
  readonly #servers: Server[] = [];
  readonly #connect: Connect;

  private constructor() {
    const { dials } = this;
    const connect = Reflect.get(Socket.prototype, 'connect') as Connect;
    this.#connect = connect;
    const watched: Connect = function (this: Socket, ...parameters) {
      const [first] = parameters;
      const [options] = (Array.isArray(first) ? first : parameters) as ConnectArguments;
      dials.push(`${options.host ?? 'localhost'} ${options.port}`);
      return connect.apply(this, [...parameters]);
    };
    Socket.prototype.connect = watched;
  }

  /** `ports`: of the origins, on 127.0.0.1; all other loopback addresses are listened at, too. */
  static async start(...ports: number[]): Promise<DialWatch> {
    const watch = new DialWatch();
    for (const port of ports) for (const address of ADDRESSES) await watch.#listen(address, port);
    return watch;
  }

  /** Dials to that port. */
  count(port: number): number {
    return this.dials.filter((dial) => dial.endsWith(` ${port}`)).length;
  }

  /** Nobody dialled anything but these, and nobody arrived anywhere else. */
  prove(...allowed: string[]): void {
    const strangers = this.dials.filter((dial) => !allowed.includes(dial.split(' ')[0] as string));
    assert.deepEqual(strangers, [], 'dials to other addresses');
    assert.deepEqual(this.arrivals, [], 'arrivals at other addresses');
  }

  async stop(): Promise<void> {
    Socket.prototype.connect = this.#connect;
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  #listen(address: string, port: number): Promise<void> {
    const server = createServer((socket) => {
      this.arrivals.push(address);
      socket.destroy();
    });
    return new Promise((resolve, reject) => {
      // A machine without IPv6 has one address less.
      server.once('error', (error: NodeJS.ErrnoException) =>
        error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT' ? resolve() : reject(error),
      );
      server.listen({ host: address, port }, () => {
        this.#servers.push(server);
        resolve();
      });
    });
  }
}
