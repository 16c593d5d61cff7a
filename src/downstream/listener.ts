/**
 * The listener that the application talks to: Node's HTTP server, strictly set up, and what becomes of
 * its events. What the parser refuses is answered and logged here, for no exchange exists yet.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ListenAddress } from '../config/config.ts';
import { type ErrorName, OutriggerError } from '../errors.ts';
import { Exchange, type ExchangeObserver } from '../exchange.ts';
import type { RequestIds } from '../headers/request-id.ts';
import type { Route } from '../policy/policy.ts';
import { clientOf } from './admission.ts';
import { insideOf, putInside } from './caller.ts';
import type { Tunnels } from './connect.ts';
import type { Forwarder } from './forward.ts';
import { Http2Callers } from './http2-callers.ts';
import { PREFACE_SEEN, takeOver } from './http2-preface.ts';
import { replyBytes, replyOf } from './reply.ts';
import { Turns } from './turns.ts';
import type { Inside } from './way.ts';
import { isWebSocketHandshake, type WebSockets } from './web-socket.ts';

export interface ListenerOptions {
  readonly forwarder: Forwarder;
  readonly tunnels: Tunnels;
  readonly webSockets: WebSockets;
  readonly observer: ExchangeObserver;
  readonly fallback: Route;
  readonly ids: RequestIds;
  readonly requestIdHeader: string;
  readonly streams: number;
  readonly headerBytes: number;
  readonly headTimeoutMs: number;
  readonly idleTimeoutMs: number;
}

type CallerSocket = Socket & { turns?: Turns };

type ParserError = Error & { code?: string; reason?: string; rawPacket?: Buffer };

/** How often Node looks for heads that are late, milliseconds. */
const HEAD_CHECK_MS = 1_000;

export class Listener {
  readonly #options: ListenerOptions;
  readonly #server: Server;
  readonly #http2: Http2Callers;
  readonly #sockets = new Set<Socket>();
  /** Called whenever a caller has come or gone. */
  onConnections: (() => void) | null = null;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#http2 = new Http2Callers(options);
    this.#server = createServer({
      maxHeaderSize: options.headerBytes,
      headersTimeout: options.headTimeoutMs,
      // Bodies have the idle timeout; a long upload is no fault.
      requestTimeout: 0,
      connectionsCheckingInterval: Math.min(HEAD_CHECK_MS, options.headTimeoutMs),
      keepAliveTimeout: options.idleTimeoutMs,
      noDelay: true,
      // Checked in admission, where an HTTP/1.0 caller without one is let in.
      requireHostHeader: false,
      insecureHTTPParser: false,
      joinDuplicateHeaders: false,
      // Whatever else names Upgrade is a request like any other (RFC 9110, section 7.8).
      shouldUpgradeCallback: isWebSocketHandshake,
    });
    options.tunnels.inside = this;
    const server = this.#server;
    // Left alone, Node drops fields beyond the thousandth without a word; headerBytes bounds them all.
    server.maxHeadersCount = 0;
    const onRequest = this.#onRequest;
    server.on('request', onRequest);
    server.on('checkContinue', onRequest);
    server.on('checkExpectation', onRequest);
    server.on('connect', this.#onConnect);
    server.on('upgrade', this.#onUpgrade);
    server.on('connection', this.#onConnection);
    server.on('clientError', this.#onClientError);
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
        this.#server.on('error', () => {});
        const bound = this.#server.address() as AddressInfo;
        resolve({ host: bound.address, port: bound.port });
      });
    });
  }

  /** Takes no one in any more; who is connected stays. */
  stop(): Promise<void> {
    this.#http2.stop();
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  /** Closes every connection, whatever it is doing. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** A connection inside a tunnel; the tunnel's own is among the callers already. */
  takeInside(socket: Socket, protocol: 'http' | 'http2', early: readonly Buffer[], inside: Inside): void {
    putInside(socket, inside);
    forgetTurns(socket);
    if (protocol === 'http2') {
      this.#http2.accept(socket, early, inside);
      return;
    }
    socket.pause();
    if (early.length > 0) socket.unshift(Buffer.concat(early));
    this.#server.emit('connection', socket);
    // Whoever was paused is not set flowing by being listened to.
    socket.resume();
  }

  #onConnection = (socket: Socket): void => {
    if (insideOf(socket) !== null) {
      socket.on('error', ignore);
      return;
    }
    // While it is known.
    clientOf(socket);
    this.#sockets.add(socket);
    // Node takes its own listener off at a CONNECT, also where that has to wait for its turn; an error that
    // nobody listens to ends the process.
    socket.on('error', ignore);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.onConnections?.();
    });
    this.onConnections?.();
  };

  #onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const turns = turnsOf(request.socket);
    turns.take(request, () => {
      const forwarding = this.#options.forwarder.handle(request, response);
      // After the exchange's own listener, which finishes it.
      response.on('close', turns.over);
      return forwarding;
    });
  };

  #onConnect = (request: IncomingMessage, duplex: Duplex, head: Buffer): void => {
    const turns = turnsOf(duplex as Socket);
    turns.watch();
    turns.take(request, () => {
      this.#options.tunnels.handle(request, duplex, head);
      return null;
    });
  };

  #onUpgrade = (request: IncomingMessage, duplex: Duplex, head: Buffer): void => {
    const turns = turnsOf(duplex as Socket);
    turns.watch();
    turns.take(request, () => {
      this.#options.webSockets.handle(request, duplex, head);
      return null;
    });
  };

  /** What Node's parser would not take: the answer is ours, and the connection ends with it (RFC 9112, section 2.2). */
  #onClientError = (thrown: ParserError, duplex: unknown): void => {
    const socket = duplex as CallerSocket;
    const code = thrown.code ?? '';
    if (socket.destroyed || code === 'ECONNRESET' || code === 'EPIPE') {
      socket.destroy();
      return;
    }
    if (code === PREFACE_SEEN && socket.turns === undefined && thrown.rawPacket) {
      const early = takeOver(socket, thrown.rawPacket);
      if (early) {
        this.#http2.accept(socket, [early], insideOf(socket));
        return;
      }
    }
    const error = clientError(code, thrown.reason, thrown.rawPacket?.[0]);
    turnsOf(socket).broken(error, () => {
      const noBody = error.name === 'request_body_incomplete';
      this.#answer(noBody ? new OutriggerError('request_malformed', 'the head broke off') : error, socket);
    });
  };

  #answer(error: OutriggerError, socket: Socket): void {
    // Connected and silent: nobody asked for anything.
    if (!socket.writable || (error.name === 'request_head_timeout' && socket.bytesRead === 0)) {
      socket.destroy();
      return;
    }
    const { observer, ids, fallback, requestIdHeader } = this.#options;
    const exchange = new Exchange(
      observer,
      ids.next(Date.now()),
      null,
      clientOf(socket),
      '',
      null,
      '',
      fallback,
      'forward',
    );
    const reply = replyOf(exchange, error, requestIdHeader);
    exchange.status = reply.status;
    exchange.responseBytes = Buffer.byteLength(reply.body);
    socket.end(replyBytes(reply));
    const timer = setTimeout(() => socket.destroy(), HEAD_CHECK_MS);
    socket.once('close', () => clearTimeout(timer));
    exchange.finish(error.row.outcome, error);
  }
}

function ignore(): void {
  // Every error is followed by a close, which is what is acted upon.
}

/** What comes now belongs to no request that came before. */
function forgetTurns(socket: CallerSocket): void {
  delete socket.turns;
}

function turnsOf(socket: CallerSocket): Turns {
  socket.turns ??= new Turns(socket);
  return socket.turns;
}

/** RFC 8446, section 5.1: how a handshake begins. */
const TLS_HANDSHAKE = 0x16;

function clientError(
  code: string,
  reason: string | undefined,
  firstByte: number | undefined,
): OutriggerError {
  let name: ErrorName = 'request_malformed';
  if (code === 'HPE_HEADER_OVERFLOW') name = 'request_head_too_large';
  else if (code === 'ERR_HTTP_REQUEST_TIMEOUT') name = 'request_head_timeout';
  else if (code === 'HPE_INVALID_EOF_STATE') name = 'request_body_incomplete';
  if (firstByte === TLS_HANDSHAKE && code === 'HPE_INVALID_METHOD')
    return new OutriggerError(
      name,
      'TLS, where plain HTTP is spoken: the URL of the proxy begins with http://',
    );
  return new OutriggerError(name, reason ?? code);
}
