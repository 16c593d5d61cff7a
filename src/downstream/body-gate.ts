/**
 * When a request that has a body may go on: a slow upload must not hold what others need.
 *
 * Rules: a body of known length that may be kept is received whole before its exchange takes a permit, a place
 * in a queue or a connection. Any other may go on at once, but those whose callers have sent little of it yet
 * take up at most half of what there is; more of them wait for their bytes or for a place, and hold nothing. An
 * exchange that would be refused whatever its body is refused at once. A body that is here when its head is
 * has never waited. It knows no HTTP.
 */
import { OutriggerError } from '../errors.ts';
import type { Exchange, Pending, Releasable } from '../exchange.ts';
import type { Policy } from '../policy/policy.ts';

type Body = NonNullable<Exchange['body']>;

/** A caller that has sent so much means it; bytes. */
const ENOUGH_BYTES = 65_536;

/** What one connection of HTTP/2 carries at once. */
const STREAMS = 100;

export interface BodyGateOptions {
  /** `limits.exchanges` */
  readonly exchanges: number;
  /** Whether the exchange would be refused now, as by an open circuit. */
  readonly refuses: (exchange: Exchange) => boolean;
}

export class BodyGate {
  readonly #options: BodyGateOptions;
  /** By origin: those that go on, and those that wait. */
  readonly #places = new Map<string, Places>();
  #held = 0;
  /** All together. */
  waiting = 0;

  constructor(options: BodyGateOptions) {
    this.#options = options;
  }

  /** Null: it may go on now. Else it may once the promise resolves; a rejection is the exchange's error. */
  pass(exchange: Exchange, body: Body): Promise<void> | null {
    if (body.complete || this.#options.refuses(exchange)) return null;
    if (!body.gatherable) return this.#stream(exchange, body);
    return new Promise((resolve, reject) => {
      const done = (): void =>
        resolve(body.complete ? undefined : (this.#stream(exchange, body) ?? undefined));
      new Gathering(exchange, body, done, reject).begin();
    });
  }

  #stream(exchange: Exchange, body: Body): Promise<void> | null {
    if (body.received >= ENOUGH_BYTES) return null;
    const { target, route } = exchange;
    const { origin: key, scheme } = target as NonNullable<Exchange['target']>;
    let places = this.#places.get(key);
    if (!places) {
      places = { held: 0, waiting: new Set() };
      this.#places.set(key, places);
    }
    const { connections } = route.policy.pool;
    const streams = route.http2 && scheme === 'https' ? connections * STREAMS : connections;
    const most = Math.max(1, Math.floor(streams / 2));
    const place = new Place(this, key, places, most, exchange, body);
    if (this.take(place)) return null;
    return new Promise((resolve, reject) => place.wait(resolve, reject));
  }

  /** One more may go on whose body is yet to come. */
  take({ places, most }: Place): boolean {
    const half = Math.max(1, Math.floor(this.#options.exchanges / 2));
    if (this.#held >= half || places.held >= most) return false;
    this.#held++;
    places.held++;
    return true;
  }

  /** A place is free, or somebody has stopped waiting for one. */
  left({ key, places }: Place, held: boolean): void {
    if (held) {
      this.#held--;
      places.held--;
      this.#next(places);
      // The bound of the whole may have been in the way of others.
      if (this.waiting > 0) for (const other of this.#places.values()) this.#next(other);
    }
    if (places.held === 0 && places.waiting.size === 0 && this.#places.get(key) === places)
      this.#places.delete(key);
  }

  #next(places: Places): void {
    for (const place of places.waiting) {
      if (!this.take(place)) return;
      place.granted();
    }
  }
}

interface Places {
  held: number;
  /** In the order in which they came. */
  readonly waiting: Set<Place>;
}

/** The body is received before anything is taken for it. */
class Gathering implements Pending {
  readonly #exchange: Exchange;
  readonly #body: Body;
  readonly #done: () => void;
  readonly #reject: (error: OutriggerError) => void;
  #idle: NodeJS.Timeout | null = null;
  #total: NodeJS.Timeout | null = null;

  constructor(exchange: Exchange, body: Body, done: () => void, reject: (error: OutriggerError) => void) {
    this.#exchange = exchange;
    this.#body = body;
    this.#done = done;
    this.#reject = reject;
  }

  begin(): void {
    const exchange = this.#exchange;
    const { idleMs } = exchange.route.policy.timeouts;
    const stalled = (): void => this.cancel(new OutriggerError('request_body_stalled', `after ${idleMs} ms`));
    this.#idle = setTimeout(stalled, idleMs);
    const leftMs = leftMsOf(exchange);
    if (leftMs !== null) this.#total = setTimeout(() => this.cancel(totalTimeout(exchange)), leftMs);
    exchange.phase = 'receiving the body';
    exchange.pending = this;
    this.#body.onProgress = this.#progress;
    // Nobody has refused it: a caller that waits for 100 Continue may send it.
    this.#body.want();
  }

  #progress = (): void => {
    if (this.#body.complete || !this.#body.gatherable) {
      this.#stop();
      this.#done();
    } else this.#idle?.refresh();
  };

  cancel(error: OutriggerError): void {
    this.#stop();
    this.#reject(error);
  }

  #stop(): void {
    if (this.#idle) clearTimeout(this.#idle);
    if (this.#total) clearTimeout(this.#total);
    this.#body.onProgress = null;
    if (this.#exchange.pending === this) this.#exchange.pending = null;
  }
}

/** Of an exchange whose caller has sent little of its body yet: held, or waited for. */
class Place implements Pending, Releasable {
  readonly key: string;
  readonly places: Places;
  /** So many may be held at its origin. */
  readonly most: number;
  readonly #gate: BodyGate;
  readonly #exchange: Exchange;
  readonly #body: Body;
  #state: 'held' | 'waiting' | 'over' = 'held';
  #resolve: (() => void) | null = null;
  #reject: ((error: OutriggerError) => void) | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(gate: BodyGate, key: string, places: Places, most: number, exchange: Exchange, body: Body) {
    this.#gate = gate;
    this.key = key;
    this.places = places;
    this.most = most;
    this.#exchange = exchange;
    this.#body = body;
    body.onProgress = this.#progress;
    // Then the rest is the origin's affair.
    body.onAnswered = () => this.release();
    exchange.onFinish(this);
  }

  wait(resolve: () => void, reject: (error: OutriggerError) => void): void {
    this.#state = 'waiting';
    this.#resolve = resolve;
    this.#reject = reject;
    this.places.waiting.add(this);
    this.#gate.waiting++;
    const exchange = this.#exchange;
    const { policy } = exchange.route;
    const waitMs = waitMsOf(policy);
    const leftMs = leftMsOf(exchange);
    const from = this.#body.received;
    const late = (): void => this.cancel(this.#late(policy, waitMs, from));
    const outOfTime = (): void => this.cancel(totalTimeout(exchange));
    this.#timer =
      leftMs !== null && leftMs < waitMs ? setTimeout(outOfTime, leftMs) : setTimeout(late, waitMs);
    exchange.phase = 'receiving the body';
    exchange.pending = this;
  }

  granted(): void {
    this.#goOn('held');
  }

  /** The body has come, or the origin has answered without it, or the exchange is over. */
  release(): void {
    const was = this.#state;
    if (was === 'over') return;
    this.#stop();
    this.#state = 'over';
    this.#gate.left(this, was === 'held');
  }

  cancel(error: OutriggerError): void {
    const reject = this.#reject;
    this.release();
    reject?.(error);
  }

  #late({ limits }: Policy, waitMs: number, from: number): OutriggerError {
    const rate = ((this.#body.received - from) * 1_000) / waitMs;
    if (limits.minRate === null || !this.#body.owed || rate >= limits.minRate)
      return new OutriggerError('queue_timeout', `no place for its body within ${waitMs} ms`, 1);
    return new OutriggerError('request_body_yielded', `${Math.round(rate)} bytes per second`);
  }

  #progress = (): void => {
    const body = this.#body;
    if (!body.complete && body.received < ENOUGH_BYTES) return;
    if (this.#state === 'waiting') {
      this.#goOn('over');
      this.#gate.left(this, false);
    } else this.release();
  };

  #goOn(state: 'held' | 'over'): void {
    const resolve = this.#resolve;
    this.#stop();
    this.#state = state;
    if (state === 'held') this.#body.onProgress = this.#progress;
    resolve?.();
  }

  #stop(): void {
    if (this.places.waiting.delete(this)) this.#gate.waiting--;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#resolve = null;
    this.#reject = null;
    this.#body.onProgress = null;
    if (this.#exchange.pending === this) this.#exchange.pending = null;
  }
}

/** A place is waited for as long as the rate of a body is judged; where none is, as long as for a connection. */
function waitMsOf({ limits, pool }: Policy): number {
  return limits.minRate === null ? pool.queueTimeoutMs : limits.minRateWindowMs;
}

/** Of `policy.timeouts.total`, which runs before there is a stack to mind it; null: there is no such bound. */
function leftMsOf({ route, startedAt }: Exchange): number | null {
  const { totalMs } = route.policy.timeouts;
  return totalMs === null ? null : Math.max(1, totalMs - (performance.now() - startedAt));
}

function totalTimeout({ route, phase }: Exchange): OutriggerError {
  return new OutriggerError('total_timeout', `${route.policy.timeouts.totalMs} ms, while ${phase}`);
}
