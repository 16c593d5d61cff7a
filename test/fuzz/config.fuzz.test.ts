/**
 * Invariant: whatever a configuration file or a variable holds, loading ends with a frozen configuration or
 * with a ConfigError that has at least one problem, each on one line, and never with anything else.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { loadConfig } from '../../src/config/load.ts';
import { ConfigError, formatProblem } from '../../src/config/problem.ts';

const directory = mkdtempSync(join(tmpdir(), 'outrigger-fuzz-'));
const file = join(directory, 'config.yaml');
after(() => rmSync(directory, { recursive: true }));

const DEFAULTS = readFileSync(new URL('../../config/outrigger.yaml', import.meta.url), 'utf8').replace(
  /^ *#.*\n/gm,
  '',
);

function assertInvariant(content: string | Uint8Array, env: Record<string, string> = {}): void {
  writeFileSync(file, content);
  try {
    assert.ok(Object.isFrozen(loadConfig({ files: [file], env }).config));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    assert.ok(error.problems.length > 0);
    // Nothing that a terminal obeys.
    for (const problem of error.problems) assert.doesNotMatch(formatProblem(problem), /\p{Cc}/u);
  }
}

const RUNS = { numRuns: 300 };
const CORPUS = new URL('corpus/config/', import.meta.url);
/** Each of them takes milliseconds; on a machine that is busy with other things, many. */
const BOUND_MS = 5_000;

test('every file of the corpus is refused or loads, in bounded time, and changes no prototype', (t) => {
  const names = readdirSync(CORPUS).filter((name) => name.endsWith('.yaml'));
  assert.ok(names.length >= 90, `${names.length} files`);
  let longest = { name: '', ms: 0 };
  for (const name of names) {
    const startedAt = performance.now();
    assertInvariant(readFileSync(new URL(name, CORPUS)), { A: 'x' });
    const ms = performance.now() - startedAt;
    assert.ok(ms < BOUND_MS, `${name} took ${ms} ms`);
    if (ms > longest.ms) longest = { name, ms };
    const untouched: Record<string, unknown> = {};
    for (const key of ['polluted', 'level', 'listen', 'policy'])
      assert.equal(untouched[key], undefined, name);
  }
  t.diagnostic(`the longest: ${longest.name}, ${longest.ms.toFixed(0)} ms`);
});

test('no key of a prototype is taken for a key, wherever it stands and however it is written', () => {
  const key = fc.constantFrom('__proto__', 'constructor', 'prototype');
  const place = fc.constantFrom<(key: string) => string>(
    (it) => `${it}: { polluted: true }`,
    (it) => `log: { ${it}: { polluted: true } }`,
    (it) => `policy: { headers: { request: { set: { ${it}: x } } } }`,
    (it) => `policy: { headers: { response: { set: { ${it}: { polluted: true } } } } }`,
    (it) => `routes: [{ name: a, ${it}: { polluted: true } }]`,
    (it) => `routes: [{ name: a, policy: { ${it}: {} } }]`,
    (it) => `log: { level: info }\n? ${it}\n: { polluted: true }`,
  );
  const spelling = fc.constantFrom<(key: string) => string>(
    (it) => it,
    (it) => `"${it}"`,
    (it) => `'${it}'`,
    (it) => `"${it.replace('o', '\\x6f')}"`,
    (it) => `!!str ${it}`,
    (it) => `&a ${it}`,
  );
  fc.assert(
    fc.property(key, place, spelling, (name, put, spell) => {
      writeFileSync(file, put(spell(name)));
      assert.throws(() => loadConfig({ files: [file], env: {} }), ConfigError, put(spell(name)));
      assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
    }),
  );
});

test('random bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => assertInvariant(bytes)),
    RUNS,
  );
});

test('random YAML tokens', () => {
  const words =
    'policy routes name breaker headers set log level info __proto__ toString 1 1s null ~ .nan'.split(' ');
  const marks = [
    ': ',
    ':',
    '\n',
    '\n  ',
    '- ',
    '[',
    ']',
    '{',
    '}',
    ', ',
    '"',
    "'",
    '#',
    '|',
    '>',
    '?',
    '%',
    '@',
    '`',
  ];
  const rare = [
    '&a ',
    '*a',
    '<<',
    '!!str ',
    '!x ',
    '---\n',
    '...\n',
    '${A}',
    '${',
    '$${',
    '\t',
    '\0',
    '\ud800',
  ];
  const token = fc.oneof(fc.constantFrom(...words), fc.constantFrom(...marks), fc.constantFrom(...rare));
  const text = fc.array(token, { maxLength: 40 }).map((tokens) => tokens.join(''));
  fc.assert(
    fc.property(text, (written) => assertInvariant(written, { A: 'x' })),
    RUNS,
  );
});

test('the defaults with a piece cut out, doubled or replaced', () => {
  const edit = fc.tuple(
    fc.nat(DEFAULTS.length),
    fc.nat(30),
    fc.oneof(fc.string({ maxLength: 8 }), fc.constant(null)),
  );
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
      let text = DEFAULTS;
      for (const [at, length, piece] of edits) {
        text = text.slice(0, at) + (piece ?? text.slice(at, at + length).repeat(2)) + text.slice(at + length);
      }
      assertInvariant(text);
    }),
    RUNS,
  );
});

test('any value in the place of any other', () => {
  const key = fc.constantFrom(
    'listen',
    'policy',
    'pool',
    'breaker',
    'routes',
    'name',
    'match',
    'hosts',
    'set',
    'retry',
    'budget',
    '__proto__',
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom(null, true, 0, -1, 1.5, 1e300, '', '1s', '20%', '${X}', '*.x', 'default'),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(key, tie('value'), { maxKeys: 4 }),
    ),
  }));
  fc.assert(
    fc.property(fc.dictionary(key, value), (document) => assertInvariant(JSON.stringify(document))),
    RUNS,
  );
});

test('any variable', () => {
  const segment = fc.oneof(
    fc.constantFrom('LISTEN', 'PROXY', 'POLICY', 'BREAKER', 'HEADERS', 'REQUEST', 'SET', 'ROUTES', 'X'),
    fc.string({ maxLength: 5 }),
  );
  const name = fc
    .array(segment, { minLength: 1, maxLength: 5 })
    .map((segments) => `OUTRIGGER__${segments.join('__')}`);
  fc.assert(
    fc.property(fc.dictionary(name, fc.string()), (env) => assertInvariant('', env)),
    RUNS,
  );
});
