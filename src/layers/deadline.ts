/**
 * The deadline of the whole exchange, waits and retries included: when it passes, whatever is under way
 * ends with `total_timeout`. Absent where `timeouts.total` is null.
 */
import { OutriggerError } from '../errors.ts';
import type { Exchange, Layer, Releasable } from '../exchange.ts';

class Deadline implements Releasable {
  readonly #timer: NodeJS.Timeout;

  constructor(exchange: Exchange, totalMs: number) {
    // Its body may have been received before.
    const leftMs = Math.max(1, totalMs - (performance.now() - exchange.startedAt));
    this.#timer = setTimeout(() => {
      exchange.abort(new OutriggerError('total_timeout', `${totalMs} ms, while ${exchange.phase}`));
    }, leftMs);
  }

  release(): void {
    clearTimeout(this.#timer);
  }
}

export function deadline<R>(totalMs: number): Layer<R> {
  return (next) => (exchange) => {
    exchange.onFinish(new Deadline(exchange, totalMs));
    return next(exchange);
  };
}
