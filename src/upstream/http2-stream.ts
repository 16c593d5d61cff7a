/**
 * One request and its response on a stream of HTTP/2, told to the same handler as those of HTTP/1.1.
 *
 * Rules: both directions flow at once and each at the pace of who takes it: a piece of the request goes out
 * when there is room in the origin's window, and a response that nobody reads closes ours (RFC 9113, section
 * 5.2). A body is whole only with the END_STREAM of the origin (section 8.1); a reset is never its end,
 * whatever its code; and once END_STREAM has come, no end of the connection takes any of it away, however
 * slowly it is read. The handler hears one end, once, and nothing after it. It knows no exchange.
 */
import type { ClientHttp2Stream } from 'node:http2';
import { http2 } from '../node-http.ts';
import { CANCEL, type Goaway, Http2Failure, Http2Malformed } from './http2-failure.ts';
import { fieldBytes, responseFields, statusOf } from './http2-fields.ts';
import type { BodyReader } from './replay-body.ts';
import type { StreamController, StreamHandler } from './stream-handler.ts';

/** The session, as a stream sees it. */
export interface StreamHome {
  readonly goaway: Goaway | null;
  /** Bound of a response head, bytes. */
  readonly headerBytes: number;
  /** Whoever asked on one of its streams has heard the end. */
  streamOver(): void;
  /** Where the connection breaks, another stream may be to blame, also one that is over. */
  readonly shared: boolean;
}

/** A body that is here whole goes out in pieces of this size, so that its progress can be seen; bytes. */
const PIECE_BYTES = 65_536;

export class Http2Stream implements StreamController {
  /** END_STREAM came with the head: neither a body nor trailers follow. */
  empty = false;
  readonly #stream: ClientHttp2Stream;
  readonly #handler: StreamHandler;
  readonly #home: StreamHome;
  #trailers: readonly string[] = [];
  #aborted = false;
  #error: NodeJS.ErrnoException | null = null;
  /** What was not read yet when the origin itself ended the stream, at most its window; null: it has not. */
  #held: Buffer[] | null = null;
  #holding = false;
  #paused = false;
  /** Nothing comes after it: no trailers either. */
  #ended = false;
  #headOut = false;
  #over = false;
  #drained: (() => void) | null = null;

  constructor(stream: ClientHttp2Stream, handler: StreamHandler, home: StreamHome) {
    this.#stream = stream;
    this.#handler = handler;
    this.#home = home;
    // Node ends a stream that was reset in the middle just like one that is whole, and only here can the two
    // be told from each other: what comes after the reset is Node's doing, not the origin's.
    const push = stream.push.bind(stream);
    stream.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
      const whole = chunk === null && !stream.closed && !stream.destroyed;
      const more = push(chunk, encoding);
      if (whole) this.#hold();
      return more;
    };
    stream.on('headers', (_headers, _flags, raw: string[]) => this.#head(raw));
    stream.on('response', (_headers, flags, raw: string[]) => {
      this.empty = (flags & http2().constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      this.#head(raw);
    });
    stream.on('trailers', (_headers, _flags, raw: string[]) => {
      this.#trailers = responseFields(raw);
    });
    stream.on('drain', () => this.#wake());
    stream.on('end', () => {
      if (this.#held === null) return;
      this.#ended = true;
      this.#deliver();
    });
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#error = error;
    });
    stream.on('close', () => this.#closed());
  }

  pause(): void {
    this.#paused = true;
    this.#stream.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#over) return;
    this.#stream.resume();
    this.#deliver();
  }

  /** RST_STREAM with CANCEL. */
  abort(): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#settle();
    this.#stream.close(CANCEL);
    // What has come and was not read must not hold the stream, and with it the session, open.
    this.#stream.resume();
  }

  /** Null: END_STREAM went out with the head. */
  begin(body: Buffer | BodyReader | null): void {
    this.#handler.onRequestStart(this);
    if (body === null) this.#handler.onRequestSent();
    else void (Buffer.isBuffer(body) ? this.#sendWhole(body) : this.#sendParts(body));
  }

  async #sendWhole(body: Buffer): Promise<void> {
    for (let at = 0; at < body.length && !this.#over; at += PIECE_BYTES) {
      await this.#write(body.subarray(at, at + PIECE_BYTES));
    }
    this.#endRequest();
  }

  async #sendParts(reader: BodyReader): Promise<void> {
    try {
      for (;;) {
        const part = await reader.next();
        if (this.#over) return;
        if (part.done === true) break;
        await this.#write(part.value);
      }
    } catch {
      // The attempt is over: whoever closed the reader also ends the stream.
      return;
    }
    this.#endRequest();
  }

  async #write(chunk: Buffer): Promise<void> {
    if (this.#over || this.#stream.closed) return;
    const room = this.#stream.write(chunk, (error) => {
      if (!error && !this.#over) this.#handler.onBodySent(chunk.length);
    });
    if (room || this.#stream.closed) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  #wake(): void {
    const drained = this.#drained;
    this.#drained = null;
    drained?.();
  }

  #endRequest(): void {
    if (this.#over || this.#stream.closed) return;
    this.#stream.end(() => {
      if (!this.#over && !this.#stream.closed) this.#handler.onRequestSent();
    });
  }

  #head(raw: string[]): void {
    if (this.#over) return;
    const status = statusOf(raw);
    if (status === 101) {
      // RFC 9113, section 8.6.
      this.#fail(new Http2Malformed('H2_PROTOCOL_ERROR', 'a 101 in HTTP/2'));
      return;
    }
    // The bound that was told to the origin holds only from its acknowledgement on.
    if (fieldBytes(raw) > this.#home.headerBytes) {
      this.#fail(new Http2Malformed('H2_HEAD_TOO_LARGE', 'more than limits.headerBytes'));
      return;
    }
    if (this.#headOut) return;
    this.#headOut = status >= 200;
    this.#handler.onResponseStart(this, status, responseFields(raw), null);
    if (status < 200) return;
    this.#stream.on('data', (chunk: Buffer) => {
      if (!this.#over && !this.#holding) this.#handler.onResponseData(this, chunk);
    });
  }

  /** Takes what Node still has: it throws that away where the connection ends before it was read. */
  #hold(): void {
    const held: Buffer[] = [];
    this.#holding = true;
    for (;;) {
      const chunk = this.#stream.read() as Buffer | null;
      if (chunk === null) break;
      for (let at = 0; at < chunk.length; at += PIECE_BYTES) held.push(chunk.subarray(at, at + PIECE_BYTES));
    }
    this.#holding = false;
    this.#held = this.#over ? [] : held;
  }

  #deliver(): void {
    const held = this.#held;
    if (held === null || !this.#headOut) return;
    while (!this.#paused && !this.#over) {
      const chunk = held.shift();
      if (chunk === undefined) break;
      this.#handler.onResponseData(this, chunk);
    }
    if (this.#ended && !this.#paused) this.#finish();
  }

  #finish(): void {
    if (this.#over) return;
    this.#settle();
    this.#handler.onResponseEnd(this, this.#trailers);
  }

  #fail(error: Error): void {
    if (this.#over) return;
    this.#settle();
    this.#stream.close(CANCEL);
    this.#handler.onResponseError(this, error);
  }

  #settle(): void {
    if (!this.#over) this.#home.streamOver();
    this.#over = true;
    this.#held = null;
    this.#wake();
  }

  #closed(): void {
    if (this.#over) return;
    if (this.#held !== null && this.#headOut) {
      // It may have been closed for its request, or for others: the response is here whole.
      this.#ended = true;
      this.#wake();
      this.#deliver();
      return;
    }
    const { id, rstCode } = this.#stream;
    const error = this.#error;
    // Node does not say which stream the origin broke a rule on; one that had its head may be in the middle.
    const bystander = error?.code === 'ERR_HTTP2_ERROR' && this.#home.shared && !this.#headOut;
    this.#fail(new Http2Failure({ id, rstCode, error, goaway: this.#home.goaway, bystander }));
  }
}
