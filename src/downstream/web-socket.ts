/**
 * WebSocket handshakes: the same admission and the same stack as a request, with a socket in the place of a
 * response; the handshake is spoken over it, and after the 101 the two sockets are joined.
 *
 * Rules: only a handshake of HTTP/1.1 is one, everything else that names Upgrade is a request without it
 * (RFC 9110, section 7.8); what the caller sends before its 101 is kept, bounded, and delivered after; a
 * caller that leaves before frees the origin's socket at once; the connection ends with whatever is not a 101. What
 * speaks the handshake is loaded with the first one.
 */
import type { Socket } from 'node:net';
import { asOutriggerError, OutriggerError } from '../errors.ts';
import type { Dispatch, Exchange, Outcome } from '../exchange.ts';
import { applyEdits } from '../headers/edits.ts';
import { proxyStatusOf } from '../headers/forwarding.ts';
import type { LiveExchanges } from '../live-exchanges.ts';
import type { Route } from '../policy/policy.ts';
import type { Response } from '../response.ts';
import type { Admission } from './admission.ts';
import { insideOf } from './caller.ts';
import { Forwarding } from './forward.ts';
import type { Http1Request } from './http1-request.ts';
import { Http1Response, type ResponseHome } from './http1-response.ts';
import { Relay, type RelayCounter } from './relay.ts';
import { replyBytes, replyOf } from './reply.ts';
import type { Handshake, HandshakeObserver, HandshakeOptions, UpgradeEnd } from './upgrade.ts';
import type { Way, Ways } from './way.ts';

export interface WebSocketOptions {
  readonly admission: Admission;
  readonly ways: Ways;
  readonly dispatchFor: (route: Route) => Dispatch<UpgradeEnd>;
  readonly handshake: HandshakeOptions;
  readonly counter: RelayCounter & { tunnelOpened(): void; tunnelClosed(): void };
  readonly live: LiveExchanges;
}

type Prefixed = Forwarding['prefixed'];

/** Bytes that a caller may send before it has its 101. */
const EARLY_BYTES = 65_536;

/** After an answer that is no 101 the caller has this long to read it and close, milliseconds. */
const LINGER_MS = 1_000;

export class WebSockets {
  readonly #options: WebSocketOptions;

  constructor(options: WebSocketOptions) {
    this.#options = options;
  }

  /** `early`: what came behind the head. */
  handle(request: Http1Request, early: Buffer): void {
    const { admission, ways, dispatchFor, live } = this.#options;
    const inside = insideOf(request.socket);
    if (inside !== null) inside.used = true;
    let way: Way | null = null;
    let unusable: OutriggerError | null = null;
    try {
      way = ways.read(request.url ?? '', inside, request.socket);
    } catch (error) {
      unusable = asOutriggerError(error);
    }
    const { exchange, facts, refusal } = admission.admit(request, way, inside, unusable);
    live.add(exchange);
    const prefixed = way?.prefix ? { prefix: way.prefix, host: facts.host } : null;
    const upgrade = new Upgrade(exchange, request, early, prefixed, this.#options);
    if (refusal) {
      upgrade.failed(refusal);
      return;
    }
    applyEdits(exchange.headers, exchange.route.policy.headers.request);
    upgrade.begin(dispatchFor(exchange.route));
  }
}

class Upgrade implements HandshakeObserver, ResponseHome {
  readonly #exchange: Exchange;
  readonly socket: Socket;
  /** The connection never goes on. */
  readonly keepAliveFields = '';
  readonly #request: Http1Request;
  readonly #prefixed: Prefixed;
  readonly #options: WebSocketOptions;
  #far: UpgradeEnd | null = null;
  #early: Buffer[];
  #earlyBytes: number;
  #settled = false;

  constructor(
    exchange: Exchange,
    request: Http1Request,
    early: Buffer,
    prefixed: Prefixed,
    options: WebSocketOptions,
  ) {
    this.#exchange = exchange;
    const { socket } = request;
    this.#request = request;
    this.socket = socket;
    this.#prefixed = prefixed;
    this.#options = options;
    this.#early = early.length > 0 ? [early] : [];
    this.#earlyBytes = early.length;
    // The socket must be read for its end to be seen; it is half-open, so an end is no close.
    socket.on('data', this.#onEarly);
    socket.on('end', this.#onLeft);
    socket.on('close', this.#onLeft);
    socket.on('error', ignore);
  }

  /** What speaks the handshake is there before the dial: nothing waits, once the origin is connected. */
  begin(dispatch: Dispatch<UpgradeEnd>): void {
    const failed = (thrown: unknown): void => this.failed(asOutriggerError(thrown));
    import('./upgrade.ts').then((module) => {
      if (this.#settled) return;
      dispatch(this.#exchange).then((far) => this.#dialled(module.Handshake, far), failed);
    }, failed);
  }

  #dialled(Spoken: typeof Handshake, far: UpgradeEnd): void {
    if (this.#exchange.finished) {
      far.kill();
      return;
    }
    this.#far = far;
    new Spoken(this.#exchange, far, this.#options.handshake, this).begin();
  }

  switched(headers: string[]): void {
    const exchange = this.#exchange;
    const socket = this.socket;
    const { admission, counter } = this.#options;
    this.#settle();
    exchange.status = 101;
    exchange.phase = 'in the tunnel';
    this.#prefixed?.prefix.rewriter.rewrite(headers, this.#prefixed.host);
    headers.push(admission.requestIdHeader, exchange.id);
    headers.push('Proxy-Status', proxyStatusOf(exchange.attempts.length, 101));
    applyEdits(headers, exchange.route.policy.headers.response);
    let head = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n';
    for (let i = 0; i + 1 < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
    socket.write(`${head}\r\n`, 'latin1');
    counter.tunnelOpened();
    const relay = new Relay(socket, this.#far as UpgradeEnd, exchange, counter, (outcome, error, reason) => {
      counter.tunnelClosed();
      this.#finish(outcome, error, reason);
    });
    relay.start(this.#early);
    this.#early = [];
  }

  /** Written as any response, by what writes any response; what the caller has sent meanwhile was for a WebSocket. */
  answered(answer: Response): void {
    const socket = this.socket;
    const { admission, live } = this.#options;
    this.#settle();
    this.#early = [];
    const response = new Http1Response(this, this.#request);
    response.last = true;
    const { requestIdHeader } = admission;
    const forwarding = new Forwarding(this.#exchange, this.#request, response, requestIdHeader, live);
    forwarding.prefixed = this.#prefixed;
    socket.on('drain', () => forwarding.drained());
    socket.on('end', () => {
      if (!response.writableFinished) socket.destroy();
    });
    socket.on('close', () => response.close());
    socket.resume();
    forwarding.follow(Promise.resolve(answer));
  }

  responseOver(): void {
    this.socket.end();
    this.#linger();
  }

  /** The answer is ours. */
  failed(error: OutriggerError): void {
    if (this.#settled) return;
    const exchange = this.#exchange;
    const socket = this.socket;
    this.#settle();
    this.#early = [];
    const reply = replyOf(exchange, error, this.#options.admission.requestIdHeader);
    exchange.status = reply.status;
    exchange.responseBytes = Buffer.byteLength(reply.body);
    socket.end(replyBytes(reply));
    socket.resume();
    this.#linger();
    this.#finish(error.row.outcome, error);
  }

  #linger(): void {
    const socket = this.socket;
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
  }

  #onEarly = (chunk: Buffer): void => {
    this.#early.push(chunk);
    this.#earlyBytes += chunk.length;
    if (this.#earlyBytes > EARLY_BYTES) this.socket.pause();
  };

  #onLeft = (): void => {
    if (this.#settled) return;
    this.#settle();
    this.socket.destroy();
    const { phase } = this.#exchange;
    this.#exchange.abort(new OutriggerError('caller_left'));
    this.#finish('aborted', null, `caller left while ${phase}`);
  };

  #settle(): void {
    this.#settled = true;
    this.socket.off('data', this.#onEarly);
    this.socket.off('end', this.#onLeft);
    this.socket.off('close', this.#onLeft);
  }

  #finish(outcome: Outcome, error: OutriggerError | null, reason: string | null = null): void {
    this.#options.live.delete(this.#exchange);
    this.#exchange.finish(outcome, error, reason);
  }
}

function ignore(): void {
  // Every error is followed by a close, which is what is acted upon.
}
