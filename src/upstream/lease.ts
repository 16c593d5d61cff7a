/**
 * The hold of one attempt on one connection: taken from the pool, waited for in its queue, and given
 * back once. It knows the pool and the timeout of the queue, and nothing of exchanges or HTTP.
 */
import { OutriggerError } from '../errors.ts';
import type { PoolPolicy } from '../policy/policy.ts';
import type { Connection } from './connection.ts';
import type { Claimant, Pool } from './pool.ts';

/** Called once when the wait is over; null: the connection is here. */
export type LeaseCallback = (error: OutriggerError | null) => void;

/** Seconds after which a shed caller may try again: the queue turns over about that fast. */
const RETRY_AFTER_S = 1;

export class Lease implements Claimant {
  readonly pool: PoolPolicy;
  readonly fresh: boolean;
  readonly http2: boolean;
  connection: Connection | null = null;
  since = 0;
  readonly #from: Pool;
  #callback: LeaseCallback | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(from: Pool, policy: PoolPolicy, fresh: boolean, http2 = false) {
    this.#from = from;
    this.pool = policy;
    this.fresh = fresh;
    this.http2 = http2;
  }

  /** True: the connection is here. False: the callback will tell. Throws `queue_full`. */
  take(callback: LeaseCallback): boolean {
    this.since = performance.now();
    this.connection = this.#from.acquire(this);
    if (this.connection) return true;
    this.#callback = callback;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.leave();
      callback(
        new OutriggerError(
          'queue_timeout',
          `no connection within ${this.pool.queueTimeoutMs} ms`,
          RETRY_AFTER_S,
        ),
      );
    }, this.pool.queueTimeoutMs);
    return false;
  }

  granted(connection: Connection): void {
    this.connection = connection;
    const callback = this.#callback;
    this.#stopWaiting();
    callback?.(null);
  }

  /** Leaves the queue; the callback is not called any more. */
  leave(): void {
    this.#stopWaiting();
    this.#from.leave(this);
  }

  /** Back to the pool, for the next exchange. */
  release(keepAliveHintMs: number | null): void {
    const connection = this.connection;
    this.connection = null;
    if (connection) this.#from.release(connection, this.pool, keepAliveHintMs);
  }

  /** The connection is of no more use; one that others hold, too, is so to us. */
  kill(): void {
    const connection = this.connection;
    this.connection = null;
    if (connection) this.#from.abandon(connection, this.pool);
  }

  #stopWaiting(): void {
    this.#callback = null;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
