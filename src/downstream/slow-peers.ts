/**
 * Peers that drip: one look at all exchanges now and then, in the place of timers of each.
 *
 * Rules: the rate is judged only while bytes are owed, and by who owes them: the caller and the origin that
 * send a body of known length, the origin and the caller that have bytes waiting for them. Nothing at all is
 * the idle timers' to judge. A stream without a length may take its time, unless it holds what others wait for:
 * then those that came up with the least for the longest go first, and of the connections to one origin
 * half may be held so. It costs an exchange that is over before the next look nothing.
 */
import type { Exchange, Flow, Owing } from '../exchange.ts';
import type { LiveExchanges } from '../live-exchanges.ts';
import type { BodyLimits } from '../policy/policy.ts';

/** How often they are looked at, milliseconds. */
const LOOK_MS = 1_000;
const LOOK_MS_MIN = 20;

/** So many are looked at in one turn of the event loop. */
const LOOKED_AT_ONCE = 256;

/** So many are ended at once; then others have a turn. */
const ENDED_AT_ONCE = 32;

/** Of the connections to an origin, this part is freed at one look: who gets them may be as slow, and begins with a rush. */
const RELIEVED_SHARE = 8;

/** What an exchange owes may be looked at so many times in one window. */
const LOOKS = 5;

/** The caller holds up what others wait for. */
const BY_CALLER: ReadonlySet<Owing> = new Set<Owing>(['upload', 'stream', 'download']);

/** A look that takes several turns. */
interface Looking {
  readonly left: Iterator<Exchange>;
  readonly spare: Exchange[];
  /** When it began; monotone milliseconds. */
  readonly now: number;
}

export class SlowPeers {
  readonly #live: LiveExchanges;
  #lookMs = LOOK_MS;
  #timer: NodeJS.Timeout | null = null;
  /** Those that could make place, as of the last look, the slowest last. */
  #spare: Exchange[] = [];
  #looking: Looking | null = null;
  /** Too slow, and yet to be ended. */
  #late: Exchange[] = [];

  /** `windowsMs`: of all policies. */
  constructor(live: LiveExchanges, windowsMs: readonly number[]) {
    this.#live = live;
    this.setWindows(windowsMs);
  }

  /** Those of all policies there are now. */
  setWindows(windowsMs: readonly number[]): void {
    const lookMs = Math.max(LOOK_MS_MIN, Math.min(LOOK_MS, Math.min(...windowsMs) / LOOKS));
    if (lookMs === this.#lookMs) return;
    this.#lookMs = lookMs;
    if (this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
    this.begin();
  }

  /** An exchange has begun; goes on by itself until there are none. */
  begin(): void {
    if (this.#timer !== null) return;
    this.#timer = setInterval(this.#look, this.#lookMs);
    this.#timer.unref();
  }

  /** One that holds a permit and comes up with too little is ended; null: there is none. */
  makeRoom(): Exchange | null {
    for (;;) {
      const exchange = this.#spare.pop();
      if (exchange === undefined) return null;
      if (this.#yields(exchange)) return exchange;
    }
  }

  #look = (): void => {
    if (this.#live.size === 0) {
      if (this.#timer) clearInterval(this.#timer);
      this.#timer = null;
      this.#spare = [];
      return;
    }
    // The last look is not over yet.
    if (this.#looking !== null) return;
    this.#looking = { left: this.#live[Symbol.iterator](), spare: [], now: performance.now() };
    this.#lookOn();
  };

  /** At some, and then others have a turn: ten thousand at once would hold up all the rest. */
  #lookOn = (): void => {
    const looking = this.#looking as Looking;
    const { left, spare, now } = looking;
    for (let n = 0; n < LOOKED_AT_ONCE; n++) {
      const { value: exchange, done } = left.next();
      if (done === true) {
        this.#looking = null;
        this.#looked(spare);
        return;
      }
      const { flow } = exchange;
      if (flow === null || exchange.finished || exchange.aborted !== null) continue;
      const pace = paceOf(exchange, flow, now);
      if (pace === 'late') this.#late.push(exchange);
      else if (pace === 'slow' && flow.holds) spare.push(exchange);
    }
    setImmediate(this.#lookOn);
  };

  #looked(spare: Exchange[]): void {
    this.#endLate();
    this.#spare = spare.sort((a, b) => slownessOf(a) - slownessOf(b));
    if (spare.length > 0) this.#relieve();
  }

  #endLate = (): void => {
    for (const { flow, route, finished, aborted } of this.#late.splice(0, ENDED_AT_ONCE)) {
      const mark = flow?.mark;
      if (!flow || !mark || finished || aborted !== null) continue;
      const ms = mark.lastAt - mark.since;
      const rate = ((mark.last - mark.from) * 1_000) / ms;
      const detail = `${rate.toFixed(1)} bytes per second of ${route.policy.limits.minRate}`;
      flow.tooSlow(mark.owing, `${detail} over ${Math.round(ms)} ms`);
    }
    if (this.#late.length > 0) setImmediate(this.#endLate);
  };

  /** Where exchanges wait for connections that callers hold up, the slowest of these make place. */
  #relieve(): void {
    const held = new Map<NonNullable<Exchange['origin']>, Exchange[]>();
    for (const exchange of this.#spare) {
      const { origin, lease } = exchange;
      const connection = lease?.connection ?? null;
      // The end of one stream among others frees no connection.
      if (origin === null || connection === null || connection.multiplexed || origin.pool.queued === 0)
        continue;
      const others = held.get(origin);
      if (others) others.push(exchange);
      else held.set(origin, [exchange]);
    }
    for (const [{ pool }, slow] of held) {
      const some = Math.max(1, Math.floor(pool.limit / RELIEVED_SHARE));
      const most = Math.min(pool.queued, slow.length - Math.floor(pool.limit / 2), some);
      for (let i = 0; i < most; i++) this.#yields(slow.pop() as Exchange);
    }
  }

  #yields(exchange: Exchange): boolean {
    const { flow } = exchange;
    const mark = flow?.mark;
    if (!flow || !mark || exchange.finished || exchange.aborted !== null) return false;
    const { owing } = flow;
    if (owing !== mark.owing) return false;
    const bytes = flow.moved(owing) - mark.last;
    if (isBelow(exchange.route.policy.limits, bytes, performance.now() - mark.lastAt + this.#lookMs)) {
      flow.yield(owing, 'others waited');
      return true;
    }
    return false;
  }
}

function slownessOf({ flow }: Exchange): number {
  return flow?.mark?.slow ?? 0;
}

function isBelow({ minRate }: BodyLimits, bytes: number, ms: number): boolean {
  return minRate !== null && bytes * 1_000 < minRate * ms;
}

/** Late: it has been below the rate for a window. Slow: since the last look, and by its caller. */
function paceOf({ route }: Exchange, flow: Flow, now: number): 'late' | 'slow' | null {
  const { owing, mark } = flow;
  const { limits } = route.policy;
  if (owing === null || limits.minRate === null) {
    flow.mark = null;
    return null;
  }
  const moved = flow.moved(owing);
  if (mark === null || mark.owing !== owing) {
    flow.mark = { owing, since: now, from: moved, last: moved, lastAt: now, slow: 0 };
    return null;
  }
  // At this very look it has been seen already.
  if (mark.lastAt === now) return null;
  const bytes = moved - mark.from;
  const ms = now - mark.since;
  if (isBelow(limits, moved - mark.last, now - mark.lastAt)) mark.slow++;
  else mark.slow = 0;
  mark.last = moved;
  mark.lastAt = now;
  if (ms >= limits.minRateWindowMs && bytes > 0 && owing !== 'stream') {
    if (isBelow(limits, bytes, ms)) return 'late';
    mark.since = now;
    mark.from = moved;
  }
  return mark.slow > 0 && BY_CALLER.has(owing) ? 'slow' : null;
}
