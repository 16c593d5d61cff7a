/**
 * Bytes between two sockets, both ways, until both have ended: with backpressure, an idle timeout over
 * both directions, counts, half-closing kept, and a reset on one side made a reset on the other.
 */
import type { Socket } from 'node:net';
import { OutriggerError } from '../errors.ts';
import type { Exchange, Outcome, Pending } from '../exchange.ts';
import { resetSocket } from '../socket-reset.ts';
import { bodyPassed } from '../spent-buffers.ts';

/** The far end of a tunnel, as the stack delivers it. */
export interface FarEnd {
  readonly socket: Socket;
  kill(): void;
}

export interface RelayCounter {
  tunnelBytes(direction: 'upstream' | 'downstream', bytes: number): void;
}

export type RelayEnd = (outcome: Outcome, error: OutriggerError | null, reason: string | null) => void;

export class Relay implements Pending {
  readonly #near: Socket;
  readonly #far: FarEnd;
  readonly #exchange: Exchange;
  readonly #counter: RelayCounter;
  readonly #ended: RelayEnd;
  #idle: NodeJS.Timeout | null = null;
  #error: OutriggerError | null = null;
  #reason: string | null = null;
  #outcome: Outcome = 'completed';
  #over = false;

  constructor(near: Socket, far: FarEnd, exchange: Exchange, counter: RelayCounter, ended: RelayEnd) {
    this.#near = near;
    this.#far = far;
    this.#exchange = exchange;
    this.#counter = counter;
    this.#ended = ended;
  }

  /** What either side has sent already. */
  start(early: readonly Buffer[], farEarly: readonly Buffer[] = []): void {
    const near = this.#near;
    const far = this.#far.socket;
    this.#exchange.pending = this;
    this.#idle = setTimeout(this.#onIdle, this.#exchange.route.policy.timeouts.idleMs);
    for (const chunk of early) this.#upstream(chunk);
    for (const chunk of farEarly) this.#downstream(chunk);
    near.on('data', this.#upstream);
    far.on('data', this.#downstream);
    near.on('drain', () => far.resume());
    far.on('drain', () => near.resume());
    near.on('end', () => far.end());
    far.on('end', () => near.end());
    near.on('error', () => this.#broke('aborted', 'caller reset the tunnel'));
    far.on('error', () => this.#broke('truncated', 'origin reset the tunnel'));
    near.on('close', this.#onClose);
    far.on('close', this.#onClose);
    if (near.readableEnded) far.end();
    if (far.readableEnded) near.end();
    near.resume();
    far.resume();
  }

  /** The deadline has passed, or the sidecar stops. */
  cancel(error: OutriggerError): void {
    this.#error ??= error;
    this.#broke('truncated', null);
  }

  #upstream = (chunk: Buffer): void => {
    bodyPassed(chunk.length);
    this.#exchange.requestBytes += chunk.length;
    this.#counter.tunnelBytes('upstream', chunk.length);
    this.#idle?.refresh();
    if (!this.#far.socket.write(chunk)) this.#near.pause();
  };

  #downstream = (chunk: Buffer): void => {
    bodyPassed(chunk.length);
    this.#exchange.responseBytes += chunk.length;
    this.#counter.tunnelBytes('downstream', chunk.length);
    this.#idle?.refresh();
    if (!this.#near.write(chunk)) this.#far.socket.pause();
  };

  #onIdle = (): void => {
    const { idleMs } = this.#exchange.route.policy.timeouts;
    this.cancel(new OutriggerError('tunnel_idle', `after ${idleMs} ms`));
  };

  #broke(outcome: Outcome, reason: string | null): void {
    if (this.#outcome === 'completed') {
      this.#outcome = outcome;
      this.#reason = reason;
    }
    this.#far.kill();
    // RFC 9293, section 3.10.7.4: a reset is not an orderly end, and must not look like one on the other side.
    resetSocket(this.#near);
  }

  #onClose = (): void => {
    const near = this.#near;
    const far = this.#far.socket;
    // One side is gone for good: what it has not taken will never be taken, so the other goes too, once
    // what is on its way to it has been delivered.
    if (near.destroyed && !far.destroyed) {
      if (near.readableEnded) far.destroySoon();
      else this.#far.kill();
    }
    if (far.destroyed && !near.destroyed) near.destroySoon();
    if (!near.destroyed || !far.destroyed || this.#over) return;
    this.#over = true;
    if (this.#idle) clearTimeout(this.#idle);
    this.#ended(this.#outcome, this.#error, this.#reason);
  };
}
