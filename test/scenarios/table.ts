/**
 * `npm run scenarios`: runs every scenario, one after the other, and prints what came of it, direct against sidecar, as
 * the table that the README has; keeps the figures as JSON and prints where. With UPDATE_README=1 the table
 * goes into the README, between its markers. `npm run scenarios -- --from FILE` makes it from what was kept, and runs nothing.
 *
 * Rules: a scenario that fails or is left out fails the run, and then the README stays as it is; a new scenario needs no
 * line here.
 */
import { globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from 'node:test';
import { readOptions } from '../support/options.ts';
import type { Figures, WayFigures } from './figures.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const BEGIN = '<!-- scenarios:begin -->\n';
const END = '<!-- scenarios:end -->';

interface Scenario extends Figures {
  /** Its test, from the root of the repository. */
  readonly file: string;
}

/** What `scenarios.json` has. */
interface Kept {
  /** On what, and when. */
  readonly measured: string;
  readonly scenarios: readonly Scenario[];
}

/** Runs one file; empty if all went well, else what did not. */
function problemsOf(file: string): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const problems: string[] = [];
    const stream = run({ files: [join(ROOT, file)] });
    stream.on('test:pass', ({ name, skip }) => {
      if (skip) problems.push(`${name}: left out, ${String(skip)}`);
    });
    stream.on('test:fail', ({ name, details }) => {
      const { cause } = details.error;
      problems.push(`${name}: ${cause instanceof Error ? cause.message : details.error.message}`);
    });
    stream.on('error', reject);
    stream.on('end', () => resolve(problems));
    stream.resume();
  });
}

/** Of figures whose names do not say enough. */
const WORDS: Readonly<Record<string, string>> = {
  successHealthyShare: 'scores given, all vendors well',
  successHungShare: 'scores given while one vendor hangs',
  othersSuccessShare: 'calls to the other four that succeed meanwhile',
  othersP99HealthyMs: 'p99 of the other four, all vendors well',
  othersP99HungMs: 'p99 of the other four while one hangs',
  scoreP99HungMs: 'p99 of a score while one hangs',
  recoveryMs: 'from the return of the vendor to full service',
  hungVendorConnections: 'connections that the hung vendor saw',
  jobsDone: 'jobs done, says the queue',
  jobsLost: 'jobs given up by the queue',
  jobsLostThoughCarriedOut: 'of these, carried out by the vendor all the same',
  carriedOutOnce: 'jobs carried out once, says the vendor',
  carriedOutTwice: 'jobs carried out more than once',
  redeliveries: 'deliveries by the queue after the first',
  totalS: 'time in all',
  rows: 'rows in the finished table',
  rowsPerS: 'rows',
  throughputShare: 'throughput, measured by direct',
  lostPages: 'pages lost',
  requests: 'requests that the vendors saw',
  refusedByVendors: 'of these, answered 429',
  lostPagesNaive: 'pages lost by the naive tool',
  ok: 'good answers',
  cut: 'clear errors: the answer broke off',
  notJson: 'clear errors: no JSON',
  halfRead: 'half an answer taken for a whole one',
};

/** What WORDS does not know is spelt out: `halfRead` is "half read". */
function wordsOf(name: string): string {
  const words = WORDS[name];
  if (words !== undefined) return words;
  const bare = name.replace(/(?:Share|Ms|PerS|S)$/, '');
  return bare.replaceAll(/(?<=[a-z0-9])[A-Z]/g, (capital) => ` ${capital.toLowerCase()}`);
}

/** By the unit at the end of the name. */
function cell(name: string, value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (name.endsWith('Share')) return `${Number((100 * value).toFixed(1))} %`;
  if (name.endsWith('Ms')) return `${Math.round(value).toLocaleString('en')} ms`;
  if (name.endsWith('PerS')) return `${Math.round(value).toLocaleString('en')} per s`;
  if (name.endsWith('S')) return `${value.toFixed(1)} s`;
  return value.toLocaleString('en', { maximumFractionDigits: 2 });
}

function rowsOf({ file, scenario, direct, sidecar }: Scenario): string[] {
  const names = [...new Set([...Object.keys(direct), ...Object.keys(sidecar)])];
  return names.map((name, i) => {
    const of = (way: WayFigures): string => cell(name, way[name]);
    const first = i === 0 ? `[${scenario}](${file})` : '';
    return `| ${first} | ${wordsOf(name)} | ${of(direct)} | ${of(sidecar)} |`;
  });
}

function tableOf({ measured, scenarios }: Kept): string {
  const heads = ['| scenario | what | direct | through the sidecar |', '|---|---|---:|---:|'];
  return `Measured by \`npm run scenarios\`, ${measured}:\n\n${[...heads, ...scenarios.flatMap(rowsOf)].join('\n')}`;
}

/** Runs them all; tells what went wrong, and keeps what did not. */
async function measure(): Promise<{ kept: Kept; problems: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-scenarios-'));
  const scenarios: Scenario[] = [];
  const problems: string[] = [];
  for (const file of globSync('test/scenarios/**/*.test.ts', { cwd: ROOT }).toSorted()) {
    console.log(`running ${file}`);
    const own = join(folder, file.replaceAll('/', '-'));
    mkdirSync(own);
    process.env['SCENARIO_FIGURES'] = own;
    problems.push(...(await problemsOf(file)).map((problem) => `${file}: ${problem}`));
    for (const name of readdirSync(own).toSorted()) {
      const figures = JSON.parse(readFileSync(join(own, name), 'utf8')) as Figures;
      scenarios.push({ file, ...figures });
    }
  }
  const day = new Date().toISOString().slice(0, 10);
  const measured = `${availableParallelism()} cores with Node ${process.versions.node} on ${day}`;
  const kept: Kept = { measured, scenarios };
  const path = join(folder, 'scenarios.json');
  writeFileSync(path, `${JSON.stringify(kept, null, 2)}\n`);
  console.log(`figures: ${path}\n`);
  return { kept, problems };
}

function intoReadme(table: string): void {
  const path = join(ROOT, 'README.md');
  const readme = readFileSync(path, 'utf8');
  const from = readme.indexOf(BEGIN);
  const to = readme.indexOf(END);
  if (from < 0 || to < from) throw new Error(`README.md has no ${BEGIN.trim()} before ${END}`);
  writeFileSync(path, `${readme.slice(0, from + BEGIN.length)}\n${table}\n\n${readme.slice(to)}`);
}

const values = readOptions('npm run scenarios -- [--from FILE]', { from: { type: 'string' } });
const { kept, problems } =
  values.from === undefined
    ? await measure()
    : { kept: JSON.parse(readFileSync(values.from, 'utf8')) as Kept, problems: [] };
const table = tableOf(kept);
console.log(table);
if (problems.length > 0) {
  console.error(`\n${problems.join('\n')}`);
  process.exitCode = 1;
} else if (process.env['UPDATE_README']) intoReadme(table);
