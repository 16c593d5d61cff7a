/**
 * One connection to an origin, from the first look-up of its name to the last event of its socket. It
 * counts against the limits for the whole of that time, so that closing one never lets the origin see
 * one too many.
 *
 * HTTP/1.1 is spoken on it by an undici Client of its own that is handed the finished socket: undici
 * parses and frames, and never dials, queues or times. A Client whose socket has gone answers `stale`,
 * which is how a kept-alive connection that the origin closed is told from a request that failed. HTTP/2 is
 * spoken where TLS has agreed on it (RFC 9113, section 3.2), and then several requests share the connection.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { Client, type Dispatcher } from 'undici';
import type { TimeoutPolicy } from '../policy/policy.ts';
import { type Dial, type DialContext, Dial as Dialler, type DialObserver, type DialTarget } from './dial.ts';
import type { Http2Request } from './http2-fields.ts';
import { Http2Session, type SessionOwner } from './http2-session.ts';
import type { StreamHandler } from './http2-stream.ts';
import { linger, part, reset } from './parting.ts';
import type { BodyReader } from './replay-body.ts';

export type ConnectionState = 'connecting' | 'busy' | 'idle' | 'closing';

/** Where nobody says otherwise. */
const HEADER_BYTES = 32_768;

/** A Keep-Alive hint is used up to this much before its end, milliseconds. */
const HINT_MARGIN_MS = 1_000;

export interface ConnectionOwner {
  /** Its protocol is known now, or how many may share it. */
  connectionChanged(connection: Connection): void;
  /** The last trace of it is gone. */
  connectionClosed(connection: Connection): void;
}

/** The error a Client reports for a request it could not begin because its socket had gone. */
export class StaleConnection extends Error {
  readonly code = 'OUTRIGGER_STALE';
}

const STALE = new StaleConnection('the connection had gone before the request was written');
const ABORTED = Object.assign(new Error('aborted'), { code: 'OUTRIGGER_ABORTED' });

export class Connection implements SessionOwner {
  state: ConnectionState = 'connecting';
  address: string | null = null;
  bornAt = 0;
  /** Moment at which an idle connection is closed. */
  idleUntil = 0;
  /** Set when the socket fails, so that a body that ends with it is not taken for a whole one. */
  broken: NodeJS.ErrnoException | null = null;
  /** Whether a request has been carried before. */
  used = false;
  /** Exchanges that hold it. */
  streams = 0;

  readonly #owner: ConnectionOwner;
  #dial: Dialler | null = null;
  #tcp: Socket | null = null;
  #socket: Socket | TLSSocket | null = null;
  #client: Client | null = null;
  #session: Http2Session | null = null;
  #retired = false;
  /** A response is whole, and undici is about to decide whether the socket lives on. */
  #deciding = false;
  /** undici has decided against it. */
  #spent = false;

  constructor(owner: ConnectionOwner) {
    this.#owner = owner;
  }

  get ready(): boolean {
    return this.#socket !== null;
  }

  /** False once the socket can carry nothing more. */
  get usable(): boolean {
    const socket = this.#socket;
    return (
      socket !== null &&
      !socket.destroyed &&
      socket.writable &&
      !this.#spent &&
      this.broken === null &&
      (this.#session === null || this.#session.open)
    );
  }

  /** Several exchanges may hold it at once. */
  get multiplexed(): boolean {
    return this.#session !== null;
  }

  /** How many exchanges may hold it at once. */
  get capacity(): number {
    return this.#session === null ? 1 : this.#session.capacity;
  }

  /** Its protocol and its capacity are known. */
  get settled(): boolean {
    return this.#session === null ? this.ready : this.#session.settled;
  }

  /** It ends with the last of those who hold it, and nobody else gets it. */
  get retired(): boolean {
    return this.#retired;
  }

  retire(): void {
    this.#retired = true;
  }

  /** Whether one more may hold it. */
  get hasRoom(): boolean {
    return !this.#retired && this.streams < this.capacity && this.usable;
  }

  dial(target: DialTarget, context: DialContext, timeouts: TimeoutPolicy, observer: DialObserver): void {
    this.#dial = new Dialler(target, context, timeouts, observer);
    this.#dial.start();
  }

  /** Takes over the socket of a dial that has succeeded; `headerBytes` bounds a response head of HTTP/2. */
  attach(dial: Dial, headerBytes = HEADER_BYTES): void {
    const socket = dial.socket as Socket | TLSSocket;
    this.#dial = null;
    this.#tcp = dial.tcp;
    this.#socket = socket;
    this.address = dial.address;
    this.bornAt = performance.now();
    this.state = 'busy';
    // Before undici's own listener: a reset that ends a close-delimited body must be known as a reset.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.broken ??= error;
    });
    socket.once('close', () => this.#gone());
    if ('alpnProtocol' in socket && socket.alpnProtocol === 'h2' && socket.writable) {
      this.#session = new Http2Session(socket, headerBytes, this);
    } else this.#keepOpen(socket);
    if (socket.destroyed) process.nextTick(() => this.#gone());
    this.#owner.connectionChanged(this);
  }

  /** Waits for its first request: nobody reads yet, and the origin's end must be seen all the same. */
  park(): void {
    if (this.#session === null) this.#socket?.once('readable', this.#onParked);
  }

  /** The end, or an answer that nobody asked for. */
  #onParked = (): void => {
    this.#spent = true;
    this.close();
  };

  #keepOpen(socket: Socket): void {
    // undici would close a socket that it has no more use for without a look at the origin, which then still
    // counts the connection when its successor comes. How it ends is ours to say.
    const destroy = socket.destroy.bind(socket);
    socket.destroy = (error?: Error) => {
      if (!this.#deciding) return destroy(error);
      this.#spent = true;
      return socket;
    };
  }

  sessionChanged(): void {
    this.#owner.connectionChanged(this);
  }

  sessionSilent(): void {
    this.kill();
  }

  /** The raw socket, for a tunnel. */
  get socket(): Socket {
    return this.#socket as Socket;
  }

  /** Sends a request; false is never returned, and a refusal by undici reaches the handler. */
  dispatch(
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
    maxHeaderSize: number,
  ): void {
    if (this.#client === null) {
      this.#socket?.off('readable', this.#onParked);
      this.#client = this.#speakHttp(maxHeaderSize);
    }
    this.#client.dispatch(options, handler);
  }

  /** Sends a request on a stream of its own; whatever becomes of it reaches the handler. */
  request(request: Http2Request, body: Buffer | BodyReader | null, handler: StreamHandler): void {
    const session = this.#session as Http2Session;
    this.used = true;
    if (session.open) session.request(request, body, handler);
    else process.nextTick(() => handler.onResponseError(null as never, STALE));
  }

  /** An exchange got no answer on it: is anybody there? Whoever holds it goes on until that is known. */
  probe(): void {
    this.#session?.probe();
  }

  #speakHttp(maxHeaderSize: number): Client {
    let socket = this.#socket;
    // The URL is for undici alone: it is always http:, so that it never compares server names or dials.
    return new Client('http://origin.invalid', {
      connect: (_options: unknown, callback: (error: Error | null, socket: Socket | null) => void) => {
        const once = socket;
        socket = null;
        // Later, for the Client does not look again while it is still dispatching.
        process.nextTick(() => {
          if (once && !once.destroyed) callback(null, once);
          else callback(STALE, null);
        });
      },
      allowH2: false,
      pipelining: 1,
      maxHeaderSize,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: 2 ** 31 - 1,
      keepAliveMaxTimeout: 2 ** 31 - 1,
      keepAliveTimeoutThreshold: 0,
    } as Client.Options);
  }

  /** How long it may idle, milliseconds: the origin's own hint, less a margin, wins over the policy. */
  static idleMs(policyMs: number, hintMs: number | null): number {
    if (hintMs === null) return policyMs;
    // Half of a short hint, a fixed margin off a long one: the origin must not close while we write.
    return Math.max(hintMs - HINT_MARGIN_MS, hintMs / 2);
  }

  /** To be called when a response is whole, before undici looks at the socket; `decided` follows. */
  deciding(): void {
    this.#deciding = true;
  }

  decided(): void {
    this.#deciding = false;
  }

  /** Ends it in good order. */
  close(): void {
    if (this.state === 'closing') return;
    this.state = 'closing';
    const socket = this.#socket;
    if (!socket || socket.destroyed) return;
    if (this.#session) {
      this.#session.close();
      linger(this.#tcp as Socket, socket);
      return;
    }
    part(this.#tcp as Socket, socket);
    if (this.#spent) {
      // undici reads no more, but the origin's FIN must be seen.
      socket.removeAllListeners('readable');
      socket.resume();
    }
  }

  /** Ends it at once. */
  kill(): void {
    this.state = 'closing';
    if (this.#socket) {
      this.broken ??= ABORTED;
      // undici takes a close without an error for the end of a close-delimited body, also where the request
      // was aborted long ago, and fails an assertion: it is told first.
      if (this.#client) this.#socket.emit('error', ABORTED);
      reset(this.#tcp as Socket, this.#socket);
      return;
    }
    const dial = this.#dial;
    this.#dial = null;
    dial?.cancel();
    // It counts until the last socket of the dial is closed.
    if (dial?.tcp && !dial.tcp.closed) dial.tcp.once('close', () => this.#gone());
    else this.#gone();
  }

  #gone(): void {
    this.state = 'closing';
    this.#owner.connectionClosed(this);
  }
}
