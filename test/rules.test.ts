/** The table of rules and the tests agree without a run: `npm run test:rules` is the run. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { RULES } from './rules/rules.ts';

const ROOT = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** How many rules each chapter has. */
const CHAPTERS = { F: 15, M: 15, H: 12, C: 10, U: 6, K: 7, E: 4, S: 11, P: 9, L: 12, T: 6, G: 4, O: 4, X: 6 };

test('every rule has its number, each once', () => {
  const numbers = RULES.map(({ number }) => number);
  assert.equal(new Set(numbers).size, numbers.length);
  for (const [chapter, count] of Object.entries(CHAPTERS)) {
    const own = numbers.filter((number) => new RegExp(`^${chapter}[0-9]+$`).test(number));
    assert.equal(own.length, count, chapter);
  }
});

const TITLE = /^ *(?:await )?(?:t\.)?test\(\s*(?:'((?:[^'\\]|\\.)*)'|"([^"]*)"|`([^`]*)`),/gms;

/** Titles as patterns: what a template leaves open may be anything. */
function titlesOf(path: string): RegExp[] {
  return [...read(path).matchAll(TITLE)].map(([, plain, quoted, template]) => {
    const literal = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
    if (template !== undefined)
      return new RegExp(
        `^${template
          .split(/\$\{[^}]*\}/)
          .map(literal)
          .join('.*')}$`,
      );
    return new RegExp(`^${literal((plain ?? quoted ?? '').replaceAll("\\'", "'"))}$`);
  });
}

test('every rule has a test of its own, or one that it names and that is there', () => {
  const own = globSync('test/rules/*.test.ts', { cwd: ROOT }).flatMap((path) =>
    [...read(path).matchAll(TITLE)].map(([, plain, quoted, template]) => plain ?? quoted ?? template ?? ''),
  );
  assert.ok(own.length > 100);
  const numbers = new Set(
    own.flatMap((title) => /^((?:[A-Z]+\d*\s)+)/.exec(title)?.[1]?.trim().split(' ') ?? []),
  );
  for (const { number, proofs } of RULES) {
    assert.ok(numbers.has(number) || proofs.length > 0, `${number} has no test`);
    for (const { file, title } of proofs)
      assert.ok(
        titlesOf(file).some((pattern) => pattern.test(title)),
        `${number}: ${file}: ${title}`,
      );
  }
});
