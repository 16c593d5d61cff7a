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

test('every single typo in every key of the annotated defaults is caught in its line', () => {
  const lines = DEFAULTS.split('\n');
  let tried = 0;
  for (const [i, line] of lines.entries()) {
    const [, indent = '', key] = /^( *)([A-Za-z]+):/.exec(line) ?? [];
    if (key === undefined) continue;
    for (const typo of typosOf(key)) {
      const mutant = lines.with(i, indent + typo + line.slice(indent.length + key.length)).join('\n');
      const problems = problemsOf([mutant]);
      const caught = problems.some((problem) => problem.startsWith(`0.yaml:${i + 1}:${indent.length + 1}: `));
      assert.ok(caught, `line ${i + 1}: ${key} as ${typo}: ${problems.join('\n')}`);
      tried++;
    }
  }
  assert.ok(tried > 1_000, `${tried} typos`);
});

/** Each letter left out, exchanged, doubled, and swapped with the next. */
function typosOf(key: string): string[] {
  const typos = new Set<string>();
  for (let i = 0; i < key.length; i++) {
    const [before, letter = '', after] = [key.slice(0, i), key[i], key.slice(i + 1)];
    typos.add(before + after);
    typos.add(`${before}${letter === 'x' ? 'y' : 'x'}${after}`);
    typos.add(before + letter + letter + after);
    typos.add(before + after.slice(0, 1) + letter + after.slice(1));
  }
  typos.delete(key);
  typos.delete('');
  return [...typos];
}
