/**
 * The innermost dispatch of an interception: a connection to the origin over TLS, whose certificate has
 * been verified before the caller is shown one of ours. It goes to the pool at once, where the first request
 * finds it.
 */
import type { OutriggerError } from '../errors.ts';
import type { Dispatch, Exchange, Pending, Phase } from '../exchange.ts';
import type { Connection } from './connection.ts';
import type { Dial, DialContext, DialObserver } from './dial.ts';
import type { Lease } from './lease.ts';
import type { TlsProfiles } from './tls-profile.ts';

interface VerifyContext extends DialContext {
  readonly profiles: TlsProfiles;
  /** Bound of a response head, bytes. */
  readonly headerBytes: number;
}

/** An origin that was verified; what retries judge an attempt by is the same for all of them. */
export interface Verified {
  readonly status: 200;
  readonly retryAfter: null;
  discard(): void;
}

const VERIFIED: Verified = Object.freeze({ status: 200, retryAfter: null, discard() {} });

export function verify(context: VerifyContext): Dispatch<Verified> {
  return (exchange) =>
    new Promise((resolve, reject) => {
      new Verification(exchange, context, resolve, reject).begin();
    });
}

class Verification implements DialObserver, Pending {
  readonly #exchange: Exchange;
  readonly #context: VerifyContext;
  readonly #lease: Lease;
  readonly #resolve: (verified: Verified) => void;
  readonly #reject: (error: OutriggerError) => void;
  #over = false;

  constructor(
    exchange: Exchange,
    context: VerifyContext,
    resolve: (verified: Verified) => void,
    reject: (error: OutriggerError) => void,
  ) {
    this.#exchange = exchange;
    this.#context = context;
    this.#lease = exchange.lease as Lease;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  begin(): void {
    const exchange = this.#exchange;
    exchange.pending = this;
    const connection = this.#lease.connection as Connection;
    if (connection.ready) {
      exchange.attempt.address = connection.address;
      exchange.attempt.reused = connection.used;
      this.#done();
      return;
    }
    const { host, port } = exchange.target as NonNullable<Exchange['target']>;
    const { route } = exchange;
    connection.dial(
      {
        host,
        port,
        tls: this.#context.profiles.of(route),
        addresses: exchange.addresses,
        http1: false,
        halfOpen: false,
      },
      this.#context,
      route.policy.timeouts,
      this,
    );
  }

  phase(phase: Phase): void {
    this.#exchange.phase = phase;
  }

  dialled(dial: Dial): void {
    if (this.#over) return;
    this.#exchange.attempt.dialled(dial);
    const { origin } = this.#exchange;
    if (origin) origin.verifiedAt = performance.now();
    const connection = this.#lease.connection as Connection;
    connection.attach(dial, this.#context.headerBytes);
    connection.park();
    this.#done();
  }

  failed(error: OutriggerError, dial: Dial): void {
    this.#exchange.attempt.dialled(dial);
    this.cancel(error);
  }

  cancel(error: OutriggerError): void {
    if (this.#over) return;
    this.#over = true;
    this.#lease.kill();
    this.#reject(error);
  }

  #done(): void {
    this.#over = true;
    this.#exchange.attempt.end('success', null);
    this.#lease.release(null);
    this.#resolve(VERIFIED);
  }
}
