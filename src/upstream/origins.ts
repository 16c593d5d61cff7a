/**
 * The origins the sidecar remembers, by key. Bounded by `limits.origins`: the one unused for longest makes
 * place, first among those whose circuit is closed; one that is in use never does. One that still has
 * connections when it is forgotten is the same origin again if it is wanted before they are gone, so that
 * its limit holds across the change.
 */
import { OutriggerError } from '../errors.ts';
import type { BreakerPolicy } from '../policy/policy.ts';
import type { OriginSnapshot } from '../telemetry/snapshot.ts';
import type { CircuitState } from './circuit.ts';
import { Origin } from './origin.ts';
import type { Semaphore } from './semaphore.ts';
import { Shortlist } from './shortlist.ts';

const SEVERITY: readonly CircuitState[] = ['closed', 'half-open', 'open'];

/** What of upstream state a configuration can still ask for. */
export interface Wanted {
  readonly breakers: ReadonlySet<BreakerPolicy>;
  /** Whether somebody may come with that key. */
  readonly key: (key: string) => boolean;
  /** Connections were dialled under rules that no longer hold. */
  readonly redial: boolean;
}

export class Origins {
  #limit: number;
  readonly #permits: Semaphore;
  readonly #byKey = new Map<string, Origin>();
  /** Forgotten, but not yet without connections, and no more than as many again that are: `limits.connections` bounds them. */
  readonly #leaving = new Map<string, Origin>();
  /** Of these, as of the last look for those without connections; twice as many are looked at again. */
  #left = 0;
  /** Those that could make place, the one unused for longest first. */
  readonly #unused = this.#unusedOf(false);
  /** Those that would be missed, and make place only where nobody else can: no list of both, where they would come next. */
  readonly #missed = this.#unusedOf(true);
  /** Those with a connection that could make place. */
  readonly #idle = new Shortlist<Origin>(
    () => this.#byKey.values(),
    ({ pool }) => pool.oldestIdleAt,
  );

  /** `permits` is the limit on upstream connections of the whole process. */
  constructor(limit: number, permits: Semaphore) {
    this.#limit = limit;
    this.#permits = permits;
  }

  /** The origin, in use from now until its `release()`. Throws `origin_limit`. */
  enter(key: string): Origin {
    const now = performance.now();
    let origin = this.#byKey.get(key);
    if (!origin) {
      if (this.#byKey.size >= this.#limit) this.#evict();
      origin = this.#leaving.get(key) ?? new Origin(key, this.#permits, this.#reclaim);
      this.#leaving.delete(key);
      origin.pool.reopen();
      this.#byKey.set(key, origin);
    }
    origin.enter(now);
    return origin;
  }

  get(key: string): Origin | undefined {
    return this.#byKey.get(key);
  }

  snapshot(): OriginSnapshot[] {
    const now = performance.now();
    return Array.from(this.#byKey.values(), (origin) => {
      let worst = -1;
      for (const circuit of origin.circuits) worst = Math.max(worst, SEVERITY.indexOf(circuit.state));
      return {
        origin: origin.key,
        connections: origin.pool.counts(),
        streams: origin.pool.streams,
        protocol: origin.pool.protocol,
        limit: origin.pool.limit,
        queue: origin.pool.queued,
        circuit: SEVERITY[worst] ?? null,
        circuitOpenings: origin.openings,
        lastUsedMs: Math.round(now - origin.lastUsedAt),
      };
    });
  }

  /** A lower limit forgets nobody who is in use. */
  setLimit(limit: number): void {
    this.#limit = limit;
    while (this.#byKey.size > limit && this.#evictOne());
  }

  /** What nobody can ask for any more goes: at once, or when who uses it is done. */
  settle({ breakers, key: isWanted, redial }: Wanted): void {
    for (const [key, origin] of this.#byKey) {
      origin.retain(breakers);
      if (redial) origin.pool.renew();
      if (origin.inFlight > 0 || isWanted(key)) continue;
      this.#forget(origin);
    }
    if (redial) for (const origin of this.#leaving.values()) origin.pool.renew();
  }

  /** Closes what is idle and forgets all of them. */
  close(): void {
    for (const origin of this.#byKey.values()) origin.close();
  }

  #unusedOf(remembered: boolean): Shortlist<Origin> {
    return new Shortlist(
      () => this.#byKey.values(),
      (origin) => {
        if (origin.inFlight > 0 || this.#byKey.get(origin.key) !== origin) return Number.POSITIVE_INFINITY;
        return origin.remembered === remembered ? origin.lastUsedAt : Number.POSITIVE_INFINITY;
      },
    );
  }

  #evict(): void {
    if (!this.#evictOne()) throw new OutriggerError('origin_limit', `${this.#limit} origins are in use`, 1);
  }

  /** False: all of them are in use. */
  #evictOne(): boolean {
    const victim = this.#unused.least() ?? this.#missed.least();
    if (victim !== null) this.#forget(victim);
    return victim !== null;
  }

  #forget(origin: Origin): void {
    this.#byKey.delete(origin.key);
    origin.close();
    if (origin.pool.size > 0) this.#leaving.set(origin.key, origin);
    if (this.#leaving.size <= 2 * this.#left) return;
    for (const [key, other] of this.#leaving) if (other.pool.size === 0) this.#leaving.delete(key);
    this.#left = this.#leaving.size;
  }

  /** Somebody needs a connection and the process has none left: the one idle longest makes place. */
  #reclaim = (): void => {
    this.#idle.least()?.pool.closeOldestIdle();
  };
}
