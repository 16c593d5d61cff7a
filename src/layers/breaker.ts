/**
 * The circuit breaker: asked before each attempt, told at its end. An open circuit answers at once, with
 * the time of the next probe. Absent where the policy's breaker is null.
 */
import { OutriggerError, rejected, type Verdict } from '../errors.ts';
import type { AttemptObserver, Layer } from '../exchange.ts';
import type { BreakerPolicy } from '../policy/policy.ts';
import type { CircuitPermit } from '../upstream/circuit.ts';
import type { Origin } from '../upstream/origin.ts';

class Ear implements AttemptObserver {
  readonly #permit: CircuitPermit;

  constructor(permit: CircuitPermit) {
    this.#permit = permit;
  }

  attemptAnswered(): void {
    if (this.#permit.probe) this.#permit.answered();
  }

  attemptEnded(verdict: Verdict): void {
    this.#permit.end(verdict);
  }
}

export function breaker<R>(policy: BreakerPolicy): Layer<R> {
  return (next) => (exchange) => {
    const origin = exchange.origin as Origin;
    const circuit = origin.circuit(policy);
    const permit = circuit.tryAcquire();
    if (!permit) {
      const seconds = Math.max(1, Math.ceil(circuit.retryAfterMs / 1_000));
      const detail = circuit.forced
        ? `${origin.key}: opened by an operator, until set otherwise`
        : origin.key;
      return rejected(new OutriggerError('circuit_open', detail, seconds));
    }
    exchange.attempt.observe(new Ear(permit));
    return next(exchange);
  };
}
