/** Gives the exchange the state of its origin, and keeps that state from being evicted until it finishes. */
import type { Exchange, Layer } from '../exchange.ts';
import type { Origins } from '../upstream/origins.ts';

export function origin<R>(origins: Origins): Layer<R> {
  return (next) => (exchange) => {
    try {
      exchange.origin = origins.enter((exchange.target as NonNullable<Exchange['target']>).origin);
    } catch (error) {
      return Promise.reject(error);
    }
    exchange.onFinish(exchange.origin);
    return next(exchange);
  };
}
