import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { parse } from 'yaml';
import { jsonSchema } from '../../../src/config/json-schema.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { type Schema, shapeOf } from '../../../src/config/shape.ts';
import { problemsOf } from './sources.ts';

const SCHEMA = jsonSchema();
const validate = new Ajv2020({ strict: true, allErrors: true, allowUnionTypes: true }).compile(SCHEMA);
const EXAMPLES = new URL('../../../config/', import.meta.url);

/** What the schema says against it. */
const said = (value: unknown): string[] =>
  validate(value) ? [] : (validate.errors ?? []).map((it) => `${it.instancePath} ${it.message}`);

test('it is a schema of draft 2020-12, and accepts every example and an empty mapping', () => {
  assert.equal(SCHEMA['$schema'], 'https://json-schema.org/draft/2020-12/schema');
  assert.deepEqual(said({}), []);
  for (const name of readdirSync(EXAMPLES).filter((it) => it.endsWith('.yaml')))
    assert.deepEqual(said(parse(readFileSync(new URL(name, EXAMPLES), 'utf8'))), [], name);
});

test('every key of the configuration is in it, with its description and its default, and no other', () => {
  let keys = 0;
  const compare = (schema: Schema, json: Record<string, unknown>, inherits: boolean): void => {
    const shape = shapeOf(schema);
    assert.ok(String(json['description']).startsWith(shape.description));
    if (shape.kind === 'list') compare(shape.item, json['items'] as never, inherits);
    if (shape.kind === 'leaf' && shape.default !== undefined && !inherits)
      assert.deepEqual(json['default'], shape.default);
    if (shape.kind !== 'mapping') return;
    const properties = json['properties'] as Record<string, Record<string, unknown>>;
    assert.deepEqual(Object.keys(properties), Object.keys(shape.keys));
    assert.equal(json['additionalProperties'], false);
    for (const [key, below] of Object.entries(shape.keys)) {
      keys++;
      compare(below, properties[key] ?? {}, inherits || ('name' in shape.keys && key === 'policy'));
    }
  };
  compare(configSchema, SCHEMA, false);
  assert.ok(keys > 150, `${keys} keys`);
});

test('a reference to the environment or a file stands for any single value', () => {
  const text =
    'limits: { connections: "${N:-5}" }\nlog: { level: "${L:-warn}" }\npolicy: { retry: { statuses: ["${S:-503}"] } }';
  assert.deepEqual(said(parse(text)), []);
  assert.deepEqual(problemsOf([text]), []);
});

test('it refuses what the loader refuses of kinds, keys, choices and bounds', () => {
  const wrong = [
    'listn: {}',
    'policy: { timeouts: { heads: 2s } }',
    'policy: { timeouts: { head: 2 } }',
    'policy: { timeouts: { head: 2 seconds } }',
    'policy: { timeouts: [] }',
    'policy: { retry: { attempts: 11 } }',
    'policy: { retry: { attempts: 1.5 } }',
    'policy: { retry: { attempts: "3" } }',
    'policy: { retry: { statuses: 503 } }',
    'policy: { retry: { statuses: [200] } }',
    'policy: null',
    'policy: { pool: null }',
    'policy: { breaker: { failureRatio: 0.5 } }',
    'policy: { headers: { request: { set: [] } } }',
    'policy: { headers: { request: { set: { X-A: 1 } } } }',
    'log: { level: verbose }',
    'requestId: { accept: "yes" }',
    'routes: {}',
    'routes: [{ match: { hosts: [a.example] } }]',
    'routes: [{ name: a, https: maybe }]',
    'routes: [{ name: a, tls: { insecure: { reason: x } } }]',
    'routes: [{ name: a, credentials: { oauth2: { clientId: x } } }]',
    'routes: [a]',
    'clients: [{ addresses: [10.0.0.1] }]',
    'intercept: { ca: { cert: a.pem } }',
    '[]',
    'text',
  ];
  for (const text of wrong) {
    assert.notDeepEqual(problemsOf([text]), [], `the loader refuses ${text}`);
    assert.notDeepEqual(said(parse(text)), [], `the schema refuses ${text}`);
  }
});

test('whatever the loader accepts, it accepts', () => {
  const leaf = fc.constantFrom<unknown>(
    '2s',
    '1h',
    '64KiB',
    '20%',
    5,
    0,
    true,
    false,
    null,
    'info',
    'allow',
    'deny',
    'any',
    '127.0.0.1:0',
    'x.example',
    [],
    ['tls'],
    [443],
    [503],
    {},
  );
  const paths: { path: string[]; own: unknown }[] = [];
  const visit = (schema: Schema, path: string[]): void => {
    const shape = shapeOf(schema);
    if (path.length > 0) paths.push({ path, own: shape.default });
    if (shape.kind === 'mapping')
      for (const [key, below] of Object.entries(shape.keys)) visit(below, [...path, key]);
  };
  visit(configSchema, []);
  let accepted = 0;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom(...paths), leaf, fc.constantFrom(true, true, true, false)), {
        minLength: 1,
        maxLength: 4,
      }),
      (drawn) => {
        const whole: Record<string, unknown> = {};
        for (const [{ path, own }, drawnValue, asDefault] of drawn) {
          const value = structuredClone(asDefault ? own : drawnValue);
          let at = whole;
          for (const key of path.slice(0, -1)) {
            if (typeof at[key] !== 'object' || at[key] === null || Array.isArray(at[key])) at[key] = {};
            at = at[key] as Record<string, unknown>;
          }
          at[path.at(-1) as string] = value;
        }
        const text = JSON.stringify(whole);
        if (problemsOf([text]).length > 0) return;
        accepted++;
        assert.deepEqual(said(whole), [], text);
      },
    ),
    { numRuns: 600 },
  );
  assert.ok(accepted > 100, `${accepted} accepted`);
});
