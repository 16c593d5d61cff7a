/**
 * The timers of one attempt once it has a connection: idle while the request body goes up, head from the
 * request sent to the response head, idle again while the response body comes down. One runs at a time.
 * The dial has its own (dns, connect, tls).
 */
import { type ErrorName, OutriggerError } from '../errors.ts';
import type { AttemptTimer, Exchange, Layer } from '../exchange.ts';
import type { TimeoutPolicy } from '../policy/policy.ts';

type Stage = 'none' | 'over' | 'sending' | 'head' | 'receiving';

class Timer implements AttemptTimer {
  readonly #exchange: Exchange;
  readonly #timeouts: TimeoutPolicy;
  #stage: Stage = 'none';
  #timer: NodeJS.Timeout | null = null;

  constructor(exchange: Exchange, timeouts: TimeoutPolicy) {
    this.#exchange = exchange;
    this.#timeouts = timeouts;
  }

  sending(): void {
    this.#progress('sending', this.#timeouts.idleMs);
  }

  sent(): void {
    this.#progress('head', this.#timeouts.headMs);
  }

  answered(): void {
    if (this.#stage === 'over') return;
    // The idle timer starts with `receiving`, if the body is not here already.
    this.#clear();
  }

  receiving(): void {
    this.#progress('receiving', this.#timeouts.idleMs);
  }

  stop(): void {
    this.#clear();
    this.#stage = 'over';
  }

  #clear(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#stage = 'none';
  }

  #progress(stage: Stage, timeoutMs: number): void {
    // What a discarded response or an upload still moves is late: the next attempt may be under way.
    if (this.#stage === 'over') return;
    if (this.#stage === stage) {
      this.#timer?.refresh();
      return;
    }
    if (this.#timer) clearTimeout(this.#timer);
    this.#stage = stage;
    this.#timer = setTimeout(this.#fire, timeoutMs);
  }

  #fire = (): void => {
    this.#timer = null;
    const { headMs, idleMs } = this.#timeouts;
    const timeoutMs = this.#stage === 'head' ? headMs : idleMs;
    const detail = `${this.#exchange.target?.origin} after ${timeoutMs} ms`;
    this.#exchange.pending?.cancel(new OutriggerError(this.#culprit(), detail));
  };

  #culprit(): ErrorName {
    if (this.#stage === 'head') return 'head_timeout';
    const byCaller = this.#exchange.attempt.witness?.stalledOn === 'caller';
    if (this.#stage === 'sending') return byCaller ? 'request_body_stalled' : 'write_timeout';
    return byCaller ? 'caller_stalled' : 'body_timeout';
  }
}

export function attemptTimeout<R>(timeouts: TimeoutPolicy): Layer<R> {
  return (next) => (exchange) => {
    exchange.attempt.timer = new Timer(exchange, timeouts);
    return next(exchange);
  };
}
