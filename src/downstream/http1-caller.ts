/**
 * A caller's connection on which HTTP/1.1 is spoken: it reads a head, hands on the exchange, feeds it its body,
 * and reads the next head when the response is over.
 *
 * Keeps: RFC 9112, section 9.3.2 (one exchange at a time, in the order in which they came; what comes too early
 * is kept, bounded, and then left to the kernel), section 9.6 (after the last answer the caller's bytes are
 * read and thrown away for a while, so that no reset takes the answer along), section 2.2 (after what is no
 * request nothing is read as one). The connection is read while a response is under way, for only so the caller
 * is seen to leave. Nothing is thrown out of it. Between two exchanges it holds next to nothing.
 */
import type { Socket } from 'node:net';
import { asOutriggerError, OutriggerError } from '../errors.ts';
import { type HeadBounds, HeadFault } from '../http1/head-fault.ts';
import { FAULT, HeadReader, MORE } from '../http1/head-reader.ts';
import { isHttp2Preface, readRequestHead } from '../http1/request-head.ts';
import type { CallerRequest, CallerResponse } from './caller.ts';
import type { Place, PlaceHolder } from './caller-places.ts';
import { DRAIN_BYTES, Http1Request } from './http1-request.ts';
import { Http1Response, type ResponseHome } from './http1-response.ts';

/** Who carries what is asked for. */
export interface CallerServices {
  readonly bounds: HeadBounds;
  readonly headTimeoutMs: number;
  readonly forwarder: { handle(request: CallerRequest, response: CallerResponse): void };
  readonly tunnels: { handle(request: Http1Request, early: Buffer): void };
  readonly webSockets: { handle(request: Http1Request, early: Buffer): void };
  /** Takes over a connection, with what came on it. */
  readonly http2: (socket: Socket, early: Buffer) => void;
}

/** What all connections have in common now: another configuration puts others there, for the requests to come. */
export interface CallerHome extends CallerServices {
  readonly keepAliveFields: string;
  /** No exchange is to follow one that ends now. */
  readonly stopping: boolean;
  /** An answer where there is no exchange to have one, and its log line. */
  answer(error: OutriggerError, socket: Socket): void;
}

/** Bytes that are kept of what comes while an exchange is under way. */
const KEPT_BYTES = 65_536;

/** What a caller still sends after it has been answered, milliseconds. */
const DRAIN_MS = 2_000;

/** After the last answer the caller has this long to read it and close, milliseconds. */
const LINGER_MS = 1_000;

/** RFC 8446, section 5.1: how a handshake begins. */
const TLS_HANDSHAKE = 0x16;

/** RFC 9113, section 3.4, in two parts: what reads like a head, and what comes behind it. */
const PREFACE_HEAD = Buffer.from('PRI * HTTP/2.0\r\n\r\n', 'latin1');
const PREFACE_REST = Buffer.from('SM\r\n\r\n', 'latin1');

/** Waits for a head, or is reading one. */
const HEAD = 0;
/** An exchange is under way. */
const EXCHANGE = 1;
/** Answered; the rest of the request's body is to come. */
const REST = 2;
/** The head of HTTP/2's preface was here. */
const PREFACE = 3;
/** What comes is thrown away. */
const CLOSING = 4;
/** The connection has gone, or is somebody else's. */
const GONE = 5;

const CALLER = Symbol('caller');

type CallerSocket = Socket & { [CALLER]?: Http1Caller | undefined };

export class Http1Caller implements PlaceHolder, ResponseHome {
  readonly socket: Socket;
  readonly #home: CallerHome;
  readonly #place: Place;
  #state = HEAD;
  #reader: HeadReader | null = null;
  #request: Http1Request | null = null;
  #response: Http1Response | null = null;
  /** Came while an exchange was under way, or while what came before is being read. */
  #kept: Buffer[] | null = null;
  #keptBytes = 0;
  #reading = false;
  /** `#readKept` will be called. */
  #willRead = false;
  #bodyHeld = false;
  #paused = false;
  /** Nothing more will come. */
  #ended = false;
  #isFirst = true;
  /** Of the first head, until it is here whole; the preface must be the first that comes. */
  #headBytes = 0;
  #closingBytes = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(socket: Socket, place: Place, home: CallerHome) {
    this.socket = socket;
    this.#place = place;
    this.#home = home;
    place.holder = this;
    (socket as CallerSocket)[CALLER] = this;
    socket.on('data', onData);
    socket.on('end', onEnd);
    socket.on('drain', onDrain);
    socket.on('close', onClose);
    if (socket.readableEnded) this.#ended = true;
  }

  get keepAliveFields(): string {
    return this.#home.keepAliveFields;
  }

  /** What came; the first of it may have been read by others. */
  data(chunk: Buffer): void {
    if (this.#reading || this.#kept !== null) {
      this.#keep(chunk);
      return;
    }
    this.#reading = true;
    try {
      this.#read(chunk);
    } catch (thrown) {
      this.#broke(thrown);
    }
    this.#reading = false;
    if (this.#kept !== null) this.#willReadKept();
  }

  /** Nothing more will come: nobody waits for an answer, unless its own request is what is missing. */
  end(): void {
    this.#ended = true;
    try {
      // What it has asked for is decided: the connection ends behind that.
      if (this.#response?.isDue) return;
      if (this.#state === EXCHANGE) this.#left();
      else if ((this.#state === HEAD || this.#state === PREFACE) && this.#kept === null) this.#endOfHeads();
      else if (this.#state !== GONE && this.#kept === null && !this.socket.writableEnded) this.socket.end();
    } catch (thrown) {
      this.#broke(thrown);
    }
  }

  drained(): void {
    if (this.#state === EXCHANGE) this.#response?.owner?.drained();
  }

  closed(): void {
    const response = this.#response;
    this.#leave();
    response?.close();
  }

  late(): void {
    if (this.#state === PREFACE || (this.#state === HEAD && (this.#reader?.begun ?? false))) {
      this.#refuse(new OutriggerError('request_head_timeout', `after ${this.#home.headTimeoutMs} ms`));
    } else if (this.#state === HEAD) setImmediate(this.#leaveIfSilent, this.socket.bytesRead);
    else this.socket.destroy();
  }

  /** Where we ourselves were held up, the timer came first: what has arrived meanwhile is read by now. */
  #leaveIfSilent = (bytesRead: number): void => {
    if (this.#state === HEAD && this.socket.bytesRead === bytesRead) this.socket.destroy();
  };

  // For requests and responses

  holdBody(request: Http1Request): void {
    if (request === this.#request && !request.complete) this.#hold(true);
  }

  letBodyFlow(request: Http1Request): void {
    if (request === this.#request) this.#hold(false);
  }

  #hold(held: boolean): void {
    this.#bodyHeld = held;
    this.#regulate();
  }

  responseOver(response: Http1Response): void {
    if (this.#state !== EXCHANGE || this.#response !== response) return;
    const request = this.#request as Http1Request;
    this.#response = null;
    this.#bodyHeld = false;
    if (response.last || this.#ended || this.#home.stopping) {
      this.socket.end();
      this.#close();
      return;
    }
    if (request.complete) this.#next();
    else {
      this.#state = REST;
      if (request.discarded > DRAIN_BYTES) this.socket.destroy();
      else this.#timer = setTimeout(destroy, DRAIN_MS, this.socket).unref();
    }
    this.#regulate();
  }

  // What comes

  #read(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      switch (this.#state) {
        case HEAD:
          at = this.#readHead(chunk, at);
          break;
        case EXCHANGE: {
          const request = this.#request as Http1Request;
          if (request.complete) {
            this.#keep(chunk.subarray(at), true);
            return;
          }
          at = request.take(chunk, at);
          if (request.fault !== null) this.#brokenBody(request.fault);
          else if (request.discarded > DRAIN_BYTES) this.socket.destroy();
          else if (request.complete && this.#bodyHeld) this.#hold(false);
          break;
        }
        case REST: {
          const request = this.#request as Http1Request;
          at = request.take(chunk, at);
          if (request.fault !== null || request.discarded > DRAIN_BYTES) this.socket.destroy();
          else if (request.complete) this.#next();
          break;
        }
        case PREFACE:
          at = this.#readPreface(chunk, at);
          break;
        case CLOSING:
          this.#closingBytes += chunk.length - at;
          if (this.#closingBytes > DRAIN_BYTES) this.socket.destroy();
          return;
        default:
          return;
      }
    }
  }

  /** Where to read on. */
  #readHead(chunk: Buffer, from: number): number {
    const { bounds } = this.#home;
    const reader = (this.#reader ??= new HeadReader(bounds));
    const at = reader.read(chunk, from);
    if (at === MORE) {
      if (this.#isFirst) this.#headBytes += chunk.length - from;
      if (reader.begun) this.#place.reading();
      return chunk.length;
    }
    if (at === FAULT) {
      const isTls = this.#isFirst && this.#headBytes === 0 && chunk[from] === TLS_HANDSHAKE;
      this.#refuse(
        isTls
          ? new OutriggerError(
              'request_malformed',
              'TLS, where plain HTTP is spoken: the URL of the proxy begins with http://',
            )
          : refusalOf(reader.fault as HeadFault),
      );
      return chunk.length;
    }
    const { text } = reader;
    this.#reader = null;
    if (this.#isFirst) {
      this.#isFirst = false;
      if (this.#headBytes + at - from === PREFACE_HEAD.length && isHttp2Preface(text)) {
        this.#state = PREFACE;
        return at;
      }
    }
    const head = readRequestHead(text, bounds);
    if (head instanceof HeadFault) {
      this.#refuse(refusalOf(head));
      return chunk.length;
    }
    const request = new Http1Request(head, this, bounds);
    this.#place.busy();
    if (head.method === 'CONNECT' || request.isWebSocketHandshake) {
      const rest = Buffer.concat([chunk.subarray(at), ...(this.#kept ?? [])]);
      // Nothing of it is HTTP any more.
      this.#leave();
      if (this.#paused) this.socket.resume();
      if (head.method === 'CONNECT') this.#home.tunnels.handle(request, rest);
      else this.#home.webSockets.handle(request, rest);
      return chunk.length;
    }
    const response = new Http1Response(this, request);
    this.#request = request;
    this.#response = response;
    this.#state = EXCHANGE;
    this.#home.forwarder.handle(request, response);
    return at;
  }

  #readPreface(chunk: Buffer, from: number): number {
    const wanted = PREFACE_REST.subarray(this.#closingBytes);
    const length = Math.min(wanted.length, chunk.length - from);
    if (!chunk.subarray(from, from + length).equals(wanted.subarray(0, length))) {
      this.#refuse(new OutriggerError('request_malformed', 'not HTTP/1.0 or HTTP/1.1'));
      return chunk.length;
    }
    this.#closingBytes += length;
    if (length < wanted.length) return chunk.length;
    this.#leave();
    this.#home.http2(this.socket, Buffer.concat([PREFACE_HEAD, PREFACE_REST, chunk.subarray(from + length)]));
    return chunk.length;
  }

  // What waits

  #keep(chunk: Buffer, isFirst = false): void {
    if (this.#kept === null) this.#kept = [chunk];
    else if (isFirst) this.#kept.unshift(chunk);
    else this.#kept.push(chunk);
    this.#keptBytes += chunk.length;
    this.#regulate();
  }

  /** Later, so that one answer does not stand on the shoulders of another. */
  #willReadKept(): void {
    if (this.#willRead || this.#kept === null || this.#state === EXCHANGE) return;
    this.#willRead = true;
    process.nextTick(readKept, this);
  }

  readKept(): void {
    this.#willRead = false;
    this.#reading = true;
    try {
      while (this.#kept !== null && (this.#state !== EXCHANGE || !(this.#request as Http1Request).complete)) {
        const chunk = this.#kept.shift() as Buffer;
        this.#keptBytes -= chunk.length;
        if (this.#kept.length === 0) this.#kept = null;
        this.#read(chunk);
      }
    } catch (thrown) {
      this.#broke(thrown);
    }
    this.#reading = false;
    this.#regulate();
    if (this.#kept !== null) this.#willReadKept();
    else if (this.#ended) this.end();
  }

  #next(): void {
    this.#stopTimer();
    this.#request = null;
    this.#state = HEAD;
    this.#place.idle();
    if (this.#kept !== null && !this.#reading) this.#willReadKept();
  }

  #regulate(): void {
    const full = this.#keptBytes > (this.#paused ? KEPT_BYTES / 2 : KEPT_BYTES);
    const wanted = full || (this.#bodyHeld && this.#state === EXCHANGE);
    if (wanted === this.#paused || this.#state === GONE) return;
    this.#paused = wanted;
    if (wanted) this.socket.pause();
    else this.socket.resume();
  }

  // The end

  #left(): void {
    const { complete } = this.#request as Http1Request;
    const owner = this.#response?.owner ?? null;
    if (complete || owner === null) this.socket.destroy();
    else owner.malformed(new OutriggerError('request_body_incomplete', 'the connection ended'));
  }

  #brokenBody(fault: HeadFault): void {
    const response = this.#response;
    if (response === null) this.socket.destroy();
    else {
      response.last = true;
      response.owner?.malformed(new OutriggerError('request_malformed', fault.reason));
    }
  }

  #endOfHeads(): void {
    if (this.#state === PREFACE || this.#reader?.begun)
      this.#refuse(new OutriggerError('request_malformed', 'the head broke off'));
    else {
      this.socket.end();
      this.#close();
    }
  }

  /** What came is no request: the answer is ours, and the connection ends with it. */
  #refuse(error: OutriggerError): void {
    this.#reader = null;
    this.#place.busy();
    this.#home.answer(error, this.socket);
    this.#close();
  }

  /** Everything has been written. */
  #close(): void {
    if (this.#state === GONE) return;
    this.#stopTimer();
    this.#state = CLOSING;
    this.#request = null;
    this.#response = null;
    this.#closingBytes = this.#keptBytes;
    this.#kept = null;
    this.#keptBytes = 0;
    this.#place.busy();
    this.#regulate();
    this.#timer = setTimeout(destroy, LINGER_MS, this.socket);
  }

  /** A bug of ours ends its exchange and its connection, and nothing else. */
  #broke(thrown: unknown): void {
    const error = asOutriggerError(thrown);
    try {
      const response = this.#response;
      if (response !== null && response.owner !== null) {
        response.last = true;
        response.owner.malformed(error);
      } else if (this.#state !== GONE) this.#refuse(error);
      else this.#brokeAtHandover(error);
    } catch {
      this.socket.destroy();
    }
  }

  /** Whoever was to take the connection over has not: nobody else would end it. */
  #brokeAtHandover(error: OutriggerError): void {
    const { socket } = this;
    this.#home.answer(error, socket);
    socket.resume();
    const timer = setTimeout(destroy, LINGER_MS, socket);
    socket.once('close', () => clearTimeout(timer));
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** It is heard of no more. */
  #leave(): void {
    const { socket } = this;
    this.#stopTimer();
    this.#state = GONE;
    this.#response = null;
    this.#kept = null;
    if (this.#place.holder === this) this.#place.holder = null;
    socket.off('data', onData);
    socket.off('end', onEnd);
    socket.off('drain', onDrain);
    socket.off('close', onClose);
    // Not deleted: that would make a slow object of the socket.
    (socket as CallerSocket)[CALLER] = undefined;
  }
}

function onData(this: CallerSocket, chunk: Buffer): void {
  this[CALLER]?.data(chunk);
}

function onEnd(this: CallerSocket): void {
  this[CALLER]?.end();
}

function onDrain(this: CallerSocket): void {
  this[CALLER]?.drained();
}

function onClose(this: CallerSocket): void {
  this[CALLER]?.closed();
}

function readKept(caller: Http1Caller): void {
  caller.readKept();
}

function destroy(socket: Socket): void {
  socket.destroy();
}

function refusalOf({ kind, reason }: HeadFault): OutriggerError {
  switch (kind) {
    case 'start line too long':
      return new OutriggerError('request_target_too_long', reason);
    case 'malformed':
      return new OutriggerError('request_malformed', reason);
    default:
      return new OutriggerError('request_head_too_large', reason);
  }
}
