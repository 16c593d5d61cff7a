import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../../../src/config/load.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { type Schema, shapeOf } from '../../../src/config/shape.ts';
import { loadTexts, problemsOf } from './sources.ts';

const EXAMPLES = new URL('../../../config/', import.meta.url);
const path = (name: string): string => fileURLToPath(new URL(name, EXAMPLES));
const DEFAULTS = readFileSync(path('outrigger.yaml'), 'utf8');

test('the annotated defaults say what is so without them', () => {
  const { config } = loadConfig({ files: [path('outrigger.yaml')], env: {} });
  assert.deepEqual(config, loadConfig({ files: [], env: {} }).config);
});

test('the annotated defaults hold every key, each with a comment above it', () => {
  const { provenance } = loadTexts([DEFAULTS]);
  for (const [key, source] of provenance) {
    // A map that is empty by default has no keys to name.
    assert.notEqual(source, 'default', key);
  }
  const lines = DEFAULTS.split('\n');
  const sections = /^(listen|policy|access|shutdown| {2}(retry|addresses)):/;
  for (const [i, line] of lines.entries()) {
    if (!/^ *[A-Za-z]+:/.test(line) || sections.test(line)) continue;
    assert.match(lines[i - 1] ?? '', /^ *#/, `line ${i + 1}: ${line}`);
  }
});

test('the example that the annotated defaults give is valid', () => {
  const example = DEFAULTS.split('\n')
    .slice(DEFAULTS.split('\n').indexOf('# routes:'))
    .filter((line) => line.startsWith('# '))
    .map((line) => line.slice(2));
  const end = example.findIndex((line) => line !== 'routes:' && !line.startsWith(' '));
  const { config } = loadTexts([example.slice(0, end).join('\n')]);
  assert.equal(config.routes[0]?.policy.timeouts.headMs, 800);
});

test('every example is valid', () => {
  const names = readdirSync(EXAMPLES).filter((name) => name.endsWith('.yaml'));
  assert.ok(names.length >= 2);
  for (const name of names) loadConfig({ files: [path(name)], env: {} });
});

test('the fraud service gives scoring its own bulkhead and little time', () => {
  const { routes, policy, access } = loadConfig({ files: [path('fraud-service.yaml')], env: {} }).config;
  const [score] = routes;
  assert.equal(score?.policy.pool.connections, 16);
  assert.equal(score?.policy.timeouts.headMs, 800);
  assert.equal(score?.policy.retry.attempts, 2);
  assert.deepEqual(score?.policy.headers.request.set, [['X-Client', 'payments']]);
  assert.equal(score?.policy.breaker, policy.breaker);
  assert.equal(access.default, 'deny');
});

test('every key of the schema has a description, and every leaf says what it expects', () => {
  const visit = (schema: Schema, where: string): void => {
    const shape = shapeOf(schema);
    assert.notEqual(shape.description, '', where);
    if (shape.kind === 'leaf') assert.notEqual(shape.field.expected, '', where);
    if (shape.kind === 'list') visit(shape.item, `${where}[]`);
    if (shape.kind === 'record') visit(shape.value, `${where}.*`);
    if (shape.kind !== 'mapping') return;
    for (const [key, value] of Object.entries(shape.keys)) {
      visit(value, `${where}.${key}`);
      // What cannot be left out where its section is there.
      const required =
        /(?:(?:routes|clients)\[\]\.name|\.insecure\.(?:reason|until)|\.ca\.(?:cert|key)|\.oauth2\.(?:tokenUrl|client(?:Id|Secret)))$/;
      if (!required.test(`${where}.${key}`)) assert.notEqual(shapeOf(value).default, undefined, key);
    }
  };
  visit(configSchema, 'config');
});

/** The annotated defaults with their examples of routes and clients as values, so that every key there is is in it. */
function everyKey(): string[] {
  const lines = DEFAULTS.split('\n');
  const uncommented = (from: string, isPart: (line: string) => boolean): string[] => {
    const begin = lines.indexOf(from) + 1;
    const end = lines.findIndex((line, i) => i >= begin && !isPart(line));
    return lines.slice(begin, end).map((line) => line.slice(2));
  };
  const routes = uncommented('# routes:', (line) => line.startsWith('#   '));
  const clients = uncommented(
    lines.find((line) => line.startsWith('# Proxy-Authorization, else by')) ?? '',
    (line) => line.startsWith('#   ') || line === '#',
  ).filter((line) => line !== '');
  const put = (key: string, items: string[]): void => {
    lines.splice(lines.indexOf(`${key}: []`), 1, `${key}:`, ...items);
  };
  put('routes', routes);
  put(
    'clients',
    // Nothing else of it is read here.
    clients.map((line) => line.replace(/\$\{file:[^}]*\}/, 'secret')),
  );
  return lines;
}

test('every single typo in every key of the annotated defaults is caught in its place, and mostly with what was meant', () => {
  const lines = everyKey();
  const tried = { typos: 0, keys: 0, meant: 0 };
  for (const [i, line] of lines.entries()) {
    // Also those inside braces.
    for (const { 1: key = '', index, 0: whole } of line
      .replace(/#.*$/, '')
      .matchAll(/(?<=^ *(?:- )?|[{,] )([A-Za-z][A-Za-z0-9-]*):(?= |$)/g)) {
      assert.ok(whole.length > 1);
      // Names of fields, in the example of `set`, are nobody's to know.
      if (key.startsWith('X-')) continue;
      tried.keys++;
      const around = sectionOf(lines, i);
      for (const typo of typosOf(key)) {
        const mutant = around
          .with(i, line.slice(0, index) + typo + line.slice(index + key.length))
          .join('\n');
        const problems = problemsOf([mutant]);
        const caught = problems.filter((problem) => problem.startsWith(`0.yaml:${i + 1}:${index + 1}: `));
        assert.ok(caught.length > 0, `line ${i + 1}: ${key} as ${typo}: ${problems.join('\n')}`);
        tried.typos++;
        if (caught.some((problem) => problem.endsWith(`did you mean "${key}"?`))) tried.meant++;
      }
    }
  }
  assert.ok(tried.keys > 130 && tried.typos > 5_000, JSON.stringify(tried));
  assert.ok(tried.meant >= tried.typos * 0.98, JSON.stringify(tried));
});

/** The lines that a key needs to stand where it does, each in its place; the others are empty, to be read fast. */
function sectionOf(lines: readonly string[], at: number): string[] {
  const indentOf = (line: string): number => /^ */.exec(line)?.[0].length ?? 0;
  const isEmpty = (line: string): boolean => /^ *(?:#.*)?$/.test(line);
  let begin = at;
  while (begin > 0 && (isEmpty(lines[begin] ?? '') || indentOf(lines[begin] ?? '') > 0)) begin--;
  let end = at + 1;
  while (end < lines.length && (isEmpty(lines[end] ?? '') || indentOf(lines[end] ?? '') > 0)) end++;
  return lines.map((line, i) => (i >= begin && i < end ? line : ''));
}

/** Letters beside each other on a keyboard. */
const KEYBOARD = ['qwertyuiop', 'asdfghjkl', 'zxcvbnm'];

function besides(letter: string): string {
  const row = KEYBOARD.find((it) => it.includes(letter.toLowerCase()));
  if (row === undefined) return 'x';
  const at = row.indexOf(letter.toLowerCase());
  return row[at + 1] ?? row[at - 1] ?? 'x';
}

/**
 * Each letter left out, exchanged for its neighbour on the keyboard, doubled, preceded by that neighbour, swapped with
 * the next, and in the other case; and a letter too many at the end.
 */
function typosOf(key: string): string[] {
  const typos = new Set<string>([`${key}s`, `${key}x`]);
  for (let i = 0; i < key.length; i++) {
    const [before, letter = '', after] = [key.slice(0, i), key[i], key.slice(i + 1)];
    const near = besides(letter);
    const otherCase = letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase();
    typos.add(before + after);
    typos.add(before + near + after);
    typos.add(before + letter + letter + after);
    typos.add(before + near + letter + after);
    typos.add(before + after.slice(0, 1) + letter + after.slice(1));
    typos.add(before + otherCase + after);
  }
  typos.delete(key);
  typos.delete('');
  return [...typos];
}
