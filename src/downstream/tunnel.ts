/**
 * CONNECT: the same admission and the same stack as a request, with a socket in the place of a response.
 *
 * Rules: 200 only once the far end is connected; what the caller sends before is kept, bounded, and
 * delivered after; after a refusal it is thrown away and the connection closed, so that it is never read
 * as another request (RFC 9110, section 9.3.6). Half-closing is kept, a reset is passed on as a reset.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { asOutriggerError, OutriggerError } from '../errors.ts';
import type { Dispatch, Exchange, Target } from '../exchange.ts';
import { proxyStatusOf } from '../headers/forwarding.ts';
import type { Route } from '../policy/policy.ts';
import type { Admission } from './admission.ts';
import { type FarEnd, Relay, type RelayCounter } from './relay.ts';
import { replyBytes, replyOf } from './reply.ts';
import type { TargetReader } from './target.ts';

export interface TunnelOptions {
  readonly admission: Admission;
  readonly targets: TargetReader;
  readonly ports: readonly number[];
  readonly dispatchFor: (route: Route) => Dispatch<FarEnd>;
  readonly counter: RelayCounter & { tunnelOpened(): void; tunnelClosed(): void };
  readonly live: Set<Exchange>;
}

/** Bytes that a caller may send before it has its 200. */
const EARLY_BYTES = 65_536;

/** After a refusal the caller has this long to read it and close, milliseconds. */
const LINGER_MS = 1_000;

export class Tunnels {
  readonly #options: TunnelOptions;

  constructor(options: TunnelOptions) {
    this.#options = options;
  }

  handle(request: IncomingMessage, duplex: Duplex, head: Buffer): void {
    const { admission, targets, ports, dispatchFor, live } = this.#options;
    const socket = duplex as Socket;
    let target: Target | null = null;
    let refusal: OutriggerError | null = null;
    try {
      target = targets.authority(request.url ?? '');
      if (!ports.includes(target.port))
        refusal = new OutriggerError('tunnel_port_denied', `port ${target.port}`);
    } catch (error) {
      refusal = asOutriggerError(error);
    }
    const way = target && { target, path: '', via: 'tunnel' as const, prefix: null };
    const admitted = admission.admit(request, way, null, target ? null : refusal);
    const { exchange } = admitted;
    live.add(exchange);
    const tunnel = new Tunnel(exchange, socket, head, this.#options);
    const reason = admitted.refusal ?? refusal;
    if (reason) tunnel.refuse(reason);
    else tunnel.follow(dispatchFor(exchange.route)(exchange));
  }
}

class Tunnel {
  readonly #exchange: Exchange;
  readonly #socket: Socket;
  readonly #options: TunnelOptions;
  #early: Buffer[];
  #earlyBytes: number;
  #settled = false;

  constructor(exchange: Exchange, socket: Socket, head: Buffer, options: TunnelOptions) {
    this.#exchange = exchange;
    this.#socket = socket;
    this.#options = options;
    this.#early = head.length > 0 ? [head] : [];
    this.#earlyBytes = head.length;
    // The socket must be read for its end to be seen; it is half-open, so an end is no close.
    socket.on('data', this.#onEarly);
    socket.on('end', this.#onLeft);
    socket.on('close', this.#onLeft);
    socket.on('error', ignore);
    // Node's timer for connections that wait for their next request is none of a tunnel's.
    socket.setTimeout(0);
  }

  follow(dispatched: Promise<FarEnd>): void {
    dispatched.then(this.#open, (thrown: unknown) => {
      if (!this.#exchange.finished) this.refuse(asOutriggerError(thrown));
    });
  }

  refuse(error: OutriggerError): void {
    const exchange = this.#exchange;
    const socket = this.#socket;
    this.#settle();
    const reply = replyOf(exchange, error, this.#options.admission.requestIdHeader);
    exchange.status = reply.status;
    exchange.responseBytes = Buffer.byteLength(reply.body);
    socket.end(replyBytes(reply));
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
    this.#finish(error.row.outcome, error);
  }

  #open = (far: FarEnd): void => {
    const exchange = this.#exchange;
    if (exchange.finished) {
      far.kill();
      return;
    }
    const socket = this.#socket;
    this.#settle();
    const { admission, counter } = this.#options;
    exchange.status = 200;
    exchange.phase = 'in the tunnel';
    socket.write(
      `HTTP/1.1 200 Connection Established\r\n${admission.requestIdHeader}: ${exchange.id}\r\n` +
        `Proxy-Status: ${proxyStatusOf(exchange.attempts.length, 200)}\r\n\r\n`,
    );
    counter.tunnelOpened();
    const relay = new Relay(socket, far, exchange, counter, (outcome, error, reason) => {
      counter.tunnelClosed();
      this.#finish(outcome, error, reason);
    });
    relay.start(this.#early);
    this.#early = [];
  };

  #onEarly = (chunk: Buffer): void => {
    this.#early.push(chunk);
    this.#earlyBytes += chunk.length;
    if (this.#earlyBytes > EARLY_BYTES) this.#socket.pause();
  };

  #onLeft = (): void => {
    if (this.#settled) return;
    this.#settle();
    this.#socket.destroy();
    const { phase } = this.#exchange;
    this.#exchange.abort(new OutriggerError('caller_left'));
    this.#finish('aborted', null, `caller left while ${phase}`);
  };

  #settle(): void {
    this.#settled = true;
    this.#socket.off('data', this.#onEarly);
    this.#socket.off('end', this.#onLeft);
    this.#socket.off('close', this.#onLeft);
  }

  #finish(
    outcome: Parameters<Exchange['finish']>[0],
    error: OutriggerError | null,
    reason: string | null = null,
  ): void {
    this.#options.live.delete(this.#exchange);
    this.#exchange.finish(outcome, error, reason);
  }
}

function ignore(): void {
  // Every error is followed by a close, which is what is acted upon.
}
