/**
 * The values of the chart: all described, all checked. After a change of values.yaml or values.schema.json:
 *
 *   UPDATE_README=1 node --test test/chart/values.test.ts
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { CHART, hasHelm, render } from './chart.ts';

interface Schema {
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly enum?: readonly string[];
}

const read = (name: string): string => readFileSync(join(CHART, name), 'utf8');
const VALUES = parse(read('values.yaml')) as Record<string, unknown>;
const SCHEMA = JSON.parse(read('values.schema.json')) as Schema;
/** Of Helm and of charts that depend on this one; they have no default here. */
const FOREIGN = ['global', 'enabled'];
/** Of Outrigger itself, which has a schema and a check of its own. */
const OPEN = ['config'];

interface Row {
  readonly path: string;
  readonly schema: Schema;
  readonly value: unknown;
  readonly leaf: boolean;
}

/** Every value, a section before what is in it, in the order of the schema. */
function rows(schema: Schema = SCHEMA, value: unknown = VALUES, above: readonly string[] = []): Row[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, of]) => {
    if (above.length === 0 && FOREIGN.includes(name)) return [];
    const path = [...above, name];
    const own = (value as Record<string, unknown> | undefined)?.[name];
    const leaf = of.properties === undefined;
    return [{ path: path.join('.'), schema: of, value: own, leaf }, ...rows(of, own, path)];
  });
}

const LEAVES = rows().filter(({ leaf }) => leaf);

/** As it is written in YAML's flow style. */
function written(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(written).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, one]) => `${key}: ${written(one)}`);
    return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
  }
  return value === '' ? '""' : String(value);
}

test('what waits is the program of the image', () => {
  const [, entry = '[]'] = /^ENTRYPOINT (.*)$/m.exec(read('../Dockerfile')) ?? [];
  const words = JSON.parse(entry) as string[];
  const { wait } = (VALUES as { sidecar: { wait: string[] } }).sidecar;
  assert.deepEqual([wait[0], wait[1], wait[2]], [words[0], words.at(-1), 'wait']);
});

test('every value of values.yaml is in the schema, and every one of the schema has a default', () => {
  const paths = (value: unknown, schema: Schema | undefined, above: readonly string[]): string[] => {
    if (schema?.properties === undefined) return [above.join('.')];
    return Object.entries(value as object).flatMap(([name, own]) =>
      paths(own, schema.properties?.[name], [...above, name]),
    );
  };
  assert.deepEqual(paths(VALUES, SCHEMA, []).toSorted(), LEAVES.map(({ path }) => path).toSorted());
  for (const { path, value } of LEAVES) assert.notEqual(value, undefined, path);
});

test('the schema describes every value, and leaves no object open that has keys of its own', () => {
  const strict = (schema: Schema, at: string): void => {
    if (schema.properties === undefined) return;
    assert.equal(schema.additionalProperties, false, at);
    for (const [name, of] of Object.entries(schema.properties)) strict(of, `${at}.${name}`);
  };
  strict(SCHEMA, 'values');
  for (const { path, schema } of rows()) assert.match(schema.description ?? '', /\S\.$/, path);
});

test("the README's table has every value with its default", () => {
  const lines = rows().map(({ path, schema, value, leaf }) => {
    const shown = leaf ? `\`${written(value)}\`` : '';
    const kinds =
      schema.enum === undefined || /`/.test(schema.description ?? '') ? '' : ` ${schema.enum.join(', ')}.`;
    return `| \`${path}\` | ${shown} | ${(schema.description ?? '').replaceAll('|', '\\|')}${kinds} |`;
  });
  const table = ['| value | default | what it is |', '| --- | --- | --- |', ...lines].join('\n');
  const marked = /(<!-- values:begin -->\n)[^]*(<!-- values:end -->)/;
  const readme = read('README.md');
  const updated = readme.replace(marked, (_, begin: string, end: string) => `${begin}\n${table}\n\n${end}`);
  if (process.env['UPDATE_README']) writeFileSync(join(CHART, 'README.md'), updated);
  else assert.equal(readme, updated, 'UPDATE_README=1 node --test test/chart/values.test.ts');
});

test('the chart is of the version of the program', () => {
  const { version } = JSON.parse(read('../package.json')) as { version: string };
  const { appVersion } = parse(read('Chart.yaml')) as { appVersion: string };
  assert.equal(appVersion, version);
});

test("every link of the chart's README leads somewhere", () => {
  const readme = read('README.md');
  const anchors = [...readme.matchAll(/^#+ (.+)$/gm)].map(
    ([, title = '']) =>
      `#${title
        .toLowerCase()
        .replace(/[^\w -]/g, '')
        .replaceAll(' ', '-')}`,
  );
  for (const [, to = ''] of readme.matchAll(/\]\(([^)]+)\)/g)) {
    if (to.startsWith('#')) assert.ok(anchors.includes(to), to);
    else assert.ok(existsSync(join(CHART, to)), to);
  }
});

test('every alert is in the README', () => {
  const alerts = [...read('templates/prometheusrule.yaml').matchAll(/- alert: (\w+)/g)].map(
    ([, name]) => name,
  );
  const told = [...read('README.md').matchAll(/^\| `(Outrigger\w+)` \|/gm)].map(([, name]) => name);
  assert.deepEqual(told, alerts);
});

test('a typo in the name of any value is refused, by its name', (t) => {
  if (!hasHelm(t)) return;
  for (const { path } of rows()) {
    if (OPEN.includes(path)) continue;
    const wrong = `${path}x`;
    const { code, stderr } = render({ set: [`${wrong}=true`] });
    assert.notEqual(code, 0, wrong);
    assert.ok(stderr.includes(wrong.split('.').at(-1) ?? ''), stderr);
  }
});

test('a value of the wrong kind is refused', (t) => {
  if (!hasHelm(t)) return;
  for (const { path, schema } of LEAVES) {
    const text = [schema.type].flat().includes('string');
    const { code, stderr } = render({ set: [`${path}=${text ? 'true' : 'nonsense'}`] });
    assert.notEqual(code, 0, path);
    assert.ok(stderr.includes(path.split('.')[0] ?? ''), stderr);
  }
});

for (const [set, why] of [
  ['ports.proxy=80', 'a port that needs a privilege'],
  ['ports.telemetry=70000', 'no port'],
  ['runAsUser=0', 'root'],
  ['image.digest=sha256:12', 'no digest'],
  ['mode=daemon', 'no mode'],
  ['prometheusRule.errorRatio=2', 'no share'],
  ['example.kind=ReplicaSet', 'no kind of the example'],
  ['drainTimeoutSeconds=0', 'no time'],
] as const) {
  test(`${set} is refused: ${why}`, (t) => {
    if (!hasHelm(t)) return;
    const { code, stderr } = render({ set: [set] });
    assert.notEqual(code, 0);
    assert.match(stderr, /schema/);
  });
}

test('what Helm adds for a chart that depends on this one is no typo', (t) => {
  if (!hasHelm(t)) return;
  assert.equal(render({ set: ['global.region=north', 'enabled=true'] }).code, 0);
});
