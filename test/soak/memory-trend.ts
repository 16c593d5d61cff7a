/**
 * Whether memory is flat: the last third of the samples behind the warm-up against the first. Resident memory by its
 * median, for it comes and goes; the heap by its lowest, which is what a collection leaves.
 */
export const RESIDENT_TOLERANCE = { share: 0.15, bytes: 16e6 };
export const HEAP_TOLERANCE = { share: 0.15, bytes: 5e6 };
/** Fewer samples in a third show nothing. */
const LEAST_SAMPLES = 5;

export interface Trend {
  readonly first: number;
  readonly last: number;
  readonly most: number;
  /** More than the tolerance allows. */
  readonly grown: boolean;
}

export class Samples {
  readonly #values: number[] = [];
  readonly #of: (values: readonly number[]) => number;
  readonly #tolerance: { readonly share: number; readonly bytes: number };

  constructor(of: (values: readonly number[]) => number, tolerance: { share: number; bytes: number }) {
    this.#of = of;
    this.#tolerance = tolerance;
  }

  add(value: number): void {
    this.#values.push(value);
  }

  /** Null: too few to say. */
  get trend(): Trend | null {
    const third = Math.floor(this.#values.length / 3);
    if (third < LEAST_SAMPLES) return null;
    const first = this.#of(this.#values.slice(0, third));
    const last = this.#of(this.#values.slice(-third));
    const { share, bytes } = this.#tolerance;
    return {
      first,
      last,
      most: Math.max(...this.#values),
      grown: last > first + Math.max(bytes, first * share),
    };
  }
}

export function lowest(values: readonly number[]): number {
  return Math.min(...values);
}
