/**
 * An origin that speaks TLS on a free port of 127.0.0.1, and what it saw of each request: who the client
 * showed itself to be, the server name that it asked for, and which connection it came on.
 */
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket, TlsOptions } from 'node:tls';

interface SeenOverTls {
  readonly url: string;
  /** Common name of the client's certificate; null: it showed none. */
  readonly client: string | null;
  readonly servername: string | false;
  /** Connections are counted from 1. */
  readonly connection: number;
}

export class TlsOrigin {
  readonly seen: SeenOverTls[] = [];
  /** Whether a connection may be used again. */
  keepAlive = true;
  port = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #numbers = new WeakMap<Socket, number>();

  private constructor(options: TlsOptions) {
    let connections = 0;
    this.#server = createServer({ keepAliveTimeout: 60_000, ...options }, (request, response) => {
      const socket = request.socket as TLSSocket;
      const { CN } = socket.getPeerCertificate().subject ?? {};
      this.seen.push({
        url: request.url ?? '',
        client: CN === undefined ? null : String(CN),
        servername: socket.servername ?? false,
        connection: this.#numbers.get(socket) ?? 0,
      });
      if (!this.keepAlive) response.setHeader('Connection', 'close');
      response.end('over TLS');
    });
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('secureConnection', (socket) => {
      this.#numbers.set(socket, ++connections);
      socket.on('error', () => {});
    });
    this.#server.on('tlsClientError', (_error, socket) => socket.destroy());
  }

  static async start(options: TlsOptions): Promise<TlsOrigin> {
    const origin = new TlsOrigin(options);
    await new Promise<void>((resolve) => origin.#server.listen(0, '127.0.0.1', resolve));
    origin.port = (origin.#server.address() as AddressInfo).port;
    return origin;
  }

  /** From the next handshake on. */
  renew(options: TlsOptions): void {
    this.#server.setSecureContext(options);
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}
