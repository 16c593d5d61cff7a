/**
 * How many retries an origin may be sent: a share of its exchanges of the last 10 s, and a few a second
 * whatever the traffic. One per origin; it only counts, the policy is an argument.
 *
 * Exactly: a retry is allowed while, with it, the retries of the window are no more than `ratio` of its
 * exchanges, or while it is one of the first `floor` of this second. Both count the same retries, so an
 * origin that fails everything gets at most (1 + ratio) times the callers' requests, plus `floor` a second.
 * Why a share: a number of attempts multiplies the load just when the origin can bear it least. It has no
 * clock.
 */
import type { BudgetPolicy } from '../policy/policy.ts';

const BUCKETS = 10;
const BUCKET_MS = 1000;

export class RetryBudget {
  readonly #exchanges = new Uint32Array(BUCKETS);
  readonly #retries = new Uint32Array(BUCKETS);
  /** The second that the newest bucket stands for. */
  #second = -1;

  exchangeBegan(nowMs: number): void {
    const bucket = this.#bucketAt(nowMs);
    this.#exchanges[bucket] = (this.#exchanges[bucket] ?? 0) + 1;
  }

  /** Takes one retry out of the budget, if there is one. */
  tryRetry(policy: BudgetPolicy, nowMs: number): boolean {
    const bucket = this.#bucketAt(nowMs);
    const thisSecond = this.#retries[bucket] ?? 0;
    if (thisSecond >= policy.floor) {
      // Whole retries only, lest one exchange every ten seconds be one retry every ten seconds. The tiny
      // share makes up for ratios that binary fractions fall short of (0.29 * 100).
      const allowed = Math.floor(policy.ratio * sum(this.#exchanges) + 1e-9);
      if (sum(this.#retries) + 1 > allowed) return false;
    }
    this.#retries[bucket] = thisSecond + 1;
    return true;
  }

  /** Empties what the time since the last call has left behind. A clock that went back stays where it was. */
  #bucketAt(nowMs: number): number {
    const second = Math.floor(nowMs / BUCKET_MS);
    if (second > this.#second) {
      const from = Math.max(this.#second + 1, second - BUCKETS + 1);
      for (let stale = from; stale <= second; stale++) {
        this.#exchanges[stale % BUCKETS] = 0;
        this.#retries[stale % BUCKETS] = 0;
      }
      this.#second = second;
    }
    return this.#second % BUCKETS;
  }
}

function sum(counts: Uint32Array): number {
  let total = 0;
  for (const count of counts) total += count;
  return total;
}
