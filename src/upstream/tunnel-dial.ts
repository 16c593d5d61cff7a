/**
 * The innermost dispatch of a tunnel and of an upgrade: the same lease and the same dial as for a request,
 * with a socket in the place of a response. What then flows is nobody's business here.
 *
 * A tunnel's attempt ends well with its connection. That of an upgrade stays open, for the handshake is
 * still to come: whoever speaks it ends the attempt.
 */
import type { Socket } from 'node:net';
import type { OutriggerError } from '../errors.ts';
import type { Dispatch, Exchange, Pending, Phase } from '../exchange.ts';
import type { Connection } from './connection.ts';
import type { Dial, DialContext, DialObserver } from './dial.ts';
import type { Lease } from './lease.ts';
import type { TlsProfile, TlsProfiles } from './tls-profile.ts';

/** An open tunnel's far end. Its connection counts against the pool until the socket is closed. */
export interface TunnelSocket {
  readonly socket: Socket;
  readonly status: 200;
  readonly retryAfter: null;
  discard(): void;
  /** Closes it in good order. */
  close(): void;
  /** Closes it at once, with a reset. */
  kill(): void;
}

interface UpgradeContext extends DialContext {
  readonly profiles: TlsProfiles;
}

export function openTunnel(context: DialContext): Dispatch<TunnelSocket> {
  return (exchange) =>
    new Promise((resolve, reject) => {
      new TunnelDial(exchange, false, resolve, reject).begin(context, null);
    });
}

/** TLS is ours where the target is HTTPS, as for a request; its protocol is HTTP/1.1 (RFC 9113, section 8.6). */
export function openUpgrade(context: UpgradeContext): Dispatch<TunnelSocket> {
  return (exchange) =>
    new Promise((resolve, reject) => {
      const tls = exchange.target?.scheme === 'https' ? context.profiles.of(exchange.route) : null;
      new TunnelDial(exchange, true, resolve, reject).begin(context, tls);
    });
}

class TunnelDial implements DialObserver, Pending {
  readonly #exchange: Exchange;
  readonly #lease: Lease;
  readonly #handshakes: boolean;
  readonly #resolve: (tunnel: TunnelSocket) => void;
  readonly #reject: (error: OutriggerError) => void;
  #over = false;

  constructor(
    exchange: Exchange,
    handshakes: boolean,
    resolve: (tunnel: TunnelSocket) => void,
    reject: (error: OutriggerError) => void,
  ) {
    this.#exchange = exchange;
    this.#lease = exchange.lease as Lease;
    this.#handshakes = handshakes;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  begin(context: DialContext, tls: TlsProfile | null): void {
    this.#exchange.pending = this;
    const { host, port } = this.#exchange.target as NonNullable<Exchange['target']>;
    const connection = this.#lease.connection as Connection;
    connection.dial(
      { host, port, tls, addresses: this.#exchange.addresses, http1: true, halfOpen: true },
      context,
      this.#exchange.route.policy.timeouts,
      this,
    );
  }

  phase(phase: Phase): void {
    this.#exchange.phase = phase;
  }

  dialled(dial: Dial): void {
    if (this.#over) return;
    this.#over = true;
    this.#exchange.attempt.dialled(dial);
    const { attempt } = this.#exchange;
    const lease = this.#lease;
    const connection = lease.connection as Connection;
    connection.attach(dial);
    if (!this.#handshakes) {
      attempt.delivery = 'maybe sent';
      // As far as can be seen from outside, the origin has done its part.
      attempt.end('success', null);
    }
    this.#resolve({
      socket: connection.socket,
      status: 200,
      retryAfter: null,
      discard: () => lease.kill(),
      close: () => lease.connection?.close(),
      kill: () => lease.kill(),
    });
  }

  failed(error: OutriggerError, dial: Dial): void {
    if (this.#over) return;
    this.#over = true;
    this.#exchange.attempt.dialled(dial);
    this.#lease.kill();
    this.#reject(error);
  }

  cancel(error: OutriggerError): void {
    if (this.#over) return;
    this.#over = true;
    this.#lease.kill();
    this.#reject(error);
  }
}
