/**
 * Both runs as a picture: every score is a dot at the time when it was asked for, as high as its answer took
 * (logarithmic), failed ones in a row of their own. An SVG without a script, readable on light and on dark. Knows only
 * the record of a run.
 */
import type { RunRecord } from './figures.ts';
import { PATIENCE_MS, type Score } from './steady-load.ts';

const WIDTH = 960;
const LEFT = 92;
const RIGHT = 24;
const TOP = 84;
const PANEL = 230;
const GAP = 62;
const FROM_MS = 20;
const TO_MS = 2_000;
const TICKS_MS = [20, 50, 100, 200, 500, 1_000, 2_000];
/** Failed scores are above the axis, where nothing else is. */
const FAILED_ROW = 16;
const SECOND_STEP = 5;

const STYLE = `
  svg { background: #ffffff; font: 13px system-ui, "Helvetica Neue", Arial, sans-serif; }
  .ground { fill: #ffffff; } .text { fill: #1f2430; } .soft { fill: #5b6475; }
  .title { font-size: 18px; font-weight: 600; } .name { font-size: 15px; font-weight: 600; }
  .grid { stroke: #e3e6ec; stroke-width: 1; } .axis { stroke: #9aa3b2; stroke-width: 1; }
  .band { fill: #f3c6c0; fill-opacity: 0.45; } .bandtext { fill: #a3281c; font-weight: 600; }
  .dot { fill: none; stroke-width: 4; stroke-linecap: round; stroke-opacity: 0.75; }
  .full { stroke: #2668c7; } .degraded { stroke: #d98200; } .failed { stroke: #c62f21; } .key { stroke-width: 9; }
  @media (prefers-color-scheme: dark) {
    svg { background: #14171d; } .ground { fill: #14171d; } .text { fill: #e8eaf0; } .soft { fill: #9ba4b5; }
    .grid { stroke: #2a2f3a; } .axis { stroke: #5b6475; }
    .band { fill: #7a2a22; fill-opacity: 0.38; } .bandtext { fill: #ff9c8f; }
    .full { stroke: #6ea8ff; } .degraded { stroke: #ffb547; } .failed { stroke: #ff6a5c; }
  }`;

const OUTCOMES: readonly [Score['outcome'], string][] = [
  ['full', 'answered with all signals'],
  ['degraded', 'answered without a signal'],
  ['failed', `failed, or given up after ${PATIENCE_MS / 1_000} s`],
];

const round = (value: number): number => Math.round(value * 10) / 10;

function text(x: number, y: number, words: string, classes: string, anchor = 'start'): string {
  return `<text x="${round(x)}" y="${round(y)}" class="${classes}" text-anchor="${anchor}">${words}</text>`;
}

/** The name of an axis, read from below. */
function upright(x: number, y: number, words: string): string {
  return `<text transform="translate(${x} ${y}) rotate(-90)" class="soft" text-anchor="middle">${words}</text>`;
}

function line(x1: number, y1: number, x2: number, y2: number, classes: string): string {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" class="${classes}"/>`;
}

function legend(y: number): string {
  let x = LEFT;
  return OUTCOMES.map(([outcome, words]) => {
    const item = `<path d="M${x + 4} ${y - 4}h0" class="dot key ${outcome}"/>${text(x + 14, y, words, 'soft')}`;
    x += 34 + words.length * 6.7;
    return item;
  }).join('');
}

const TITLES: Readonly<Record<string, string>> = {
  direct: 'Direct: the service calls its vendors by itself',
  sidecar: 'Through Outrigger: the same service and load',
};

function panel(run: RunRecord, top: number, seconds: number, answered: string): string {
  const bottom = top + PANEL;
  const x = (atMs: number): number => LEFT + (atMs / 1_000 / seconds) * (WIDTH - LEFT - RIGHT);
  const y = (value: number): number => {
    const clamped = Math.min(TO_MS, Math.max(FROM_MS, value));
    return bottom - (Math.log(clamped / FROM_MS) / Math.log(TO_MS / FROM_MS)) * (PANEL - FAILED_ROW - 12);
  };
  const rows = TICKS_MS.map(
    (tick) =>
      line(LEFT, y(tick), WIDTH - RIGHT, y(tick), tick === FROM_MS ? 'axis' : 'grid') +
      text(LEFT - 8, y(tick) + 4, tick < 1_000 ? `${tick} ms` : `${tick / 1_000} s`, 'soft', 'end'),
  );
  const columns: string[] = [];
  for (let second = 0; second <= seconds; second += SECOND_STEP) {
    columns.push(line(x(second * 1_000), bottom, x(second * 1_000), bottom + 5, 'axis'));
    columns.push(text(x(second * 1_000), bottom + 19, String(second), 'soft', 'middle'));
  }
  const [from, to] = [x(run.hangAtMs), x(run.returnAtMs)];
  const band = `<rect x="${round(from)}" y="${top}" width="${round(to - from)}" height="${PANEL}" class="band"/>`;
  const dots = OUTCOMES.map(([outcome]) => {
    const path = run.scores
      .filter((score) => score.outcome === outcome)
      .map(
        ({ atMs, ms }) =>
          `M${round(x(atMs))} ${round(outcome === 'failed' ? top + FAILED_ROW / 2 : y(ms))}h0`,
      )
      .join('');
    return `<path d="${path}" class="dot ${outcome}"/>`;
  });
  return [
    text(LEFT, top - 12, TITLES[run.name] ?? run.name, 'text name'),
    text(WIDTH - RIGHT, top - 12, answered, 'text', 'end'),
    band,
    text((from + to) / 2, bottom - 10, `${run.hung} hangs`, 'bandtext', 'middle'),
    upright(20, top + PANEL / 2, 'time to a score'),
    ...rows,
    ...columns,
    text(LEFT - 8, top + FAILED_ROW / 2 + 4, 'failed', 'soft', 'end'),
    ...dots,
  ].join('\n');
}

/** `answered`: the share of scores that were answered while the vendor hung, of each run. */
export function latencyPlot(runs: readonly RunRecord[], answered: readonly number[]): string {
  const height = TOP + runs.length * (PANEL + GAP) + 12;
  const seconds = Math.max(...runs.map(({ endMs }) => endMs)) / 1_000;
  const panels = runs.map((run, i) => {
    const said = `${((answered[i] ?? 0) * 100).toFixed(1)} % are answered while ${run.hung} hangs`;
    return panel(run, TOP + 18 + i * (PANEL + GAP), seconds, said);
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="Latency of scores over time, direct and through the sidecar">
<style>${STYLE}
</style>
<rect width="${WIDTH}" height="${height}" class="ground"/>
${text(LEFT, 30, 'Time to a score while one vendor of five hangs', 'text title')}
${legend(54)}
${panels.join('\n')}
${text(WIDTH / 2, height - 14, 'seconds since the load began', 'soft', 'middle')}
</svg>
`;
}
