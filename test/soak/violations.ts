/**
 * What was found to be broken, with what shows it. Each is printed at once; a kind that never ends is counted
 * on and printed no more.
 */
export interface Evidence {
  readonly requestId?: string;
  readonly line?: string | undefined;
}

const SHOWN_PER_KIND = 10;

export class Violations {
  readonly counts = new Map<string, number>();
  readonly #seed: number;
  readonly #elapsedMs: () => number;
  readonly #print: (line: string) => void;

  constructor(seed: number, elapsedMs: () => number, print: (line: string) => void) {
    this.#seed = seed;
    this.#elapsedMs = elapsedMs;
    this.#print = print;
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }

  add(invariant: string, what: string, { requestId, line }: Evidence = {}): void {
    const count = (this.counts.get(invariant) ?? 0) + 1;
    this.counts.set(invariant, count);
    if (count > SHOWN_PER_KIND) return;
    const at = (this.#elapsedMs() / 1_000).toFixed(1);
    this.#print(`VIOLATION  ${invariant}: ${what}`);
    this.#print(
      `           seed ${this.#seed}, ${at} s, ${new Date().toISOString()}, request ${requestId ?? '-'}`,
    );
    if (line !== undefined) this.#print(`           ${line}`);
  }
}
