/** The limit on exchanges in flight, of the whole sidecar: one too many is shed at once. */
import { OutriggerError } from '../errors.ts';
import type { Layer } from '../exchange.ts';
import type { Semaphore } from '../upstream/semaphore.ts';

export function limit<R>(exchanges: Semaphore): Layer<R> {
  return (next) => (exchange) => {
    if (!exchanges.tryAcquire()) {
      return Promise.reject(new OutriggerError('exchange_limit', `${exchanges.limit} are in flight`, 1));
    }
    exchange.onFinish(exchanges);
    return next(exchange);
  };
}
