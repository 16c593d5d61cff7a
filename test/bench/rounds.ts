/**
 * Rounds: everybody in turn, then everybody again in the other direction, so that what is slow at one time is slow for all.
 * The first round warms up and does not count.
 */
import { type Bench, type Plan, warmSeconds } from './bench-context.ts';
import type { Row } from './result.ts';

export interface Contestant {
  /** Of the row. */
  readonly name: string;
  /** The figures of one round of so many seconds. */
  readonly measure: (seconds: number) => Promise<Readonly<Record<string, number>>>;
}

export async function interleave(
  bench: Bench,
  what: string,
  contestants: readonly Contestant[],
  plan: Pick<Plan, 'rounds' | 'seconds'> = bench.plan,
): Promise<Row[]> {
  const figures = new Map<Contestant, Record<string, number[]>>(contestants.map((one) => [one, {}]));
  for (let round = 0; round <= plan.rounds; round++) {
    const order = round % 2 === 0 ? contestants : contestants.toReversed();
    for (const one of order) {
      const sample = await one.measure(round === 0 ? warmSeconds(bench.plan) : plan.seconds);
      if (round === 0) continue;
      const mine = figures.get(one) as Record<string, number[]>;
      for (const [name, value] of Object.entries(sample)) (mine[name] ??= []).push(value);
      const told = Object.entries(sample).map(([name, value]) => `${shown(value)} ${name}`);
      bench.say(`${what}, round ${round}/${plan.rounds}: ${one.name}: ${told.join(', ')}`);
    }
  }
  return [...figures].map(([{ name }, mine]) => ({ name, figures: mine }));
}

export function shown(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (Math.abs(value) >= 1_000) return value.toFixed(0);
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
}
