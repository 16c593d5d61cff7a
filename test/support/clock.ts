/**
 * Timers whose time passes when a test says so, put in the place of `setTimeout` for a while. Unlike the
 * mock of node:test a timer can be refreshed, as idle timers are. Timers from before keep their own time,
 * and so do those inside Node: the sockets are real.
 */
class FakeTimer {
  readonly #clock: FakeClock;
  readonly #run: () => void;
  readonly #delayMs: number;
  dueAt = 0;

  constructor(clock: FakeClock, run: () => void, delayMs: number) {
    this.#clock = clock;
    this.#run = run;
    this.#delayMs = delayMs;
    this.refresh();
  }

  refresh(): this {
    this.dueAt = this.#clock.nowMs + this.#delayMs;
    this.#clock.armed.add(this);
    return this;
  }

  fire(): void {
    this.#clock.armed.delete(this);
    this.#run();
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

export class FakeClock {
  nowMs = 0;
  readonly armed = new Set<FakeTimer>();
  readonly #setTimeout = globalThis.setTimeout;
  readonly #clearTimeout = globalThis.clearTimeout;

  /** From here on timers are ours, until `restore`. */
  constructor() {
    const set = (run: (...values: unknown[]) => void, delayMs = 1, ...values: unknown[]): FakeTimer =>
      new FakeTimer(this, () => run(...values), delayMs);
    const clear = (timer: unknown): void => {
      if (timer instanceof FakeTimer) this.armed.delete(timer);
      else this.#clearTimeout(timer as NodeJS.Timeout);
    };
    globalThis.setTimeout = set as unknown as typeof setTimeout;
    globalThis.clearTimeout = clear;
  }

  /** Timers fire in the order in which they are due. */
  advance(ms: number): void {
    const end = this.nowMs + ms;
    for (;;) {
      let next: FakeTimer | null = null;
      for (const timer of this.armed)
        if (timer.dueAt <= end && (next === null || timer.dueAt < next.dueAt)) next = timer;
      if (next === null) break;
      this.nowMs = Math.max(this.nowMs, next.dueAt);
      next.fire();
    }
    this.nowMs = end;
  }

  restore(): void {
    globalThis.setTimeout = this.#setTimeout;
    globalThis.clearTimeout = this.#clearTimeout;
    this.armed.clear();
  }
}
