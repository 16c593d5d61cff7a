/**
 * HTTP/1.1 on one connection to an origin: one request and its response at a time, from fields to bytes and
 * back. Nothing is made per exchange but its text; what is kept between two is the socket and a few fields.
 *
 * Rules: a request goes out only on a connection that has been silent (RFC 9112, section 9.2): bytes that
 * nobody asked for spoil it, and so do bytes behind a response; once in doubt it is never used again. A
 * connection that is used again is looked at for one turn of the event loop, so that an end which has arrived
 * is seen before the request goes out; then, and where not a byte was taken, the request is stale, not failed.
 * A body is whole with its last chunk, with its length, or, where only the connection delimits it, with an end
 * in good order (section 8). An answer that refuses the rest of the request stops the upload (section 9.5 of
 * RFC 9112: cease to send, and close). It knows no exchange and no pool.
 */
import type { Socket } from 'node:net';
import { type BodySink, ChunkedReader } from '../http1/chunked-reader.ts';
import { type HeadBounds, HeadFault } from '../http1/head-fault.ts';
import { FAULT, HeadReader, MORE } from '../http1/head-reader.ts';
import { readResponseHead } from '../http1/response-head.ts';
import { TurnEnd } from '../turn-end.ts';
import { onCloseNotify } from './close-notify.ts';
import { authenticatesConnection } from './connection-credentials.ts';
import { faultOf, Http1Fault } from './http1-fault.ts';
import { framingOf, isBodiless } from './http1-framing.ts';
import { goesAtOnce, type Http1Request, requestText } from './http1-request.ts';
import { Http1Upload, type UploadOwner } from './http1-upload.ts';
import type { BodyReader } from './replay-body.ts';
import type { StreamController, StreamHandler } from './stream-handler.ts';

/** The connection beneath. */
export interface Http1Home {
  /** How the socket failed. */
  readonly broken: NodeJS.ErrnoException | null;
  /** Bytes came that nobody asked for, and nobody holds the connection. */
  sessionSpoiled(): void;
}

/** The request could not be begun, for its connection had gone. */
export class StaleConnection extends Error {
  readonly code = 'OUTRIGGER_STALE';
}

export const STALE = new StaleConnection('the connection had gone before the request was written');

/** Fields of a response, and of its trailers; a bound beside that of their bytes. */
const FIELDS_MAX = 2_000;

const NO_TRAILERS: readonly string[] = [];

/** Between two exchanges. */
const IDLE = 0;
/** A request waits for its turn; not a byte of it has gone out. */
const WAITING = 1;
const HEAD = 2;
const LENGTH = 3;
const CHUNKS = 4;
/** The body ends with the connection. */
const TO_THE_END = 5;

/** Those that wait for the end of this turn of the event loop. */
const waiting = new TurnEnd<Http1Session>((session) => session.begin());

export class Http1Session implements StreamController, BodySink, UploadOwner {
  readonly empty = false;
  /** Another request may follow. */
  open = true;
  /** What comes on it can belong to nobody: it is to be ended at once. */
  doubtful = false;
  readonly #socket: Socket;
  readonly #tcp: Socket;
  readonly #home: Http1Home;
  readonly #bounds: HeadBounds;
  readonly #head: HeadReader;
  #stage = IDLE;
  #handler: StreamHandler | null = null;
  #request: Http1Request | null = null;
  #payload: Buffer | BodyReader | null = null;
  #reused = false;
  #method = '';
  /** Bytes of the response body that are missing. */
  #left = 0;
  #chunks: ChunkedReader | null = null;
  #keepAlive = false;
  /** Of somebody, from the request under way on. */
  #authenticated = false;
  #paused = false;
  /** The rest of the request; null: it is out, or not wanted. */
  #upload: Http1Upload | null = null;
  #requestOut = true;
  /** Of TLS, whose end may be anybody's. */
  #closeNotified = false;

  /** `socket` is what is spoken through: the same as `tcp`, or TLS on top. */
  constructor(socket: Socket, tcp: Socket, headerBytes: number, home: Http1Home) {
    this.#socket = socket;
    this.#tcp = tcp;
    this.#home = home;
    // The bound is of the whole head, wherever in it the bytes are.
    this.#bounds = { startLineBytes: headerBytes, headBytes: headerBytes, fields: FIELDS_MAX };
    this.#head = new HeadReader(this.#bounds, 0, 'HTTP/1.');
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('close', this.#onClose);
  }

  /** `payload`: the body, whole or as it comes. `reused`: the connection has been left alone since it was made. */
  request(
    request: Http1Request,
    payload: Buffer | BodyReader | null,
    handler: StreamHandler,
    reused: boolean,
  ): void {
    this.#request = request;
    this.#payload = payload;
    this.#handler = handler;
    this.#reused = reused;
    this.#stage = WAITING;
    if (!reused) {
      this.begin();
      return;
    }
    waiting.add(this);
  }

  /** Whoever asked has gone, and hears no more. */
  stop(): void {
    this.open = false;
    this.doubtful = true;
    this.#handler = null;
    this.#request = null;
    this.#payload = null;
    this.#stopUpload();
  }

  abort(): void {
    this.stop();
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket.resume();
  }

  // The request

  begin(): void {
    const handler = this.#handler;
    const request = this.#request;
    const payload = this.#payload;
    this.#request = null;
    this.#payload = null;
    if (handler === null || request === null) return;
    if (!this.open || !this.#socket.writable) {
      this.#unsent(handler, STALE);
      return;
    }
    let text: string;
    try {
      text = requestText(request, payload);
    } catch (error) {
      this.#unsent(handler, error as Error);
      return;
    }
    this.#stage = HEAD;
    this.#method = request.method;
    this.#authenticated = authenticatesConnection(request.headers);
    this.#requestOut = false;
    const socket = this.#socket;
    socket.write(text, 'latin1');
    if (socket.errored !== null) {
      // The kernel said so at once, and took nothing.
      this.#unsent(handler, this.#reused ? STALE : socket.errored);
      return;
    }
    handler.onRequestStart(this);
    if (goesAtOnce(payload)) {
      this.#requestOut = true;
      if (payload !== null) handler.onBodySent((payload as Buffer).length);
      handler.onRequestSent();
    } else {
      this.#upload = new Http1Upload(socket, request, this);
      this.#upload.begin(payload as Buffer | BodyReader);
    }
  }

  #unsent(handler: StreamHandler, error: Error): void {
    this.#handler = null;
    this.open = false;
    handler.onResponseError(this, error);
  }

  uploadMoved(bytes: number): void {
    this.#handler?.onBodySent(bytes);
  }

  uploadOver(error: Error | null): void {
    this.#upload = null;
    if (error !== null) {
      this.#fail(error);
      return;
    }
    this.#requestOut = true;
    this.#handler?.onRequestSent();
  }

  #stopUpload(): void {
    this.#upload?.stop();
    this.#upload = null;
  }

  // The response

  #onData = (chunk: Buffer): void => {
    const handler = this.#handler;
    if (handler === null || this.#stage <= WAITING) {
      this.#spoil();
      return;
    }
    let at = 0;
    if (this.#stage === HEAD) {
      at = this.#readHead(handler, chunk);
      if (at < 0) return;
    }
    switch (this.#stage) {
      case LENGTH: {
        const to = Math.min(chunk.length, at + this.#left);
        this.#left -= to - at;
        if (to > at) handler.onResponseData(this, to - at === chunk.length ? chunk : chunk.subarray(at, to));
        if (this.#left === 0 && this.#handler === handler) this.#complete(handler, to < chunk.length);
        return;
      }
      case CHUNKS: {
        const chunks = this.#chunks as ChunkedReader;
        at = chunks.read(chunk, at, this);
        if (this.#handler !== handler) return;
        if (at === FAULT) this.#fail(faultOf(chunks.fault as HeadFault));
        else if (chunks.done) this.#complete(handler, at < chunk.length, chunks.trailers);
        return;
      }
      default:
        if (at < chunk.length) handler.onResponseData(this, at === 0 ? chunk : chunk.subarray(at));
    }
  };

  /** For the reader of chunks. */
  bodyData(data: Buffer): void {
    this.#handler?.onResponseData(this, data);
  }

  /** The position behind the head of the final response; negative: there is nothing more to do. */
  #readHead(handler: StreamHandler, chunk: Buffer): number {
    let at = 0;
    do {
      at = this.#head.read(chunk, at);
      if (at === MORE) return at;
      if (at === FAULT) {
        this.#fail(faultOf(this.#head.fault as HeadFault));
        return FAULT;
      }
      const head = readResponseHead(this.#head.text, this.#bounds);
      this.#head.reset();
      if (head instanceof HeadFault) {
        this.#fail(faultOf(head));
        return FAULT;
      }
      const { status, fields, reason } = head;
      if (status >= 200) {
        const framing = framingOf(head);
        if (framing.invalid !== null) {
          this.#fail(new Http1Fault('H1_MALFORMED', framing.invalid));
          return FAULT;
        }
        this.#keepAlive = framing.keepAlive;
        const bodiless = isBodiless(this.#method, status);
        if (bodiless) this.#expectLength(0);
        else if (framing.chunked) this.#expectChunks();
        else if (framing.contentLength !== null) this.#expectLength(framing.contentLength);
        else this.#expectEnd();
        // A server may well answer while it reads; one that refuses, or closes, does not want the rest.
        if (!this.#requestOut && (status >= 300 || !this.#keepAlive)) this.#stopUpload();
        handler.onResponseStart(this, status, fields, reason);
        return this.#handler === handler ? at : FAULT;
      }
      // RFC 9110, section 15.2.2: we asked for no other protocol.
      if (status === 101) {
        this.#fail(new Http1Fault('H1_MALFORMED', 'a 101 that was not asked for'));
        return FAULT;
      }
      handler.onResponseStart(this, status, fields, reason);
      if (this.#handler !== handler) return FAULT;
    } while (at < chunk.length);
    return MORE;
  }

  #expectLength(bytes: number): void {
    this.#stage = LENGTH;
    this.#left = bytes;
  }

  #expectChunks(): void {
    this.#stage = CHUNKS;
    this.#chunks = new ChunkedReader(this.#bounds);
  }

  #expectEnd(): void {
    this.#stage = TO_THE_END;
    this.#keepAlive = false;
    if (this.#socket === this.#tcp) this.#closeNotified = true;
    else {
      onCloseNotify(this.#socket, this.#tcp, () => {
        this.#closeNotified = true;
      });
    }
  }

  // The end

  #complete(handler: StreamHandler, surplus: boolean, trailers: readonly string[] = NO_TRAILERS): void {
    this.#handler = null;
    this.#stage = IDLE;
    this.#chunks = null;
    if (surplus || !this.#requestOut) this.doubtful = true;
    if (this.doubtful || !this.#keepAlive || this.#authenticated) this.open = false;
    this.#stopUpload();
    // What comes on it from here on must be seen.
    this.resume();
    handler.onResponseEnd(this, trailers);
  }

  #fail(error: Error): void {
    const handler = this.#handler;
    this.stop();
    handler?.onResponseError(this, error);
  }

  #spoil(): void {
    const idle = this.open && this.#stage === IDLE;
    this.open = false;
    this.doubtful = true;
    if (idle) this.#home.sessionSpoiled();
  }

  #onEnd = (): void => {
    this.open = false;
    const handler = this.#handler;
    if (handler === null || this.#stage <= WAITING) return;
    if (this.#stage === TO_THE_END && this.#closeNotified && this.#home.broken === null)
      this.#complete(handler, false);
    else {
      const how = this.#stage === TO_THE_END ? 'TLS ended without close_notify' : 'closed';
      this.#fail(new Http1Fault('H1_CLOSED', how));
    }
  };

  #onClose = (): void => {
    this.open = false;
    if (this.#handler !== null && this.#stage > WAITING)
      this.#fail(this.#home.broken ?? new Http1Fault('H1_CLOSED', 'closed'));
  };
}
