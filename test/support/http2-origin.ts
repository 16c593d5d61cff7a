/**
 * The origin of a test that speaks HTTP/2 over TLS, on a free port of 127.0.0.1: by node:http2, or frame by
 * frame where a test wants what no library would send. Remembers its connections and its streams.
 */
import {
  createSecureServer,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import type { KeyPair } from './certificates.ts';

export type StreamScript = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: string[]) => void;

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

export class Http2Origin {
  readonly sessions = new Set<ServerHttp2Session>();
  readonly #sockets = new Set<Socket>();
  /** Sessions there ever were. */
  connections = 0;
  /** Streams there ever were, and at once. */
  requests = 0;
  open = 0;
  most = 0;
  /** Codes of the resets that came. */
  readonly resets: number[] = [];
  port = 0;
  readonly #server: Http2SecureServer;

  private constructor(pair: KeyPair, script: StreamScript, options: SecureServerOptions) {
    this.#server = createSecureServer({ key: pair.key, cert: pair.cert, ...options });
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('session', (session: ServerHttp2Session) => {
      this.connections++;
      this.sessions.add(session);
      session.on('error', () => {}).on('close', () => this.sessions.delete(session));
    });
    this.#server.on('sessionError', () => {});
    this.#server.on(
      'stream',
      (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, raw: string[]) => {
        this.requests++;
        this.most = Math.max(this.most, ++this.open);
        stream.on('error', () => {});
        stream.on('close', () => {
          this.open--;
          if (stream.rstCode !== 0) this.resets.push(stream.rstCode);
        });
        script(stream, headers, raw);
      },
    );
  }

  static async start(
    pair: KeyPair,
    script: StreamScript,
    options: SecureServerOptions = {},
  ): Promise<Http2Origin> {
    const origin = new Http2Origin(pair, script, options);
    origin.port = await listen(origin.#server);
    return origin;
  }

  get url(): string {
    return `https://localhost:${this.port}`;
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
    });
  }
}

/** RFC 9113, section 3.4. */
const PREFACE_BYTES = 24;

/** RFC 9113, section 4.1. */
export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** Hands over each frame that the sidecar sends, and the socket to answer on. SETTINGS are acknowledged. */
export class FrameOrigin {
  readonly #sockets = new Set<Socket>();
  connections = 0;
  port = 0;
  readonly #server: Server;

  private constructor(pair: KeyPair, onSocket: (socket: TLSSocket) => void) {
    this.#server = createTlsServer({ key: pair.key, cert: pair.cert, ALPNProtocols: ['h2'] }, (socket) => {
      this.connections++;
      socket.on('error', () => {});
      onSocket(socket);
    });
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('tlsClientError', () => {});
  }

  static async start(
    pair: KeyPair,
    onFrame: (frame: Frame, socket: TLSSocket) => void,
    onSocket: (socket: TLSSocket) => void = (socket) => socket.write(frame(4, 0, 0)),
  ): Promise<FrameOrigin> {
    const origin = new FrameOrigin(pair, (socket) => {
      onSocket(socket);
      readFrames(socket, onFrame);
    });
    origin.port = await listen(origin.#server);
    return origin;
  }

  get url(): string {
    return `https://localhost:${this.port}`;
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
    });
  }
}

function readFrames(socket: TLSSocket, onFrame: (frame: Frame, socket: TLSSocket) => void): void {
  let skip = PREFACE_BYTES;
  let received = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < skip) return;
    received = received.subarray(skip);
    skip = 0;
    while (received.length >= 9) {
      const length = received.readUIntBE(0, 3);
      if (received.length < 9 + length) return;
      const [type = 0, flags = 0] = received.subarray(3, 5);
      const streamId = received.readUInt32BE(5);
      const payload = received.subarray(9, 9 + length);
      received = received.subarray(9 + length);
      if (type === 4 && (flags & 1) === 0) socket.write(frame(4, 1, 0));
      onFrame({ type, flags, streamId, payload }, socket);
    }
  });
}
