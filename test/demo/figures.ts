/**
 * From what a run saw to the figures of the table. Pure: no clock, no I/O.
 *
 * A call to a vendor is a success if it was answered well while somebody waited for the score; a call that never
 * ended, or never began, is none: each score makes one call to each vendor, and is counted with it.
 */
import { percentile } from '../support/quantiles.ts';
import { PATIENCE_MS, type Score } from './steady-load.ts';

export interface Call {
  readonly vendor: string;
  /** The score that it was made for. */
  readonly score: number;
  readonly ms: number;
  readonly ok: boolean;
}

export interface RunRecord {
  readonly name: string;
  readonly scores: readonly Score[];
  readonly calls: readonly Call[];
  readonly vendors: readonly string[];
  readonly hung: string;
  /** Until here the programs warm up, and nothing counts. */
  readonly countedFromMs: number;
  readonly hangAtMs: number;
  readonly returnAtMs: number;
  readonly endMs: number;
  /** Connections to the hung vendor at once, at most. */
  readonly hungConnections: number;
  /** Requests that reached it while it hung. */
  readonly hungRequests: number;
  readonly duplicates: number;
  readonly retries: number;
}

/** What was under way when the vendor began to hang belongs to that time. */
const UNDER_WAY_MS = 250;
const FULL_FOR_MS = 1_000;
const FULL_SHARE = 0.95;

export interface PhaseFigures {
  readonly scores: number;
  readonly answeredShare: number;
  readonly degradedShare: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of the vendors that do not hang. */
  readonly healthyShare: number;
  readonly healthyP99Ms: number;
}

export interface Figures {
  readonly before: PhaseFigures;
  readonly hanging: PhaseFigures;
  readonly after: PhaseFigures;
  /** From the vendor's return until scores were full again; null: not within the run. */
  readonly recoveryMs: number | null;
}

function phase(run: RunRecord, fromMs: number, toMs: number): PhaseFigures {
  const scores = run.scores.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
  const ids = new Set(scores.map(({ id }) => id));
  const answered = scores.filter(({ outcome }) => outcome !== 'failed');
  const healthy = run.calls.filter(({ vendor, score, ok }) => ok && vendor !== run.hung && ids.has(score));
  const inTime = healthy.filter(({ ms }) => ms <= PATIENCE_MS);
  const shareOf = (count: number, all: number): number => (all === 0 ? Number.NaN : count / all);
  const ms = answered.map((one) => one.ms);
  return {
    scores: scores.length,
    answeredShare: shareOf(answered.length, scores.length),
    degradedShare: shareOf(answered.filter(({ outcome }) => outcome === 'degraded').length, scores.length),
    p50Ms: percentile(ms, 0.5),
    p99Ms: percentile(ms, 0.99),
    healthyShare: shareOf(inTime.length, scores.length * (run.vendors.length - 1)),
    healthyP99Ms: percentile(
      healthy.map((one) => one.ms),
      0.99,
    ),
  };
}

/** The first moment from which on, for a second, scores were full. */
function recovery({ scores, returnAtMs, endMs }: RunRecord): number | null {
  const after = scores.filter(({ atMs }) => atMs >= returnAtMs).toSorted((a, b) => a.atMs - b.atMs);
  for (const { atMs: from, outcome } of after) {
    if (from + FULL_FOR_MS > endMs) return null;
    if (outcome !== 'full') continue;
    const second = after.filter(({ atMs }) => atMs >= from && atMs < from + FULL_FOR_MS);
    const full = second.filter((one) => one.outcome === 'full').length;
    if (full >= FULL_SHARE * second.length) return from - returnAtMs;
  }
  return null;
}

export function figuresOf(run: RunRecord): Figures {
  const hangFromMs = run.hangAtMs - UNDER_WAY_MS;
  return {
    before: phase(run, run.countedFromMs, hangFromMs),
    hanging: phase(run, hangFromMs, run.returnAtMs),
    after: phase(run, run.returnAtMs, run.endMs),
    recoveryMs: recovery(run),
  };
}
