/**
 * `npm run bench`: what an exchange costs, side by side with peers in one run. Each proxy runs alone on
 * one processor, origin and load on the other; answers are checked first, rounds are interleaved, and CPU time is
 * that of the proxy's processes as the kernel accounts for it.
 *
 * Options: --case NAME (several; all by default), --only PEER (several: the beginning of its name), --quick,
 * --rounds N, --seconds S, --connections N, --json FILE, --strict: ends with 1 where a bar is missed.
 */
import { writeFileSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { readOptions, wrongUsage } from '../support/options.ts';
import { judge, type Verdict } from './bars.ts';
import { Bench, type Case, type Plan } from './bench-context.ts';
import { BULK } from './cases/bulk.ts';
import { CALLERS } from './cases/callers.ts';
import { EXCHANGES } from './cases/exchanges.ts';
import { FLAT } from './cases/flat.ts';
import { GROWTH } from './cases/growth.ts';
import { LATENCY } from './cases/latency.ts';
import { STORM } from './cases/shed.ts';
import { IDLE, STARTING } from './cases/start.ts';
import { TLS } from './cases/tls.ts';
import { Ground, PINNED } from './ground.ts';
import { LOADER } from './load.ts';
import { ORIGIN } from './origins.ts';
import type { Result } from './result.ts';
import { shown } from './rounds.ts';
import { tableOf } from './table.ts';

const CASES: readonly Case[] = [
  ...EXCHANGES,
  TLS,
  BULK,
  LATENCY,
  STORM,
  ...GROWTH,
  CALLERS,
  IDLE,
  STARTING,
  FLAT,
];

const USAGE =
  'npm run bench -- [--case NAME]... [--only PEER]... [--quick] [--rounds N] [--seconds S] [--connections 64] [--json FILE] [--strict]';
const values = readOptions(USAGE, {
  case: { type: 'string', multiple: true },
  only: { type: 'string', multiple: true },
  quick: { type: 'boolean', default: false },
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  connections: { type: 'string', default: '64' },
  json: { type: 'string' },
  strict: { type: 'boolean', default: false },
});
const { quick, only } = values;
const plan: Plan = {
  rounds: Number(values.rounds ?? (quick ? 2 : 5)),
  seconds: Number(values.seconds ?? 1),
  connections: Number(values.connections),
  quick,
};
const names = new Set(values.case ?? CASES.map(({ name }) => name));
const unknown = [...names].filter((name) => !CASES.some((one) => one.name === name));
if (unknown.length > 0) {
  const known = CASES.map(({ name }) => name).join(', ');
  wrongUsage(`no such case: ${unknown.join(', ')}; there are ${known}`, USAGE);
}
const cases = CASES.filter(({ name }) => names.has(name));

const say = (line: string): void => console.log(line);
const ground = new Ground();
const bench = new Bench(ground, plan, say, (peer) => only?.some((begin) => peer.startsWith(begin)) ?? true);
const began = performance.now();
const minutes = cases.reduce((sum, { estimate }) => sum + estimate(plan), 0) / 60;
say(`${cases.map(({ name }) => name).join(', ')}: about ${minutes.toFixed(1)} minutes`);
say(
  `load: ${LOADER}; origin: ${ORIGIN}; ${PINNED ? 'proxies on one processor, all else on another' : 'nothing is pinned: no taskset, or one processor'}`,
);

const results = new Map<string, Result>();
const failures: string[] = [];
let told = false;
// Also of who is interrupted: what was measured is told.
process.once('exit', tell);
for (const { name, title, run } of cases) {
  say(`\n== ${name}: ${title}`);
  try {
    const { rows, notes = [] } = await run(bench);
    results.set(name, { case: name, title, rows, notes });
  } catch (error) {
    failures.push(`${name}: ${String(error)}`);
    say(String(error));
    ground.clear();
  }
}
const missed = tell().some(({ met }) => met === false);
process.exit(failures.length > 0 || (values.strict && missed) ? 1 : 0);

function tell(): Verdict[] {
  if (told || results.size === 0) return [];
  told = true;
  say('\nmedians, and from the least to the most of all rounds\n');
  for (const result of results.values()) say(`${tableOf(result)}\n`);
  const verdicts = judge(results);
  for (const verdict of verdicts) say(lineOf(verdict));
  if (bench.missing.size > 0) say(`missing: ${[...bench.missing].join(', ')}`);
  for (const failure of failures) say(`failed: ${failure}`);
  const at = new Date().toISOString();
  const file =
    values.json ?? join(tmpdir(), `outrigger-bench-${at.replaceAll(/[^\dT]/g, '').slice(0, 15)}.json`);
  const machine = {
    processor: cpus()[0]?.model,
    processors: cpus().length,
    kernel: release(),
    node: process.version,
  };
  const found = { missing: [...bench.missing], failures, results: [...results.values()], verdicts };
  const report = { at, machine, plan, load: LOADER, origin: ORIGIN, ...found };
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
  say(`${file}, after ${((performance.now() - began) / 60_000).toFixed(1)} minutes`);
  return verdicts;
}

function lineOf({ bar, atMost, figure, met }: Verdict): string {
  const verdict = met === null ? 'not measured' : met ? 'met' : 'NOT MET';
  return `${verdict.padEnd(12)} ${bar}: ${figure === null ? '-' : shown(figure)}, at most ${shown(atMost)}`;
}
