/**
 * What a case has found: rows of figures, each with one sample per round. Samples of one round belong together, for
 * the machine may be slower in the next: ratios are made round by round.
 */
import { median } from '../support/quantiles.ts';

/** name of the figure, with its unit, to its samples */
export type Figures = Readonly<Record<string, readonly number[]>>;

export interface Row {
  readonly name: string;
  readonly figures: Figures;
}

export interface Result {
  readonly case: string;
  readonly title: string;
  readonly rows: readonly Row[];
  readonly notes: readonly string[];
}

export const CPU = 'CPU µs/exchange';
export const RATE = 'exchanges/s';
export const P50 = 'p50 ms';
export const P99 = 'p99 ms';
export const P999 = 'p99.9 ms';
export const CPU_PER_MEGABYTE = 'CPU µs/MB';
export const SPEED = 'MB/s';
export const ADDED_P50 = 'p50 ms over direct';
export const ADDED_P99 = 'p99 ms over direct';
export const START = 'ms to ready';
export const PER_CALLER = 'KB per caller';
/** Millions of bytes. */
export const RESIDENT = 'resident MB';

export function samplesOf(result: Result | undefined, row: string, figure: string): readonly number[] | null {
  return result?.rows.find(({ name }) => name === row)?.figures[figure] ?? null;
}

/** The median of the ratios of all rounds; null where one of the two was not measured. */
export function ratio(ours: readonly number[] | null, theirs: readonly number[] | null): number | null {
  if (ours === null || theirs === null || ours.length === 0 || theirs.length === 0) return null;
  return median(ours.map((value, i) => value / (theirs[i] ?? Number.NaN)));
}
