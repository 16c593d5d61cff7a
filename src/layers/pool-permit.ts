/**
 * One attempt, one connection of the pool: at once, or after a wait in the origin's queue. It goes back
 * when the attempt's body ends; that is the carrier's part. A tunnel needs a fresh connection.
 */
import { type OutriggerError, rejected } from '../errors.ts';
import type { Exchange, Layer, Pending } from '../exchange.ts';
import type { PoolPolicy } from '../policy/policy.ts';
import { Lease } from '../upstream/lease.ts';
import type { Origin } from '../upstream/origin.ts';

class Wait implements Pending {
  readonly #lease: Lease;
  readonly #reject: (error: OutriggerError) => void;

  constructor(lease: Lease, reject: (error: OutriggerError) => void) {
    this.#lease = lease;
    this.#reject = reject;
  }

  cancel(error: OutriggerError): void {
    this.#lease.leave();
    this.#reject(error);
  }
}

function waited(exchange: Exchange, since: number): void {
  const queueMs = performance.now() - since;
  exchange.attempt.queueMs = queueMs;
  exchange.queueMs += queueMs;
}

export function poolPermit<R>(policy: PoolPolicy, fresh: boolean): Layer<R> {
  return (next) => (exchange) => {
    const http2 = !fresh && exchange.route.http2 && exchange.target?.scheme === 'https';
    const lease = new Lease((exchange.origin as Origin).pool, policy, fresh, http2);
    exchange.lease = lease;
    const since = performance.now();
    let settle: (error: OutriggerError | null) => void = () => {};
    try {
      if (lease.take((error) => settle(error))) {
        exchange.attempt.queueMs = 0;
        return next(exchange);
      }
    } catch (error) {
      return rejected(error);
    }
    exchange.phase = 'queued';
    return new Promise<R>((resolve, reject) => {
      exchange.pending = new Wait(lease, (error) => {
        waited(exchange, since);
        reject(error);
      });
      settle = (error) => {
        exchange.pending = null;
        waited(exchange, since);
        if (error) reject(error);
        else resolve(next(exchange));
      };
    });
  };
}
