/**
 * One connection to an origin, from the first look-up of its name to the last event of its socket. It
 * counts against the limits for the whole of that time, so that closing one never lets the origin see
 * one too many.
 *
 * HTTP/1.1 is spoken on it, one request at a time, or HTTP/2 where TLS has agreed on it (RFC 9113, section
 * 3.2), and then several requests share the connection. Where it had gone before a request was begun, the
 * answer is `stale`, which is how a kept-alive connection that the origin closed is told from a request that
 * failed.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { TimeoutPolicy } from '../policy/policy.ts';
import { type Dial, type DialContext, Dial as Dialler, type DialObserver, type DialTarget } from './dial.ts';
import type { Http1Request } from './http1-request.ts';
import { type Http1Home, Http1Session, STALE } from './http1-session.ts';
import type { Http2Request } from './http2-fields.ts';
import { Http2Session, type SessionOwner } from './http2-session.ts';
import { linger, part, reset } from './parting.ts';
import type { BodyReader } from './replay-body.ts';
import type { StreamHandler } from './stream-handler.ts';

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

const ABORTED = Object.assign(new Error('aborted'), { code: 'OUTRIGGER_ABORTED' });

export class Connection implements SessionOwner, Http1Home {
  state: ConnectionState = 'connecting';
  address: string | null = null;
  bornAt = 0;
  /** Moment at which an idle connection is closed. */
  idleUntil = 0;
  /** How the socket failed, so that a body that ends with it is not taken for a whole one. */
  broken: NodeJS.ErrnoException | null = null;
  /** Whether a request has been carried before. */
  used = false;
  /** Exchanges that hold it. */
  streams = 0;

  readonly #owner: ConnectionOwner;
  #dial: Dialler | null = null;
  #tcp: Socket | null = null;
  #socket: Socket | TLSSocket | null = null;
  /** Made with the first request, for a tunnel has none. */
  #http1: Http1Session | null = null;
  #session: Http2Session | null = null;
  #headerBytes = HEADER_BYTES;
  #retired = false;

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
      this.broken === null &&
      (this.#http1 === null || this.#http1.open) &&
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

  /** Takes over the socket of a dial that has succeeded; `headerBytes` bounds a response head. */
  attach(dial: Dial, headerBytes = HEADER_BYTES): void {
    const socket = dial.socket as Socket | TLSSocket;
    this.#dial = null;
    this.#tcp = dial.tcp;
    this.#socket = socket;
    this.#headerBytes = headerBytes;
    this.address = dial.address;
    this.bornAt = performance.now();
    this.state = 'busy';
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.broken ??= error;
      // Node leaves TLS open whose records are broken: nobody would hear of its end before a timeout.
      reset(dial.tcp as Socket, socket);
    });
    socket.once('close', () => this.#gone());
    if ('alpnProtocol' in socket && socket.alpnProtocol === 'h2' && socket.writable) {
      this.#session = new Http2Session(socket, headerBytes, this);
    }
    if (socket.destroyed) process.nextTick(() => this.#gone());
    this.#owner.connectionChanged(this);
  }

  /** Waits for its first request: the origin's end, or what it says unasked, must be seen all the same. */
  park(): void {
    if (this.#session === null) this.#speakHttp1();
  }

  /** RFC 9112, section 9.2: an answer that nobody asked for is nobody's. */
  sessionSpoiled(): void {
    this.kill();
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

  /** Sends a request of HTTP/1.1; whatever becomes of it reaches the handler. */
  send(request: Http1Request, body: Buffer | BodyReader | null, handler: StreamHandler): void {
    this.#speakHttp1().request(request, body, handler, this.used);
  }

  #speakHttp1(): Http1Session {
    this.#http1 ??= new Http1Session(this.#socket as Socket, this.#tcp as Socket, this.#headerBytes, this);
    return this.#http1;
  }

  /** Sends a request on a stream of its own; whatever becomes of it reaches the handler. */
  request(request: Http2Request, body: Buffer | BodyReader | null, handler: StreamHandler): void {
    const session = this.#session as Http2Session;
    this.used = true;
    if (session.open) session.request(request, body, handler);
    else process.nextTick(() => handler.onResponseError(null, STALE));
  }

  /** An exchange got no answer on it: is anybody there? Whoever holds it goes on until that is known. */
  probe(): void {
    this.#session?.probe();
  }

  /** How long it may idle, milliseconds: the origin's own hint, less a margin, wins over the policy. */
  static idleMs(policyMs: number, hintMs: number | null): number {
    if (hintMs === null) return policyMs;
    // Half of a short hint, a fixed margin off a long one: the origin must not close while we write.
    return Math.max(hintMs - HINT_MARGIN_MS, hintMs / 2);
  }

  /** Ends it in good order. */
  close(): void {
    if (this.state === 'closing') return;
    if (this.#http1?.doubtful === true) {
      this.kill();
      return;
    }
    this.state = 'closing';
    const socket = this.#socket;
    if (!socket || socket.destroyed) return;
    if (this.#session) {
      this.#session.close();
      linger(this.#tcp as Socket, socket);
      return;
    }
    part(this.#tcp as Socket, socket);
  }

  /** Ends it at once. */
  kill(): void {
    this.state = 'closing';
    if (this.#socket) {
      this.broken ??= ABORTED;
      this.#http1?.stop();
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
