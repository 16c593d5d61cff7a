/** The rate limit of a vendor: so many tokens a second, at most `burst` saved. */
export class TokenBucket {
  readonly #rate: number;
  readonly #burst: number;
  #tokens: number;
  #at: number;

  constructor(rate: number, burst: number, nowMs: number) {
    this.#rate = rate;
    this.#burst = burst;
    this.#tokens = burst;
    this.#at = nowMs;
  }

  /** Takes one, or says how long until there is one again; 0: taken. */
  take(nowMs: number): number {
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#at) / 1_000) * this.#rate);
    this.#at = nowMs;
    if (this.#tokens < 1) return ((1 - this.#tokens) / this.#rate) * 1_000;
    this.#tokens--;
    return 0;
  }

  get left(): number {
    return Math.floor(this.#tokens);
  }
}
