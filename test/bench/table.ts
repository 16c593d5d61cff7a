/** A result as text: the median of each figure, and from where to where it went. */
import { median } from '../support/quantiles.ts';
import type { Result } from './result.ts';
import { shown } from './rounds.ts';

export function tableOf({ title, rows, notes }: Result): string {
  const heads = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))];
  const cells = rows.map(({ name, figures }) => [name, ...heads.map((head) => cellOf(figures[head]))]);
  const all = [['', ...heads], ...cells];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = all.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  '),
  );
  return [title, ...lines, ...notes].join('\n');
}

function cellOf(samples: readonly number[] | undefined): string {
  if (samples === undefined || samples.length === 0) return '-';
  if (samples.length === 1) return shown(samples[0] as number);
  return `${shown(median(samples))} (${shown(Math.min(...samples))}..${shown(Math.max(...samples))})`;
}
