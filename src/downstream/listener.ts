/**
 * The listener that the application talks to: takes connections in, as many as there may be, and gives each to
 * those who speak its protocol, its own and those inside tunnels.
 *
 * Rules: a connection that cannot be taken in is told so (503) before it is closed; out of descriptors, the
 * connection is lost and the listener is not. It reads no byte itself.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { ListenAddress } from '../config/config.ts';
import { OutriggerError } from '../errors.ts';
import type { HeadBounds } from '../http1/head-fault.ts';
import { beneathOf } from '../socket-reset.ts';
import { clientOf } from './admission.ts';
import { insideOf, putInside } from './caller.ts';
import { CallerPlaces, type Place, placeOf, type ShedReason, sharePlace } from './caller-places.ts';
import type { Tunnels } from './connect.ts';
import type { Forwarder } from './forward.ts';
import { type AnswerOptions, Http1Callers } from './http1-callers.ts';
import { Http2Callers } from './http2-callers.ts';
import type { Inside } from './way.ts';
import type { WebSockets } from './web-socket.ts';

export interface ListenerOptions extends AnswerOptions {
  readonly forwarder: Forwarder;
  readonly tunnels: Tunnels;
  readonly webSockets: WebSockets;
  readonly streams: number;
  /** Of a request's head. */
  readonly bounds: HeadBounds;
  readonly headTimeoutMs: number;
  readonly connections: number;
  readonly connectionsPerClient: number;
  /** A connection had to go, or did not get in. */
  readonly shed: (reason: ShedReason) => void;
}

/** Who is not let in has this long to read why, milliseconds; so many at once, for nobody counts them. */
const REFUSED_MS = 1_000;
const REFUSED_MAX = 256;

export class Listener {
  readonly #server: Server;
  readonly #http1: Http1Callers;
  readonly #http2: Http2Callers;
  readonly #places: CallerPlaces;
  readonly #sockets = new Set<Socket>();
  readonly #shed: ListenerOptions['shed'];
  #refused = 0;
  /** Called whenever a caller has come or gone. */
  onConnections: (() => void) | null = null;

  constructor(options: ListenerOptions) {
    const { forwarder, streams, bounds } = options;
    this.#places = new CallerPlaces(options);
    this.#http2 = new Http2Callers({ forwarder, streams, bounds });
    this.#http1 = new Http1Callers({
      ...options,
      http2: (socket, early) => this.#http2.accept(socket, [early], insideOf(socket)),
    });
    options.tunnels.inside = this;
    this.#shed = options.shed;
    // An end is no close: who has said all may still listen.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, this.#onConnection);
  }

  /** For what comes from now on, on new connections and on those that are there. */
  serveBy(options: Omit<ListenerOptions, 'shed'>): void {
    options.tunnels.inside = this;
    this.#places.setBounds({ ...options, shed: this.#shed });
    this.#http2.serveBy(options);
    this.#http1.serveBy(options);
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Resolves with the address as bound; rejects with Node's own error. */
  listen(address: ListenAddress): Promise<ListenAddress> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host: address.host, port: address.port, backlog: 4_096 }, () => {
        this.#server.off('error', reject);
        // Out of descriptors: the connection is lost, the listener is not.
        this.#server.on('error', ignore);
        const bound = this.#server.address() as AddressInfo;
        resolve({ host: bound.address, port: bound.port });
      });
    });
  }

  /** Takes no one in any more; who is connected stays. */
  stop(): Promise<void> {
    this.#http1.stopping = true;
    this.#http2.stop();
    return new Promise((resolve) => {
      this.#server.close(() => {
        this.#places.stop();
        resolve();
      });
    });
  }

  /** Closes every connection, whatever it is doing. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** A connection inside a tunnel; the tunnel's own is among the callers already. */
  takeInside(socket: Socket, protocol: 'http' | 'http2', early: readonly Buffer[], inside: Inside): void {
    putInside(socket, inside);
    const beneath = beneathOf(socket);
    if (beneath !== null) sharePlace(socket, beneath);
    if (protocol === 'http2') {
      this.#http2.accept(socket, early, inside);
      return;
    }
    socket.on('error', ignore);
    placeOf(socket).fresh();
    // Whoever was paused is not set flowing by being listened to; before, for what came early may ask for a pause.
    socket.resume();
    this.#http1.accept(socket, early);
  }

  #onConnection = (socket: Socket): void => {
    socket.on('error', ignore);
    // While it is known.
    clientOf(socket);
    const place = this.#places.enter(socket);
    this.#sockets.add(socket);
    socket.once('close', () => this.#left(socket, place));
    if (place === null) this.#refuse(socket);
    else this.#http1.accept(socket);
    this.onConnections?.();
  };

  #left(socket: Socket, place: Place | null): void {
    this.#sockets.delete(socket);
    if (place !== null) this.#places.leave(place);
    this.onConnections?.();
  }

  #refuse(socket: Socket): void {
    this.#http1.answer(new OutriggerError('caller_limit', `from ${clientOf(socket)}`), socket);
    if (this.#refused >= REFUSED_MAX) {
      socket.destroy();
      return;
    }
    this.#refused++;
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), REFUSED_MS);
    socket.once('close', () => {
      this.#refused--;
      clearTimeout(timer);
    });
  }
}

function ignore(): void {
  // Every error is followed by a close, which is what is acted upon.
}
