/**
 * The circuit of an origin: asked before an attempt, told after it. The rolling window and the state
 * machine are opossum's; this is the only file that knows it.
 *
 * Keeps, beyond what opossum does: three verdicts (an attempt whose caller left says nothing); a late
 * result, of an attempt that began before the last change of state, decides nothing; half-open is one
 * probe, and a lost probe ends; the open time doubles; a forced state stays. It knows no exchanges and
 * makes no errors.
 *
 * How: an attempt is fired only at its end, with an action that has already ended, so opossum never times
 * or rejects anything. The action returns a thenable that calls back at once, so the state has changed when
 * `end` returns.
 */
import type { EventEmitter } from 'node:events';
import CircuitBreaker from 'opossum';
import type { Verdict } from '../errors.ts';
import type { BreakerPolicy } from '../policy/policy.ts';
import { type Rotation, rotationOf, type Turning } from './rotation.ts';

export type CircuitState = 'closed' | 'half-open' | 'open';

export interface CircuitPermit {
  readonly probe: boolean;
  /**
   * The head of a good answer is here. A probe closes the circuit with it, since its body may flow for
   * hours; its end then counts as that of any attempt.
   */
  answered(): void;
  /** Once; later calls decide nothing. */
  end(verdict: Verdict): void;
}

const BUCKETS = 10;

/**
 * opossum opens above its percentage, we open at it: less by more than rounding, and less than one call in
 * a billion.
 */
const JUST_BELOW = 1e-7;

/**
 * Numbers that opossum keeps of every call, and never reads as we configure it; we drop them every so many
 * calls.
 */
const LATENCIES_KEPT = 64;

/** What a failed attempt throws into opossum: no stack, nobody reads it. */
const FAILURE = Object.freeze({});

const nothing = (): void => {};
// oxlint-disable unicorn/no-thenable -- opossum asks for one; nobody awaits it
const succeeded = { then: (resolve: (value: undefined) => void) => (resolve(undefined), { catch: nothing }) };
const failed = { then: () => ({ catch: (reject: (reason: unknown) => void) => reject(FAILURE) }) };
// oxlint-enable unicorn/no-thenable

/** opossum asks to be told when windows turn; each circuit turns its own. */
const NOBODY = Object.freeze({
  listenerCount: () => 0,
  on: nothing,
  removeListener: nothing,
}) as unknown as EventEmitter;

/** opossum only ever calls `then` of what an action returns, and `catch` of what that returns. */
const action = (success: boolean): Promise<unknown> =>
  (success ? succeeded : failed) as unknown as Promise<unknown>;

export class Circuit implements Turning {
  readonly #policy: BreakerPolicy;
  readonly #onOpen: () => void;
  readonly #now: () => number;
  /** opossum keeps this very object and reads the open time from it when it opens. */
  readonly #options: CircuitBreaker.Options<[boolean]>;
  readonly #engine: CircuitBreaker<[boolean]>;
  readonly #rotation: Rotation;
  /** Moves with every change of state that a result can be late for. */
  #generation = 0;
  #probing = false;
  #watchdog: NodeJS.Timeout | undefined;
  /** Since the circuit was last closed; each doubles the open time. */
  #failedProbes = 0;
  #openings = 0;
  #openUntil = 0;
  #told = 0;
  /** Steps of the window since a call was last counted; so many as it has buckets: it is empty. */
  #quiet = BUCKETS;
  #forced: 'open' | 'closed' | null = null;

  /** `now` is monotonic, and only tells how long an open circuit will stay so. */
  constructor(
    policy: BreakerPolicy,
    onOpen: () => void = nothing,
    now: () => number = () => performance.now(),
  ) {
    this.#policy = policy;
    this.#onOpen = onOpen;
    this.#now = now;
    this.#rotation = rotationOf(policy.windowMs / BUCKETS);
    this.#rotation.enter();
    this.#options = {
      name: 'origin',
      timeout: false,
      resetTimeout: policy.openForMs,
      errorThresholdPercentage: policy.failureRatio * 100 - JUST_BELOW,
      volumeThreshold: policy.minimumCalls,
      rollingCountTimeout: policy.windowMs,
      rollingCountBuckets: BUCKETS,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      rotateBucketController: NOBODY,
    };
    this.#engine = new CircuitBreaker(action, this.#options);
  }

  get state(): CircuitState {
    if (this.#forced !== null) return this.#forced;
    if (this.#engine.opened) return 'open';
    return this.#engine.halfOpen ? 'half-open' : 'closed';
  }

  /** Whether the state is an operator's word, which an evicted origin would forget. */
  get forced(): boolean {
    return this.#forced !== null;
  }

  /** How often failures have opened the circuit, failed probes included. */
  get openings(): number {
    return this.#openings;
  }

  /** Until the next probe; 0 where nobody knows: probing, or forced. */
  get retryAfterMs(): number {
    if (this.#forced !== null || !this.#engine.opened) return 0;
    return Math.max(0, this.#openUntil - this.#now());
  }

  /** Null: not now. Whoever gets a permit ends it. */
  tryAcquire(): CircuitPermit | null {
    const state = this.state;
    if (state === 'closed') return new Permit(this.#listener, this.#generation, false);
    if (state === 'open' || this.#probing) return null;
    this.#probing = true;
    // A probe that never ends must not keep everyone out for ever.
    this.#watchdog = setTimeout(
      () => this.#ended(this.#generation, true, 'ignored'),
      this.#policy.openForMaxMs,
    );
    this.#watchdog.unref();
    return new Permit(this.#listener, this.#generation, true);
  }

  /** An operator's word: it stays until 'auto', which begins closed, with an empty window. */
  force(state: 'open' | 'closed' | 'auto'): void {
    if (this.#engine.isShutdown) return;
    this.#move();
    this.#engine.close();
    this.#begin();
    this.#forced = state === 'auto' ? null : state;
  }

  /** The window moves on by a bucket. */
  turn(): boolean {
    (this.#engine.status as OpenStatus).rotateBucket();
    return ++this.#quiet < BUCKETS;
  }

  /** For good: from here it lets everything pass and learns nothing. */
  shutdown(): void {
    if (this.#engine.isShutdown) return;
    this.#move();
    this.#forced = null;
    this.#engine.shutdown();
    this.#rotation.leave(this);
  }

  /** What permits are bound to, made once. */
  readonly #listener: PermitListener = {
    answered: (generation) => {
      if (generation !== this.#generation) return generation;
      this.#ended(generation, true, 'success');
      return this.#generation;
    },
    ended: (generation, probe, verdict) => this.#ended(generation, probe, verdict),
  };

  #ended(generation: number, probe: boolean, verdict: Verdict): void {
    if (generation !== this.#generation || this.#forced !== null || this.#engine.isShutdown) return;
    if (probe) {
      this.#move();
      if (verdict === 'ignored') {
        // Nothing was learned: another probe after the usual time, neither sooner nor later.
        this.#options.resetTimeout = this.#policy.openForMs;
        this.#engine.open();
        this.#openUntil = this.#now() + this.#policy.openForMs;
        return;
      }
      if (verdict === 'failure') this.#failedProbes++;
    } else if (verdict === 'ignored') return;
    this.#tell(verdict === 'success');
    if (this.#engine.opened) {
      if (!probe) this.#move();
      this.#openings++;
      this.#onOpen();
    } else if (probe) this.#begin();
  }

  #tell(success: boolean): void {
    if (this.#quiet === BUCKETS) this.#rotation.begin(this);
    this.#quiet = 0;
    // In a closed circuit a success moves two counts, and nothing else: these are opossum's own.
    if (success && this.#engine.closed) {
      const status = this.#engine.status as OpenStatus;
      status.increment('fires');
      status.increment('successes');
    } else this.#fire(success);
    if (++this.#told % LATENCIES_KEPT === 0) {
      const bucket = this.#engine.status.window[0];
      if (bucket !== undefined) bucket.latencyTimes.length = 0;
    }
  }

  #fire(success: boolean): void {
    const { openForMs, openForMaxMs } = this.#policy;
    const openMs = Math.min(openForMaxMs, openForMs * 2 ** this.#failedProbes);
    this.#options.resetTimeout = openMs;
    this.#engine.fire(success).catch(nothing);
    if (this.#engine.opened) this.#openUntil = this.#now() + openMs;
  }

  /** What is under way is late from here. */
  #move(): void {
    this.#generation++;
    this.#probing = false;
    clearTimeout(this.#watchdog);
    this.#watchdog = undefined;
  }

  /** A closed circuit begins with an empty window: what opened it must not open it again. */
  #begin(): void {
    this.#failedProbes = 0;
    const status = this.#engine.status as OpenStatus;
    for (let i = 0; i < BUCKETS; i++) status.rotateBucket();
  }
}

/** What opossum's types leave out. */
interface OpenStatus extends CircuitBreaker.Status {
  /** A step of the window, the same as its interval takes. */
  rotateBucket(): void;
  /** What `fire` does for each event of a call. */
  increment(count: 'fires' | 'successes'): void;
}

interface PermitListener {
  /** Of a probe only; returns the generation that its end belongs to, which for a late one is its own. */
  answered(generation: number): number;
  ended(generation: number, probe: boolean, verdict: Verdict): void;
}

class Permit implements CircuitPermit {
  readonly probe: boolean;
  readonly #listener: PermitListener;
  #generation: number;
  #deciding: boolean;
  #ended = false;

  constructor(listener: PermitListener, generation: number, probe: boolean) {
    this.probe = probe;
    this.#listener = listener;
    this.#generation = generation;
    this.#deciding = probe;
  }

  answered(): void {
    if (this.#ended || !this.#deciding) return;
    this.#deciding = false;
    this.#generation = this.#listener.answered(this.#generation);
  }

  end(verdict: Verdict): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#listener.ended(this.#generation, this.#deciding, verdict);
  }
}
