/**
 * Callers that speak HTTP/2: a session for each connection, and an exchange of its own for each stream.
 *
 * Rules: RFC 9113, section 3.3 (prior knowledge; where TLS agreed on h2 somebody else has seen to that),
 * section 6.8 (GOAWAY before an end in good order), section 10.5 (what costs us more than the caller is
 * bounded). A connection without a stream is closed after `listen.idleTimeout`, and one whose caller does
 * not finish the opening of HTTP/2 after `listen.headTimeout`. An exchange that ends badly takes its
 * stream with it and nothing else. A caller's own GOAWAY is about streams of ours, which there are none of:
 * its exchanges go on, and the connection ends with the last.
 */
import type { performServerHandshake, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { asOutriggerError } from '../errors.ts';
import type { HeadBounds } from '../http1/head-fault.ts';
import { http2 } from '../node-http.ts';
import { clientOf } from './admission.ts';
import { putInside } from './caller.ts';
import { type Place, type PlaceHolder, placeOf } from './caller-places.ts';
import type { Forwarder } from './forward.ts';
import { ownNamesOf, requestOf, type StreamHome } from './http2-request.ts';
import { Http2Response } from './http2-response.ts';
import type { Inside } from './way.ts';

export interface Http2CallerOptions extends Http2Services {
  /** `listen.streams` */
  readonly streams: number;
}

/** What all connections have in common now: another configuration puts others there, for the streams to come. */
interface Http2Services {
  forwarder: Forwarder;
  /** Of a request's head. */
  bounds: HeadBounds;
}

/** After GOAWAY the caller has this long to close, milliseconds. */
const LINGER_MS = 1_000;

/** The window of a stream: what a caller may send while its exchange does not read. */
const WINDOW_BYTES = 65_535;

/** A field's overhead (RFC 9113, section 6.5.2); what it bounds is the number of fields. */
const FIELD_BYTES = 32;

/** Streams that a caller may open and reset at once and by the second: a hurried one does, an attacker more. */
const RESETS_AT_ONCE = 1_000;
const RESETS_BY_SECOND = 100;

/** Frames that break the protocol without ending it, or say nothing: empty DATA, WINDOW_UPDATE of a closed stream. */
const INVALID_FRAMES = 1_000;

/** A response's head has been bounded where it came in; this bounds what edits and HPACK add to it. */
const SENT_HEAD_BYTES_MIN = 65_536;

export class Http2Callers {
  readonly #services: Http2Services;
  /** Of the connections to come: those that are there have settled theirs. */
  #handshake: HandshakeOptions;
  readonly #callers = new Set<Http2Caller>();

  constructor({ forwarder, bounds, streams }: Http2CallerOptions) {
    this.#services = { forwarder, bounds };
    this.#handshake = handshakeOf(streams, bounds);
  }

  /** For every stream that has not begun. */
  serveBy({ forwarder, bounds, streams }: Http2CallerOptions): void {
    this.#services.forwarder = forwarder;
    this.#services.bounds = bounds;
    this.#handshake = handshakeOf(streams, bounds);
  }

  /**
   * From here the connection is HTTP/2. Nobody else reads it or listens to its data, and its handshake, if
   * it has one, is over; `early` is what has been read of it, the preface included.
   */
  accept(socket: Socket, early: readonly Buffer[], inside: Inside | null): void {
    if (socket.destroyed) return;
    if (inside) putInside(socket, inside);
    // While it is known.
    clientOf(socket);
    socket.on('error', ignore);
    socket.pause();
    if (early.length > 0) socket.unshift(Buffer.concat(early));
    // An end is a caller that has gone: nobody sends half of HTTP/2.
    socket.allowHalfOpen = false;
    // A TLS socket that no server of Node's has made says so forever, and the session would wait for it.
    if ('secureConnecting' in socket) socket.secureConnecting = false;
    let session: ServerHttp2Session;
    try {
      session = http2().performServerHandshake(socket, this.#handshake);
    } catch {
      socket.destroy();
      return;
    }
    const caller = new Http2Caller(session, socket, inside, this.#services);
    this.#callers.add(caller);
    socket.once('close', () => {
      this.#callers.delete(caller);
      caller.closed();
    });
  }

  /** New streams are refused; those that are open go on. */
  stop(): void {
    for (const caller of this.#callers) caller.stop();
  }
}

class Http2Caller implements PlaceHolder {
  readonly #session: ServerHttp2Session;
  readonly #services: Http2Services;
  readonly #place: Place;
  readonly #home: StreamHome;
  /** Exchanges under way. */
  #active = 0;
  /** The caller has said GOAWAY. */
  #leaving = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(session: ServerHttp2Session, socket: Socket, inside: Inside | null, services: Http2Services) {
    this.#session = session;
    this.#services = services;
    const ownNames: ReadonlySet<string> = inside === null ? ownNamesOf(socket) : new Set();
    this.#home = { socket, inside: inside?.target.scheme ?? null, ownNames, services };
    this.#place = placeOf(socket);
    this.#place.holder = this;
    this.#place.fresh();
    session.on('error', ignore);
    session.once('remoteSettings', () => {
      if (this.#active === 0) this.#place.idle();
    });
    session.on('stream', this.#onStream);
    session.on('goaway', this.#onGoaway);
  }

  stop(): void {
    this.#session.close();
    if (this.#active === 0) this.#linger();
  }

  closed(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #onStream = (stream: ServerHttp2Stream, _headers: unknown, _flags: number, raw: string[]): void => {
    // It was reset before its turn came: nobody asks for anything any more.
    if (stream.destroyed || stream.closed) {
      stream.on('error', ignore);
      return;
    }
    if (this.#active++ === 0) this.#place.busy();
    const request = requestOf(stream, raw, stream.endAfterHeaders, this.#home);
    const response = new Http2Response(stream, request.method, this.#over);
    try {
      this.#services.forwarder.handle(request, response);
    } catch (thrown) {
      this.#broke(response, thrown);
    }
  };

  #over = (): void => {
    this.#active--;
    if (this.#active > 0) return;
    if (this.#leaving) this.#part();
    else if (this.#session.closed) this.#linger();
    else this.#place.idle();
  };

  /** A bug of ours ends its stream, and nothing else. */
  #broke(response: Http2Response, thrown: unknown): void {
    try {
      if (response.owner === null) response.destroy();
      else response.owner.malformed(asOutriggerError(thrown));
    } catch {
      response.destroy();
    }
  }

  /** The caller has said GOAWAY, and nothing of it is under way. */
  #part = (): void => {
    if (this.#active > 0) return;
    this.#session.close();
    this.#linger();
  };

  /**
   * Node would answer with a GOAWAY at once. Once that is out, an error of the caller's that ends the connection
   * is no longer reported and the socket no longer read, so that nobody would see the caller go.
   */
  #onGoaway = (code: number): void => {
    if (code !== http2().constants.NGHTTP2_NO_ERROR) return;
    this.#leaving = true;
    const session = this.#session;
    session.close = ignore;
    // Node closes right after its listeners.
    process.nextTick(() => Reflect.deleteProperty(session, 'close'));
    // Node reports a stream that came just before only after this.
    setImmediate(this.#part);
  };

  #linger(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#place.busy();
    if (!this.#home.socket.destroyed) this.#timer = setTimeout(this.#lingered, LINGER_MS);
  }

  #lingered = (): void => {
    if (this.#active === 0) this.#home.socket.destroy();
  };

  /** RFC 9113, section 9.1: an idle connection may be closed, with a GOAWAY. */
  late(): void {
    if (this.#active > 0) return;
    if (this.#session.closed || this.#session.destroyed) {
      this.#home.socket.destroy();
      return;
    }
    this.#session.close();
    this.#linger();
  }
}

type HandshakeOptions = Parameters<typeof performServerHandshake>[1];

function handshakeOf(streams: number, { headBytes: headerBytes }: HeadBounds): HandshakeOptions {
  return {
    settings: {
      enablePush: false,
      maxConcurrentStreams: streams,
      // As fields are counted there; a little more is answered, much more is reset.
      maxHeaderListSize: headerBytes * 2,
      initialWindowSize: WINDOW_BYTES,
    },
    maxHeaderListPairs: Math.ceil(headerBytes / FIELD_BYTES),
    maxSendHeaderBlockLength: Math.max(SENT_HEAD_BYTES_MIN, headerBytes * 2),
    // Megabytes: for each stream its window, as much on the way back, and its head.
    maxSessionMemory: Math.max(10, Math.ceil((streams * (WINDOW_BYTES * 2 + headerBytes * 2)) / 1e6)),
    streamResetBurst: RESETS_AT_ONCE,
    streamResetRate: RESETS_BY_SECOND,
    maxSessionInvalidFrames: INVALID_FRAMES,
    // What the origin sends twice goes on twice.
    strictSingleValueFields: false,
  };
}

function ignore(): void {
  // Every error is followed by a close, which is what is acted upon.
}
