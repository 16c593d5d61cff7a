/**
 * Opens the record of an attempt, and closes it when the attempt fails before its head; after the head,
 * whoever carries the body closes it.
 */
import { asOutriggerError } from '../errors.ts';
import type { Layer } from '../exchange.ts';

export function attempt<R>(): Layer<R> {
  return (next) => (exchange) => {
    const record = exchange.beginAttempt();
    return next(exchange).catch((thrown: unknown) => {
      const error = asOutriggerError(thrown);
      // Time that ran out in our own queue says nothing of the origin.
      const ours = error.name === 'total_timeout' && exchange.phase === 'queued';
      record.end(ours ? 'ignored' : error.row.verdict, error);
      throw error;
    });
  };
}
