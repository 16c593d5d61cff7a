/**
 * The clock by which callers are judged: it stands still while the sidecar is stopped by a signal, and while
 * this process itself was too busy to look. What stands between two looks is nobody's delay.
 */
const LOOK_MS = 20;
/** A look that is later than this is a stall of our own. */
const SLACK_MS = 30;

export class FairClock {
  readonly #began = performance.now();
  #excusedMs = 0;
  #stoppedAt: number | null = null;
  #lookedAt = performance.now();
  readonly #timer = setInterval(() => this.#look(), LOOK_MS);

  /** Since the start; only what counts. */
  now(): number {
    const to = this.#stoppedAt ?? performance.now();
    return to - this.#began - this.#excusedMs;
  }

  /** Since the start, as a watch on the wall has it. */
  get wallMs(): number {
    return performance.now() - this.#began;
  }

  get excusedMs(): number {
    return this.#excusedMs;
  }

  stop(): void {
    this.#stoppedAt ??= performance.now();
  }

  go(): void {
    if (this.#stoppedAt === null) return;
    this.#excusedMs += performance.now() - this.#stoppedAt;
    this.#stoppedAt = null;
  }

  end(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    const late = now - this.#lookedAt - LOOK_MS;
    this.#lookedAt = now;
    if (late > SLACK_MS && this.#stoppedAt === null) this.#excusedMs += late;
  }
}
