/** What became of the requests of a load. */
import type { Load } from '../load.ts';

export class Tally {
  readonly #latencies: number[] = [];
  #refused = 0;
  #broken = 0;

  answered(head: string, ms: number): void {
    this.#latencies.push(ms);
    // The first digit of the status.
    if (head.charCodeAt(9) >= 0x34) this.#refused++;
  }

  broke(): void {
    this.#broken++;
  }

  load(seconds: number): Load {
    const sorted = Float64Array.from(this.#latencies).sort();
    const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0;
    return {
      exchanges: sorted.length,
      seconds,
      p50: at(0.5),
      p99: at(0.99),
      p999: at(0.999),
      refused: this.#refused,
      broken: this.#broken,
    };
  }
}
