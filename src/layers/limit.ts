/**
 * The limit on exchanges in flight, of the whole sidecar: one too many takes the permit of one whose caller
 * holds it up; where there is none, it is shed at once.
 */
import { OutriggerError, rejected } from '../errors.ts';
import type { Exchange, Layer } from '../exchange.ts';
import type { Semaphore } from '../upstream/semaphore.ts';

/** Ends an exchange that can be spared; null: there is none. */
export interface RoomMaker {
  makeRoom(): Exchange | null;
}

export function limit<R>(exchanges: Semaphore, slow: RoomMaker | null = null): Layer<R> {
  return (next) => (exchange) => {
    if (!exchanges.tryAcquire()) {
      slow?.makeRoom()?.giveBack(exchanges);
      if (!exchanges.tryAcquire())
        return rejected(new OutriggerError('exchange_limit', `${exchanges.limit} are in flight`, 1));
    }
    exchange.onFinish(exchanges);
    return next(exchange);
  };
}
