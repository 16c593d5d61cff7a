/**
 * Tries again what failed, where that is safe and worth it; the decision itself is policy. Between two
 * attempts nothing is held: no connection, no permit of the origin. Absent where `retry.attempts` is 1.
 */
import { asOutriggerError, type OutriggerError } from '../errors.ts';
import type { Exchange, Layer, Pending } from '../exchange.ts';
import type { RetryPolicy } from '../policy/policy.ts';
import { parseRetryAfter } from '../policy/retry-after.ts';
import { decideRetry, type RetryDecision } from '../policy/retry-decision.ts';
import type { Origin } from '../upstream/origin.ts';

/** What a retry needs to know of a result: a response has them, a tunnel never comes back to be judged. */
export interface Retriable {
  readonly status: number;
  readonly retryAfter: string | null;
  discard(): void;
}

class Pause implements Pending {
  readonly #timer: NodeJS.Timeout;
  readonly #reject: (error: OutriggerError) => void;

  constructor(delayMs: number, resolve: () => void, reject: (error: OutriggerError) => void) {
    this.#reject = reject;
    this.#timer = setTimeout(resolve, delayMs);
  }

  cancel(error: OutriggerError): void {
    clearTimeout(this.#timer);
    this.#reject(error);
  }
}

function pause(exchange: Exchange, delayMs: number): Promise<void> {
  exchange.phase = 'between two attempts';
  return new Promise((resolve, reject) => {
    exchange.pending = new Pause(delayMs, resolve, reject);
  });
}

function decide(
  exchange: Exchange,
  policy: RetryPolicy,
  totalMs: number | null,
  error: OutriggerError | null,
  response: Retriable | null,
): RetryDecision {
  const { attempt, body } = exchange;
  const retryAfter = response?.retryAfter ?? null;
  const origin = exchange.origin as Origin;
  return decideRetry(
    policy,
    {
      method: exchange.method,
      idempotencyKey: exchange.idempotencyKey,
      delivery: attempt.delivery,
      status: response?.status ?? null,
      errorName: error?.name ?? null,
      attemptsMade: attempt.n,
      bodyReplayable: body?.intact ?? true,
      bodyReason: body?.refusal ?? null,
      retryAfterMs: retryAfter === null ? null : parseRetryAfter(retryAfter, Date.now()),
      aborted: exchange.aborted !== null,
      remainingMs: totalMs === null ? null : totalMs - (performance.now() - exchange.startedAt),
      random: Math.random(),
    },
    () => origin.budget.tryRetry(policy.budget, performance.now()),
  );
}

export function retry<R extends Retriable>(policy: RetryPolicy, totalMs: number | null): Layer<R> {
  // The usual answer needs no decision.
  const mayRetry = new Set(policy.statuses);
  return (next) => async (exchange) => {
    for (;;) {
      let response: R | null = null;
      let error: OutriggerError | null = null;
      try {
        response = await next(exchange);
        if (!mayRetry.has(response.status)) return response;
      } catch (thrown) {
        error = asOutriggerError(thrown);
      }
      // Without a record the request never got as far as an attempt.
      const attempt = exchange.attempts.at(-1);
      if (!attempt) throw error;
      const decision = decide(exchange, policy, totalMs, error, response);
      attempt.retry = decision.reason;
      if (!decision.retry) {
        if (response) return response;
        throw error;
      }
      response?.discard();
      await pause(exchange, decision.delayMs);
      exchange.pending = null;
    }
  };
}
