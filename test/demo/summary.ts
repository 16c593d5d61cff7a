/** What came of both runs: the table side by side, and the promises that the sidecar has to keep. */
import type { Figures, PhaseFigures, RunRecord } from './figures.ts';

export interface Result {
  readonly run: RunRecord;
  readonly figures: Figures;
}

export interface Assurance {
  readonly text: string;
  readonly kept: boolean;
}

/** The pool of the service needs most of a second to run dry, which weighs too much in a short run. */
const EXHAUSTED_AFTER_MS = 6_000;

const percent = (share: number): string => `${(share * 100).toFixed(share > 0.999 && share < 1 ? 2 : 1)} %`;
const ms = (value: number): string => (Number.isNaN(value) ? '-' : `${Math.round(value)} ms`);
const times = (figures: Figures): number => figures.hanging.healthyP99Ms / figures.before.healthyP99Ms;

function ofPhase(title: string, of: (figures: Figures) => PhaseFigures): [string, (one: Result) => string][] {
  return [
    [`${title}: scores answered`, ({ figures }) => percent(of(figures).answeredShare)],
    ['  of all, degraded: without a signal', ({ figures }) => percent(of(figures).degradedShare)],
    ['  p50 / p99 of a score', ({ figures }) => `${ms(of(figures).p50Ms)} / ${ms(of(figures).p99Ms)}`],
    ['  calls to the healthy vendors answered', ({ figures }) => percent(of(figures).healthyShare)],
    ['  p99 of these', ({ figures }) => ms(of(figures).healthyP99Ms)],
  ];
}

function rows(hung: string): [string, (one: Result) => string][] {
  return [
    ...ofPhase('all well', ({ before }) => before),
    ...ofPhase(`${hung} hangs`, ({ hanging }) => hanging),
    [`  p99 of these, against all well`, ({ figures }) => times(figures).toFixed(2)],
    [`connections to ${hung}, most at once`, ({ run }) => String(run.hungConnections)],
    [`requests that reached ${hung} while it hung`, ({ run }) => String(run.hungRequests)],
    ['retries', ({ run }) => String(run.retries)],
    ['duplicates of a POST, at all vendors', ({ run }) => String(run.duplicates)],
    [
      `full service after ${hung} returned`,
      ({ figures: { recoveryMs } }) =>
        recoveryMs === null ? 'not in this run' : `${(recoveryMs / 1_000).toFixed(1)} s`,
    ],
  ];
}

/** Columns are as wide as their longest cell. */
export function tableOf(results: readonly Result[]): string {
  const hung = results[0]?.run.hung ?? '';
  const cells = [
    ['', ...results.map(({ run }) => run.name)],
    ...rows(hung).map(([name, of]) => [name, ...results.map(of)]),
  ];
  const widths = (cells[0] ?? []).map((_, i) => Math.max(...cells.map((row) => (row[i] ?? '').length)));
  return cells
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}

/** What the project promises of this incident. */
export function promisesOf(direct: Result, sidecar: Result): Assurance[] {
  const { before, hanging, recoveryMs } = sidecar.figures;
  const ratio = times(sidecar.figures);
  const hungMs = direct.run.returnAtMs - direct.run.hangAtMs;
  const exhausted: Assurance = {
    text: 'direct, less than 20 % of the scores are answered while one vendor of five hangs',
    kept: direct.figures.hanging.answeredShare < 0.2,
  };
  return [
    ...(hungMs < EXHAUSTED_AFTER_MS ? [] : [exhausted]),
    {
      text: 'through the sidecar at least 99.5 % of the calls to the other four are answered',
      kept: hanging.healthyShare >= 0.995,
    },
    { text: 'and their p99 stays within 1.3 times what it was', kept: before.scores > 0 && ratio <= 1.3 },
    {
      text: 'service is full again within 10 s of the return',
      kept: recoveryMs !== null && recoveryMs <= 10_000,
    },
    { text: 'no POST was sent twice', kept: sidecar.run.duplicates === 0 },
  ];
}
