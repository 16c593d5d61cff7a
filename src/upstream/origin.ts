/**
 * All state of one origin: its connections, its circuits, its retry budget. Policies come as arguments;
 * only a circuit is made from one, so exchanges with another breaker policy have a circuit of their own.
 */
import type { BreakerPolicy } from '../policy/policy.ts';
import { Circuit } from './circuit.ts';
import { Pool, type Reclaim } from './pool.ts';
import { RetryBudget } from './retry-budget.ts';
import type { Semaphore } from './semaphore.ts';

export class Origin {
  /** `scheme://host:port` */
  readonly key: string;
  readonly pool: Pool;
  readonly budget = new RetryBudget();
  lastUsedAt = 0;
  /** When its certificate was last found valid, monotonic milliseconds; -Infinity: never. */
  verifiedAt = Number.NEGATIVE_INFINITY;
  /** Exchanges that use it now. */
  inFlight = 0;
  #openingsBefore = 0;
  readonly #circuits = new Map<BreakerPolicy, Circuit>();
  /** An operator's word, which holds for circuits that are yet to come, too. */
  #forced: 'open' | 'closed' | null = null;

  constructor(key: string, connectionPermits: Semaphore, reclaim: Reclaim) {
    this.key = key;
    this.pool = new Pool(connectionPermits, reclaim);
  }

  get circuits(): IterableIterator<Circuit> {
    return this.#circuits.values();
  }

  circuit(policy: BreakerPolicy): Circuit {
    let circuit = this.#circuits.get(policy);
    if (!circuit) {
      circuit = new Circuit(policy);
      if (this.#forced !== null) circuit.force(this.#forced);
      this.#circuits.set(policy, circuit);
    }
    return circuit;
  }

  /** False: it has no circuit, and so nothing to be forced. */
  force(state: 'open' | 'closed' | 'auto'): boolean {
    if (this.#circuits.size === 0) return false;
    this.#forced = state === 'auto' ? null : state;
    for (const circuit of this.#circuits.values()) circuit.force(state);
    return true;
  }

  /** Circuits of other breakers go; what began under them decides nothing. */
  retain(breakers: ReadonlySet<BreakerPolicy>): void {
    for (const [policy, circuit] of this.#circuits) {
      if (breakers.has(policy)) continue;
      this.#openingsBefore += circuit.openings;
      circuit.shutdown();
      this.#circuits.delete(policy);
    }
  }

  /** How often a circuit of it has opened, those that have gone included. */
  get openings(): number {
    let openings = this.#openingsBefore;
    for (const circuit of this.#circuits.values()) openings += circuit.openings;
    return openings;
  }

  enter(nowMs: number): void {
    this.inFlight++;
    this.lastUsedAt = nowMs;
    this.budget.exchangeBegan(nowMs);
  }

  /** An exchange that used it has finished. */
  release(): void {
    this.inFlight--;
  }

  /** Whether it would be missed: a circuit remembers a failure, or the word of an operator. */
  get remembered(): boolean {
    if (this.#forced !== null) return true;
    for (const circuit of this.#circuits.values()) {
      if (circuit.state !== 'closed' || circuit.forced) return true;
    }
    return false;
  }

  close(): void {
    this.pool.close();
    for (const circuit of this.#circuits.values()) circuit.shutdown();
    this.#circuits.clear();
  }
}
