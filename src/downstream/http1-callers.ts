/**
 * Callers that speak HTTP/1.1: what their connections have in common, and the answers that are given where no
 * exchange exists yet.
 *
 * Rules: what is no request is answered all the same, logged like any exchange, and ends its connection (RFC
 * 9112, section 2.2). HTTP/2 with prior knowledge begins like a request of HTTP/1.1 (RFC 9113, section 3.3)
 * and is handed on with every byte.
 */
import type { Socket } from 'node:net';
import type { OutriggerError } from '../errors.ts';
import { Exchange, type ExchangeObserver } from '../exchange.ts';
import type { RequestIds } from '../headers/request-id.ts';
import type { HeadBounds } from '../http1/head-fault.ts';
import type { Route } from '../policy/policy.ts';
import { clientOf } from './admission.ts';
import { placeOf } from './caller-places.ts';
import { type CallerHome, type CallerServices, Http1Caller } from './http1-caller.ts';
import { replyBytes, replyOf } from './reply.ts';

export interface AnswerOptions {
  readonly observer: ExchangeObserver;
  readonly fallback: Route;
  readonly ids: RequestIds;
  readonly requestIdHeader: string;
  readonly idleTimeoutMs: number;
}

export class Http1Callers implements CallerHome {
  bounds: HeadBounds;
  headTimeoutMs: number;
  forwarder: CallerServices['forwarder'];
  tunnels: CallerServices['tunnels'];
  webSockets: CallerServices['webSockets'];
  readonly http2: CallerServices['http2'];
  keepAliveFields: string;
  stopping = false;
  #options: AnswerOptions;

  constructor(options: CallerServices & AnswerOptions) {
    this.bounds = options.bounds;
    this.headTimeoutMs = options.headTimeoutMs;
    this.forwarder = options.forwarder;
    this.tunnels = options.tunnels;
    this.webSockets = options.webSockets;
    this.http2 = options.http2;
    this.keepAliveFields = keepAliveFieldsOf(options);
    this.#options = options;
  }

  /** For every request that has not begun. */
  serveBy(options: Omit<CallerServices, 'http2'> & AnswerOptions): void {
    this.bounds = options.bounds;
    this.headTimeoutMs = options.headTimeoutMs;
    this.forwarder = options.forwarder;
    this.tunnels = options.tunnels;
    this.webSockets = options.webSockets;
    this.keepAliveFields = keepAliveFieldsOf(options);
    this.#options = options;
  }

  /** `early`: what has been read of it. */
  accept(socket: Socket, early: readonly Buffer[] = []): void {
    const caller = new Http1Caller(socket, placeOf(socket), this);
    // In one piece: what is behind a head that hands the connection on goes with it.
    if (early.length > 0) caller.data(early.length === 1 ? (early[0] as Buffer) : Buffer.concat(early));
  }

  /** The connection ends with it. */
  answer(error: OutriggerError, socket: Socket): void {
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
    exchange.responseBytes = reply.body.length;
    socket.end(replyBytes(reply));
    exchange.finish(error.row.outcome, error);
  }
}

/** The hint of how long an idle connection is kept. */
function keepAliveFieldsOf({ idleTimeoutMs }: AnswerOptions): string {
  const seconds = Math.floor(idleTimeoutMs / 1_000);
  return `Connection: keep-alive\r\n${seconds > 0 ? `Keep-Alive: timeout=${seconds}\r\n` : ''}`;
}
