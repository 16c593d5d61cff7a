/**
 * The origin of a test: a real server on a free port of 127.0.0.1 that does what its script says and
 * remembers what it saw. `HttpOrigin` speaks HTTP, `RawOrigin` hands over each socket as it comes.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import {
  type AddressInfo,
  createServer as createRawServer,
  type Server as RawServer,
  type Socket,
} from 'node:net';
import type { KeyPair } from './certificates.ts';

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly rawHeaders: readonly string[];
  body: Buffer;
  /** The body came whole. */
  complete: boolean;
}

export type Script = (request: IncomingMessage, response: ServerResponse, seen: Seen) => void;

/** Counts connections as the origin sees them. */
class Connections {
  readonly open = new Set<Socket>();
  total = 0;
  most = 0;

  add(socket: Socket): void {
    this.open.add(socket);
    this.total++;
    this.most = Math.max(this.most, this.open.size);
    // A connection that was reset is none any more from here; its close comes a phase of the event loop later.
    socket.on('error', () => this.open.delete(socket));
    socket.once('close', () => this.open.delete(socket));
  }

  destroyAll(): void {
    for (const socket of this.open) socket.destroy();
  }
}

function listen(server: Server | RawServer, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', 4_096, () => resolve((server.address() as AddressInfo).port));
  });
}

function close(server: Server | RawServer, connections: Connections): Promise<void> {
  connections.destroyAll();
  return new Promise((resolve) => server.close(() => resolve()));
}

export class HttpOrigin {
  readonly connections = new Connections();
  readonly seen: Seen[] = [];
  /** Called when the head is here, unless `afterBody`: then when the body is. */
  script: Script;
  port = 0;
  readonly #server: Server;

  readonly #secure: boolean;

  private constructor(script: Script, tls: KeyPair | null) {
    this.script = script;
    this.#secure = tls !== null;
    const serve = (request: IncomingMessage, response: ServerResponse) => this.#serve(request, response);
    const options = { keepAliveTimeout: 60_000 };
    this.#server = tls ? createTlsServer({ ...options, ...tls }, serve) : createServer(options, serve);
    this.#server.on('connection', (socket) => this.connections.add(socket));
  }

  /** With `tls` it is an HTTPS origin. */
  static async start(
    script: Script = answer(200, 'ok'),
    port = 0,
    tls: KeyPair | null = null,
  ): Promise<HttpOrigin> {
    const origin = new HttpOrigin(script, tls);
    origin.port = await listen(origin.#server, port);
    return origin;
  }

  get url(): string {
    return `${this.#secure ? 'https' : 'http'}://127.0.0.1:${this.port}`;
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const seen: Seen = {
      method: request.method ?? '',
      url: request.url ?? '',
      headers: request.headers,
      rawHeaders: request.rawHeaders,
      body: Buffer.alloc(0),
      complete: false,
    };
    this.seen.push(seen);
    request.on('error', () => {});
    response.on('error', () => {});
    this.script(request, response, seen);
  }

  close(): Promise<void> {
    return close(this.#server, this.connections);
  }
}

export class RawOrigin {
  readonly connections = new Connections();
  port = 0;
  readonly #server: RawServer;

  private constructor(onSocket: (socket: Socket) => void) {
    this.#server = createRawServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.connections.add(socket);
      onSocket(socket);
    });
  }

  static async start(onSocket: (socket: Socket) => void, port = 0): Promise<RawOrigin> {
    const origin = new RawOrigin(onSocket);
    origin.port = await listen(origin.#server, port);
    return origin;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  close(): Promise<void> {
    return close(this.#server, this.connections);
  }
}

/** Reads the body, then answers. */
export function answer(status: number, body = '', headers: readonly string[] = []): Script {
  return (request, response, seen) => {
    readBody(request, seen, () => {
      response.writeHead(status, [...headers]);
      response.end(body);
    });
  };
}

export function readBody(request: IncomingMessage, seen: Seen, then: () => void): void {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    seen.body = Buffer.concat(chunks);
    seen.complete = true;
    then();
  });
}

/** Calls back once the head of a request (up to the empty line) has come. */
export function onHead(socket: Socket, then: (head: string, rest: Buffer) => void): void {
  let received = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    received = Buffer.concat([received, chunk]);
    const end = received.indexOf('\r\n\r\n');
    if (end < 0) return;
    socket.off('data', onData);
    then(received.subarray(0, end).toString('latin1'), received.subarray(end + 4));
  };
  socket.on('data', onData);
}
