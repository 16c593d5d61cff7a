/**
 * The caller of a test that speaks HTTP/2 with prior knowledge: Node's client, and a raw socket with frames
 * for everything that no client would send.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type SecureClientSessionOptions,
} from 'node:http2';
import { connect as dial, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { until } from './until.ts';

export interface StreamAnswer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  /** Flat raw list. */
  readonly rawHeaders: readonly string[];
  readonly trailers: IncomingHttpHeaders | null;
  readonly body: Buffer;
  readonly text: string;
  /** Status codes of the interim responses. */
  readonly informational: readonly (number | undefined)[];
  /** How the stream ended; 0: well. */
  readonly code: number;
  /** END_STREAM came. */
  readonly whole: boolean;
}

export class Http2Caller {
  readonly session: ClientHttp2Session;
  /** Code of the GOAWAY; null: none has come. */
  goaway: number | null = null;
  closed = false;

  private constructor(session: ClientHttp2Session) {
    this.session = session;
    session.on('error', () => {});
    session.on('goaway', (code) => {
      this.goaway = code;
    });
    session.on('close', () => {
      this.closed = true;
    });
  }

  static connect(port: number, options: SecureClientSessionOptions = {}): Promise<Http2Caller> {
    return Http2Caller.#begin(connect(`http://127.0.0.1:${port}`, options));
  }

  /** On a connection that is there. */
  static over(socket: Duplex): Promise<Http2Caller> {
    return Http2Caller.#begin(connect('http://localhost', { createConnection: () => socket }));
  }

  static async #begin(session: ClientHttp2Session): Promise<Http2Caller> {
    const caller = new Http2Caller(session);
    await new Promise((resolve, reject) => {
      caller.session.once('remoteSettings', resolve);
      caller.session.once('error', reject);
    });
    return caller;
  }

  /** The stream as it is, for a test that sees to it itself. */
  open(url: string, headers: OutgoingHttpHeaders = {}, endStream = false): ClientHttp2Stream {
    const { protocol, host, pathname, search } = new URL(url);
    const stream = this.session.request(
      {
        ':scheme': protocol.slice(0, -1),
        ':authority': host,
        ':path': pathname + search,
        ...headers,
      },
      { endStream },
    );
    stream.on('error', () => {});
    return stream;
  }

  call(url: string, headers: OutgoingHttpHeaders = {}, body?: string | Buffer): Promise<StreamAnswer> {
    const stream = this.open(url, headers, body === undefined);
    const answered = answerOf(stream);
    if (body !== undefined) stream.end(body);
    return answered;
  }

  leave(): void {
    this.session.destroy();
  }
}

/** Resolves when the stream is closed, however it ended. */
export function answerOf(stream: ClientHttp2Stream): Promise<StreamAnswer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const informational: (number | undefined)[] = [];
    let headers: IncomingHttpHeaders & { ':status'?: number | undefined } = {};
    let rawHeaders: readonly string[] = [];
    let trailers: IncomingHttpHeaders | null = null;
    let whole = false;
    stream.on('headers', (interim) => informational.push(interim[':status']));
    stream.on('response', (head, _flags, raw: unknown) => {
      headers = head;
      rawHeaders = raw as string[];
    });
    stream.on('trailers', (fields) => {
      trailers = fields;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      whole = stream.rstCode === 0;
    });
    stream.on('close', () => {
      const body = Buffer.concat(chunks);
      const code = stream.rstCode;
      const status = headers[':status'];
      const text = body.toString();
      resolve({ status, headers, rawHeaders, trailers, body, text, informational, code, whole });
    });
  });
}

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export const DATA = 0;
export const HEADERS = 1;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;

export const END_STREAM = 1;
export const END_HEADERS = 4;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** RFC 9113, section 4.1. */
export function frame(type: number, flags: number, stream: number, payload: Buffer | number[] = []): Buffer {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

export function number32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Literal fields without indexing and without Huffman (RFC 7541, section 6.2.2). */
export function fieldBlock(fields: readonly (readonly [string, string])[]): Buffer {
  const parts: Buffer[] = [];
  const text = (value: string): void => {
    const bytes = Buffer.from(value, 'latin1');
    const length: number[] = [];
    if (bytes.length < 127) length.push(bytes.length);
    else {
      length.push(127);
      let rest = bytes.length - 127;
      for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
      length.push(rest);
    }
    parts.push(Buffer.from(length), bytes);
  };
  for (const [name, value] of fields) {
    parts.push(Buffer.from([0]));
    text(name);
    text(value);
  }
  return Buffer.concat(parts);
}

export function requestFields(url: string, method = 'GET'): [string, string][] {
  const { protocol, host, pathname } = new URL(url);
  return [
    [':method', method],
    [':scheme', protocol.slice(0, -1)],
    [':authority', host],
    [':path', pathname],
  ];
}

export class RawHttp2Caller {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  closed = false;
  #received = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('close', () => {
      this.closed = true;
    });
    // Half-open until then, so that a test can close its side alone.
    socket.on('end', () => socket.end());
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  /** Sends the preface and empty SETTINGS unless told otherwise. */
  static async connect(port: number, greeting = Buffer.concat([PREFACE, frame(SETTINGS, 0, 0)])) {
    const socket = dial({ host: '127.0.0.1', port, allowHalfOpen: true });
    const caller = new RawHttp2Caller(socket);
    await new Promise((resolve) => socket.once('connect', resolve));
    if (greeting.length > 0) socket.write(greeting);
    return caller;
  }

  write(...frames: Buffer[]): void {
    if (!this.closed) this.socket.write(Buffer.concat(frames));
  }

  request(url: string, stream: number, flags = END_STREAM + END_HEADERS, method = 'GET'): void {
    this.write(frame(HEADERS, flags, stream, fieldBlock(requestFields(url, method))));
  }

  /** The first frame of this type, of this stream. */
  async got(type: number, stream = 0): Promise<Frame> {
    const find = (): Frame | undefined =>
      this.frames.find((one) => one.type === type && one.stream === stream);
    await until(() => find() !== undefined || this.closed, `a frame of type ${type}`);
    const found = find();
    if (!found) throw new Error(`closed without a frame of type ${type}`);
    return found;
  }

  ended(): Promise<void> {
    return until(() => this.closed, 'the connection to be closed');
  }

  #read(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    for (;;) {
      if (this.#received.length < 9) return;
      const length = this.#received.readUIntBE(0, 3);
      if (this.#received.length < 9 + length) return;
      const [type = 0, flags = 0] = this.#received.subarray(3, 5);
      const stream = this.#received.readUInt32BE(5);
      this.frames.push({ type, flags, stream, payload: this.#received.subarray(9, 9 + length) });
      this.#received = this.#received.subarray(9 + length);
    }
  }
}
