/**
 * WebSocket in a test: an origin of `ws` that echoes, and callers of `ws` that speak to the sidecar as their
 * proxy or as their server; and the handshake as text, for callers and origins of raw sockets.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { type ClientOptions, WebSocket, WebSocketServer } from 'ws';
import type { Cast } from './cast.ts';
import type { KeyPair } from './certificates.ts';

/** The key of RFC 6455, section 1.3, and what it is to be answered with. */
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

/** A whole request head. */
export function handshakeOf(target: string, ...lines: readonly string[]): string {
  const head = [`GET ${target} HTTP/1.1`, 'Host: 127.0.0.1', 'Connection: Upgrade', 'Upgrade: websocket'];
  head.push('Sec-WebSocket-Version: 13', `Sec-WebSocket-Key: ${KEY}`, ...lines);
  return `${head.join('\r\n')}\r\n\r\n`;
}

/** A whole response head. */
export const SWITCHING = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`;

/** The same, to whatever key a request head brought. */
export function switchingFor(head: string): string {
  const key = /^Sec-WebSocket-Key: *(.*)$/im.exec(head)?.[1] ?? '';
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  return SWITCHING.replace(ACCEPT, accept);
}

export class WebSocketOrigin {
  readonly heads: IncomingMessage[] = [];
  /** Connections that are open, upgraded or not. */
  readonly sockets = new Set<Socket>();
  readonly port: number;
  readonly #server: WebSocketServer;
  readonly #http: Server;

  private constructor(server: WebSocketServer, http: Server) {
    this.#server = server;
    this.#http = http;
    this.port = (http.address() as AddressInfo).port;
  }

  /** Closed with the stage. With a key pair it speaks TLS. */
  static async start(cast: Cast | null, keys: KeyPair | null = null, port = 0): Promise<WebSocketOrigin> {
    const http = keys ? createTlsServer(keys) : createHttpServer();
    http.listen(port, '127.0.0.1', 4_096);
    await once(http, 'listening');
    const server = new WebSocketServer({ server: http, perMessageDeflate: false });
    const origin = new WebSocketOrigin(server, http);
    http.on('connection', (socket: Socket) => {
      origin.sockets.add(socket);
      socket.on('error', () => origin.sockets.delete(socket));
      socket.once('close', () => origin.sockets.delete(socket));
    });
    server.on('headers', (lines) => lines.push('X-Origin: one', 'X-Origin: two', 'X-Request-Id: not-this'));
    server.on('connection', (socket, head) => {
      origin.heads.push(head);
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
      socket.on('error', () => {});
    });
    cast?.atEnd(() => origin.close());
    return origin;
  }

  close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    return new Promise((resolve) => {
      this.#server.close(() => this.#http.close(() => resolve()));
    });
  }
}

/** A caller whose proxy is at `port`; a target that is a path is asked of the sidecar itself. */
export function callerOf(port: number, target: string, options: ClientOptions = {}): WebSocket {
  const caller = new WebSocket(`ws://127.0.0.1:${port}/`, {
    perMessageDeflate: false,
    finishRequest: (request) => {
      request.path = target;
      request.end();
    },
    ...options,
  });
  caller.on('error', () => {});
  return caller;
}

/** Resolves with the head of the 101; rejects with anything else. */
export function opened(caller: WebSocket): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    let head: IncomingMessage | null = null;
    caller.once('upgrade', (answer) => (head = answer));
    caller.once('open', () => resolve(head as unknown as IncomingMessage));
    caller.once('error', reject);
  });
}

/** Sends one message and resolves with what comes back. */
export async function echo(caller: WebSocket, message: string | Buffer): Promise<Buffer> {
  const came = once(caller, 'message');
  caller.send(message);
  return (await came)[0] as Buffer;
}

export async function closed(caller: WebSocket): Promise<void> {
  if (caller.readyState === WebSocket.CLOSED) return;
  const gone = once(caller, 'close');
  caller.close();
  await gone;
}
