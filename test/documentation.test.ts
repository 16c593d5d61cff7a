/**
 * The documents say what the code does: tables that are made from it, keys and files that exist, links
 * that lead somewhere, tests that are there. After a change of the error table or of a metric:
 *
 *   UPDATE_README=1 node --test test/documentation.test.ts
 */
import assert from 'node:assert/strict';
import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { schemaText } from '../src/cli/schema.ts';
import { loadConfig } from '../src/config/load.ts';
import { configSchema } from '../src/config/schema.ts';
import { type Schema, schemaOf, shapeOf } from '../src/config/shape.ts';
import { ERRORS } from '../src/errors.ts';
import { CIRCUIT_OPENINGS, ORIGIN_LEVELS } from '../src/telemetry/origin-metrics.ts';
import { ROUTE_COUNTS, ROUTE_DISTRIBUTIONS } from '../src/telemetry/route-metrics.ts';
import { CALLERS, DROPPED, SIDECAR_COUNTS, SIDECAR_LEVELS } from '../src/telemetry/sidecar-metrics.ts';
import { emptyMetrics } from './support/metrics-page.ts';

const ROOT = join(import.meta.dirname, '..');
const REGENERATE = 'regenerate it with: UPDATE_README=1 node --test test/documentation.test.ts';
const read = (name: string): string => readFileSync(join(ROOT, name), 'utf8');

const README = read('README.md');
const ARCHITECTURE = read('ARCHITECTURE.md');

const tableOf = (heads: readonly string[], rows: readonly (readonly string[])[]): string =>
  [heads, heads.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

function errorTable(): string {
  const rows = Object.entries(ERRORS).map(([name, row]) => [
    `\`${name}\``,
    `\`${row.token}\``,
    String(row.status),
    row.fault,
    row.outcome,
    row.verdict,
    row.retryable ? 'yes' : 'no',
    `${row.title}. ${row.hint}`,
  ]);
  const heads = [
    'row',
    'token',
    'status',
    'whose',
    'outcome',
    'verdict',
    'retryable',
    'what, and what to change',
  ];
  return tableOf(heads, rows);
}

async function metricTable(): Promise<string> {
  const metrics = emptyMetrics();
  const labels = new Map(
    [
      ...Object.values(ROUTE_COUNTS),
      ...Object.values(ROUTE_DISTRIBUTIONS),
      ...Object.values(ORIGIN_LEVELS),
      ...Object.values(SIDECAR_LEVELS),
      ...Object.values(SIDECAR_COUNTS),
      CIRCUIT_OPENINGS,
      CALLERS,
      DROPPED,
    ].map(([name, , ...names]) => [`outrigger_${name}`, names as readonly string[]]),
  );
  const page = await metrics.render();
  const types = new Map([...page.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]));
  const rows: string[][] = [];
  for (const [, name = '', help = ''] of page.matchAll(/^# HELP (outrigger_\S+) (.+)$/gm)) {
    const names = labels.get(name);
    assert.ok(names, `${name} is on the page and in no table of families`);
    rows.push([`\`${name}\``, types.get(name) ?? '', names.map((label) => `\`${label}\``).join(' '), help]);
  }
  assert.equal(rows.length, labels.size, 'every family is on the page');
  return tableOf(['metric', 'type', 'labels', 'meaning'], rows);
}

/** Every key, with its default and what it is for. */
function keyTable(): string {
  const rows: string[][] = [];
  const visit = (schema: Schema, path: string): void => {
    const shape = shapeOf(schema);
    // What is null unless it is written whole says so itself.
    if (shape.kind !== 'mapping' || shape.default === null) {
      const value = shape.default === undefined ? 'must be given' : `\`${written(shape.default)}\``;
      const says = shape.description.replaceAll('|', '\\|');
      rows.push([`\`${path}\``, value, says.replace(/\.$/, '')]);
    }
    if (shape.kind === 'list' && shapeOf(shape.item).kind === 'mapping') visit(shape.item, `${path}[]`);
    if (shape.kind !== 'mapping') return;
    for (const [key, below] of Object.entries(shape.keys)) {
      // The same keys once more, and what they inherit is theirs already.
      if (path === 'routes[]' && key === 'policy')
        rows.push(['`routes[].policy`', '`{}`', 'the keys of `policy`, laid over it key by key']);
      else visit(below, path === '' ? key : `${path}.${key}`);
    }
  };
  visit(configSchema, '');
  return tableOf(['key', 'default', 'what it does'], rows);
}

function between(marker: string): string {
  const [, text] = README.split(new RegExp(`<!-- ${marker}:(?:begin|end) -->\n`));
  assert.ok(
    text !== undefined,
    `README.md has the markers <!-- ${marker}:begin --> and <!-- ${marker}:end -->`,
  );
  return text.trimEnd();
}

/** The README's table is `table`; with UPDATE_README it is made so. */
function prove(marker: string, table: string): void {
  if (process.env['UPDATE_README']) {
    const begin = `<!-- ${marker}:begin -->\n`;
    const end = `<!-- ${marker}:end -->`;
    const now = read('README.md');
    const from = now.indexOf(begin) + begin.length;
    const updated = `${now.slice(0, from)}\n${table}\n\n${now.slice(now.indexOf(end))}`;
    writeFileSync(join(ROOT, 'README.md'), updated);
    return;
  }
  assert.equal(
    between(marker).trim(),
    table,
    `the table "${marker}" of README.md is not current; ${REGENERATE}`,
  );
}

/** The value of a key as its default is written; undefined where there is no such key. */
function schemaAt(path: string): Schema | undefined {
  let schema: Schema | undefined = configSchema;
  for (const key of path.split('.')) {
    const shape = schema === undefined ? undefined : shapeOf(schema);
    if (shape?.kind === 'list' && shapeOf(shape.item).kind === 'mapping') {
      const item = shapeOf(shape.item);
      schema = item.kind === 'mapping' ? schemaOf(item.keys, key) : undefined;
    } else schema = shape?.kind === 'mapping' ? schemaOf(shape.keys, key) : undefined;
  }
  return schema;
}

const written = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.join(', ')}]`;
  return typeof value === 'object' && value !== null ? '{}' : String(value);
};

/** Fenced blocks of a language. */
const fenced = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, 'gm'))].map(([, block = '']) => block);

const withoutFences = (text: string): string => text.replace(/^```[^]*?^```$/gm, '');

test('the error table of the README is that of the code', () => prove('errors', errorTable()));

test('the metric table of the README is what a scrape shows', async () =>
  prove('metrics', await metricTable()));

test('every configuration key that a document or a hint names exists', () => {
  const sections = Object.keys(shapeKeys(configSchema)).join('|');
  const key = new RegExp(`(?<![\\w./-])((?:${sections})(?:\\.[A-Za-z]+)+)(?!\\.?[\\w/-])`, 'g');
  const hints = Object.values(ERRORS).map((row) => row.hint);
  for (const text of [withoutFences(README), withoutFences(ARCHITECTURE), ...hints]) {
    for (const [, path = ''] of text.matchAll(key)) {
      if (/\.(ts|yaml)$/.test(path)) continue;
      assert.ok(schemaAt(path), `${path} is named and is no key of the configuration`);
    }
  }
});

function shapeKeys(schema: Schema): Readonly<Record<string, Schema>> {
  const shape = shapeOf(schema);
  return shape.kind === 'mapping' ? shape.keys : {};
}

test('the configuration reference of the README is made from the schema', () => prove('keys', keyTable()));

test('the table of scenarios in the README has every scenario that there is, and no other', () => {
  const told = [...between('scenarios').matchAll(/^\| \[[^\]]+\]\((test\/[^)]+)\)/gm)].map(
    ([, file = '']) => file,
  );
  assert.deepEqual(
    [...new Set(told)].toSorted(),
    globSync('test/scenarios/**/*.test.ts', { cwd: ROOT }).toSorted(),
    'make the table with: UPDATE_README=1 npm run scenarios',
  );
});

test('the JSON Schema beside the examples is what outrigger schema prints, and every example names it', () => {
  const path = 'config/outrigger.schema.json';
  if (process.env['UPDATE_README']) writeFileSync(join(ROOT, path), schemaText());
  assert.ok(read(path) === schemaText(), `${path} is not current; ${REGENERATE}`);
  for (const name of readdirSync(join(ROOT, 'config')).filter((one) => one.endsWith('.yaml')))
    assert.match(
      read(`config/${name}`),
      /^# yaml-language-server: \$schema=\.\/outrigger\.schema\.json\n/,
      name,
    );
});

test('every configuration in the README is valid', () => {
  const folder = mkdtempSync(join(tmpdir(), 'outrigger-readme-'));
  try {
    const file = join(folder, 'example.yaml');
    const blocks = fenced(README, 'yaml');
    assert.ok(blocks.length > 0);
    for (const block of blocks) {
      writeFileSync(file, block);
      loadConfig({ files: [file], env: { PAYMENTS_TOKEN: 'token' } });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('every log line in the README has the fields that a line has', () => {
  const [line = ''] = fenced(README, 'json').filter((block) => block.includes('"msg":"exchange"'));
  const fields = Object.keys(JSON.parse(line));
  const attempt = Object.keys(JSON.parse(line).attempts[0]);
  const source = read('src/telemetry/access-line.ts');
  for (const field of [...fields, ...attempt])
    assert.ok(source.includes(`"${field}":`), `${field} is no field`);
  for (const field of fields) {
    if (field !== 'msg')
      assert.match(README, new RegExp(`^\\|.*\`${field}(\\[\\])?\`.*\\|`, 'm'), `${field} is explained`);
  }
});

test('every reason of a retry is explained in the README, and no other', () => {
  const source = read('src/policy/retry-decision.ts');
  const said = new Set(
    [...source.matchAll(/'((?:not )?retried: [^']+)'/g)].map(([, reason]) => reason as string),
  );
  const explained = new Set(
    [...README.matchAll(/^\| `((?:not )?retried: [^`]+)` \|/gm)].map(([, reason]) => reason as string),
  );
  for (const reason of explained) assert.ok(said.has(reason), `"${reason}" is never said`);
  for (const reason of said) {
    if (!reason.endsWith(' may have reached the origin'))
      assert.ok(explained.has(reason), `"${reason}" is not explained`);
  }
});

test('links lead to files and headings that exist', () => {
  for (const name of ['README.md', 'ARCHITECTURE.md', 'CHANGELOG.md']) {
    const text = read(name);
    const anchors = new Set(
      [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
        heading
          .toLowerCase()
          .replace(/[^\w -]/g, '')
          .replaceAll(' ', '-'),
      ),
    );
    for (const [, link = ''] of withoutFences(text).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link)) continue;
      if (link.startsWith('#')) assert.ok(anchors.has(link.slice(1)), `${name} links to ${link}`);
      else assert.ok(existsSync(join(ROOT, link.split('#')[0] as string)), `${name} links to ${link}`);
    }
  }
});

test('the tree of ARCHITECTURE has every room, and nothing that is not there', () => {
  const [tree = ''] = fenced(ARCHITECTURE, 'text').filter((block) => block.startsWith('src/'));
  const named = new Set<string>();
  let top = '';
  for (const [, indent = '', name = ''] of tree.matchAll(/^( *)([\w.-]+\/?)(?= |$)/gm)) {
    if (indent === '') top = name;
    const path = indent === '' ? name : `${top}${name}`;
    assert.ok(existsSync(join(ROOT, path)), `${path} is in the tree and not in the repository`);
    named.add(path.replace(/\/$/, ''));
  }
  for (const entry of readdirSync(join(ROOT, 'src'), { withFileTypes: true })) {
    // A folder that holds nothing is not in the repository.
    if (!entry.isDirectory() || readdirSync(join(ROOT, 'src', entry.name)).length === 0) continue;
    assert.ok(named.has(`src/${entry.name}`), `src/${entry.name} is not in the tree`);
  }
});

test('every file that ARCHITECTURE names exists', () => {
  for (const [, path = ''] of withoutFences(ARCHITECTURE).matchAll(
    /`([\w-]+(?:\/[\w.-]+)*\.(?:ts|yaml|md))`/g,
  )) {
    const places = [path, `src/${path}`].filter((place) => existsSync(join(ROOT, place)));
    assert.equal(places.length, 1, `${path} is one file`);
  }
});

test('the stack of ARCHITECTURE is that of the code, in order and with its reasons', () => {
  const [, layers = ''] = /layers: [^=]+= \[\n([^]*?)\n {2}\];/.exec(read('src/layers/stack.ts')) ?? [];
  const built = layers.split('\n').map((line) => {
    const [, code = '', reason = ''] =
      /^(.+?), \/\/ (.+)$/.exec(line.trim()) ?? assert.fail(`unreadable: ${line}`);
    const [, layer = ''] = /(\w+)\([^)]*\)(?: : null)?$/.exec(code) ?? assert.fail(`no layer: ${code}`);
    return [layer, reason];
  });
  assert.ok(built.length > 0);
  const [, section = ''] = /^## The stack\n([^]*?)^## /m.exec(ARCHITECTURE) ?? [];
  const told = [...section.matchAll(/^\| `(\w+)` \| .* \| (.+) \|$/gm)].map(([, layer, reason]) => [
    layer,
    reason,
  ]);
  assert.deepEqual(told, built);
});

test('every test that ARCHITECTURE calls as a witness is there', () => {
  const witnesses = [...ARCHITECTURE.matchAll(/"([^"]+)"\s+\(`(test\/[\w./-]+)`\)/g)];
  assert.ok(witnesses.length > 0);
  for (const [, title = '', file = ''] of witnesses) {
    const whole = title.replace(/\s+/g, ' ');
    assert.ok(read(file).includes(whole), `${file} has no test "${whole}"`);
  }
});
