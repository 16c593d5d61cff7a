/** The figures of the demo are what happened to every score and every call, and the plot shows all of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { percentile } from '../support/quantiles.ts';
import { figuresOf, type RunRecord } from './figures.ts';
import { latencyPlot } from './latency-plot.ts';
import type { Score } from './steady-load.ts';

const score = (id: number, atMs: number, outcome: Score['outcome'] = 'full', ms = 50): Score => ({
  id,
  atMs,
  ms,
  outcome,
});

/** Ten seconds with a score every 100 ms; the vendor hangs from 4 s to 6 s. */
const RUN: RunRecord = {
  name: 'direct',
  scores: Array.from({ length: 100 }, (_, i) => score(i, i * 100)),
  calls: [],
  vendors: ['a', 'b', 'c'],
  hung: 'c',
  countedFromMs: 1_000,
  hangAtMs: 4_000,
  returnAtMs: 6_000,
  endMs: 10_000,
  hungConnections: 0,
  hungRequests: 0,
  duplicates: 0,
  retries: 0,
};

test('a percentile is a value that was measured', () => {
  assert.equal(percentile([4, 1, 3, 2], 0.5), 2);
  assert.equal(percentile([4, 1, 3, 2], 0.99), 4);
  assert.ok(Number.isNaN(percentile([], 0.5)));
});

test('a score belongs to the time in which it was asked for; warming up counts nowhere', () => {
  const { before, hanging, after } = figuresOf(RUN);
  assert.deepEqual([before.scores, hanging.scores, after.scores], [28, 22, 40]);
});

test('degraded scores are answered, failed ones are not', () => {
  const scores = RUN.scores.map((one, i) => ({
    ...one,
    outcome: (['full', 'degraded', 'failed', 'failed'] as const)[i % 4] ?? 'full',
  }));
  const { before } = figuresOf({ ...RUN, scores });
  assert.equal(before.answeredShare, 0.5);
  assert.equal(before.degradedShare, 0.25);
});

test('a call that never ended, or that ended when nobody waited any more, is no success', () => {
  const calls = [
    { vendor: 'a', score: 50, ms: 40, ok: true },
    { vendor: 'b', score: 50, ms: 9_000, ok: true },
    { vendor: 'a', score: 51, ms: 40, ok: false },
    { vendor: 'c', score: 50, ms: 40, ok: true },
  ];
  const { hanging } = figuresOf({ ...RUN, calls });
  assert.equal(hanging.healthyShare, 1 / (22 * 2));
  assert.equal(hanging.healthyP99Ms, 9_000);
});

test('service is full again when scores were full for a second', () => {
  const failing = (untilMs: number) =>
    RUN.scores.map((one) => ({
      ...one,
      outcome: one.atMs >= 6_000 && one.atMs < untilMs ? ('failed' as const) : one.outcome,
    }));
  assert.equal(figuresOf(RUN).recoveryMs, 0);
  assert.equal(figuresOf({ ...RUN, scores: failing(7_500) }).recoveryMs, 1_500);
  assert.equal(figuresOf({ ...RUN, scores: failing(9_500) }).recoveryMs, null);
});

test('the plot has a dot for every score of every run', () => {
  const scores = RUN.scores.map(
    (one, i) => ({ ...one, outcome: i > 40 && i < 60 ? 'failed' : 'full' }) as const,
  );
  const plot = latencyPlot([RUN, { ...RUN, name: 'sidecar', scores }], [1, 0.1]);
  // Three more are the legend.
  assert.equal(plot.split(/M[\d.]+ [\d.]+h0/).length - 1, 200 + 3);
  assert.match(plot, /10\.0 % are answered while c hangs/);
  assert.doesNotMatch(plot, /NaN|undefined/);
});
