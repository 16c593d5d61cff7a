/**
 * `npm run test:rules`: runs the tests of the rules and prints a table, rule by rule: which tests prove it and
 * whether they did. A rule without a test, with one that failed, or with none but skipped ones that do not say
 * why, fails the run.
 */
import { globSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { type Proof, RULES, type Rule } from './rules.ts';

const ROOT = join(import.meta.dirname, '..', '..');

interface Result {
  readonly file: string;
  readonly title: string;
  /** `skipped` with its reason, which may be missing. */
  readonly end: 'passed' | 'failed' | 'skipped';
  readonly reason: string;
}

/** The results of the top level; `titles`: only these are run. */
function results(files: readonly string[], titles: readonly string[] | null): Promise<Result[]> {
  const found: Result[] = [];
  const only = titles?.map((title) => new RegExp(`^${title.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`));
  const stream = run({
    files: files.map((file) => join(ROOT, file)),
    concurrency: 2,
    ...(only ? { testNamePatterns: only } : {}),
  });
  const take = (
    end: 'passed' | 'failed',
    data: { name: string; nesting: number; file?: string; skip?: string | boolean; details: object },
  ): void => {
    // A file that could not be run is a test by its name.
    if (data.nesting > 0) return;
    const { skip } = data;
    const skipped = skip !== undefined && skip !== false;
    const error = (data.details as { error?: { cause?: { message?: string } } }).error?.cause?.message ?? '';
    found.push({
      file: relative(ROOT, data.file ?? ''),
      title: data.name,
      end: skipped ? 'skipped' : end,
      reason: skipped ? (typeof skip === 'string' ? skip : '') : (error.split('\n')[0] ?? ''),
    });
  };
  return new Promise((resolve, reject) => {
    stream.on('test:pass', (data) => take('passed', data));
    stream.on('test:fail', (data) => take('failed', data));
    stream.on('error', reject);
    stream.on('end', () => resolve(found));
    stream.resume();
  });
}

/** `F01 F02 what is promised` names two rules. */
const numbersOf = (title: string): string[] =>
  /^((?:[A-Z]+\d*\s)+)/.exec(title)?.[1]?.trim().split(' ') ?? [];

const SHOWN: Readonly<Record<Result['end'], string>> = { passed: 'ok', failed: 'FAILED', skipped: 'skipped' };

interface Row {
  readonly rule: Rule;
  readonly own: readonly Result[];
  readonly well: boolean;
  readonly problem: string;
}

function judged(rule: Rule, own: readonly Result[]): Row {
  const failed = own.find(({ end }) => end === 'failed');
  const silent = own.find(({ end, reason }) => end === 'skipped' && reason === '');
  const problem =
    own.length === 0
      ? 'has no test'
      : failed
        ? `${failed.title}: ${failed.reason}`
        : silent
          ? `${silent.title}: skipped without a reason`
          : '';
  return { rule, own, well: problem === '', problem };
}

function print({ rule, own, well, problem }: Row): void {
  const counted = (end: Result['end']): string => {
    const count = own.filter((one) => one.end === end).length;
    return count === 0 ? '' : `${count} ${SHOWN[end]}`;
  };
  const tests = own.length === 1 ? '1 test' : `${own.length} tests`;
  const how = (['passed', 'failed', 'skipped'] as const)
    .map(counted)
    .filter((one) => one !== '')
    .join(', ');
  const files = [
    ...new Set(own.map(({ file }) => file.replace(/^test\//, '').replace(/\.test\.ts$/, ''))),
  ].join(' ');
  console.log(
    `${well ? 'ok    ' : 'NOT OK'} ${rule.number.padEnd(6)} ${rule.says.padEnd(72)} ${tests}: ${how}  ${files}`,
  );
  if (!well) console.log(`       ${problem}`);
  for (const { title, end, reason } of own)
    if (end === 'skipped') console.log(`       skipped: ${title}: ${reason}`);
}

/** The tests that `proofs` name, which must have been run. */
function elsewhere(rule: Rule, all: readonly Result[]): Result[] {
  return rule.proofs.map(({ file, title }: Proof) => {
    const result = all.find((one) => one.file === file && one.title === title);
    return result ?? { file, title, end: 'failed', reason: 'there is no such test' };
  });
}

const own = await results(globSync('test/rules/*.test.ts', { cwd: ROOT }).toSorted(), null);
const proofs = RULES.flatMap((rule) => rule.proofs);
const others = await results([...new Set(proofs.map(({ file }) => file))].toSorted(), [
  ...new Set(proofs.map(({ title }) => title)),
]);

const rows = RULES.map((rule) =>
  judged(rule, [
    ...own.filter(({ title }) => numbersOf(title).includes(rule.number)),
    ...elsewhere(rule, others),
  ]),
);
for (const row of rows) print(row);

const strays = own.filter(
  ({ title }) => !numbersOf(title).some((number) => RULES.some((rule) => rule.number === number)),
);
for (const { file, title, reason } of strays) console.log(`NOT OK ${file}: ${title} names no rule ${reason}`);

const tests = new Set(rows.flatMap((row) => row.own));
const count = (end: Result['end']): number => [...tests].filter((one) => one.end === end).length;
const unwell = rows.filter(({ well }) => !well).length;
console.log(
  `\n${rows.length} rules, ${unwell} not held; ${tests.size} tests: ${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`,
);
if (unwell > 0 || strays.length > 0) process.exitCode = 1;
