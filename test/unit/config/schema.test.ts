import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import { configSchema } from '../../../src/config/schema.ts';
import { type Schema, shapeOf } from '../../../src/config/shape.ts';

interface Leaf {
  readonly path: string;
  readonly schema: Schema;
}

/** Every key whose value is a text, and `…*` for what a list holds and `….*` for the names of a mapping. */
function texts(schema: Schema, path = ''): Leaf[] {
  const shape = shapeOf(schema);
  if (shape.kind === 'leaf') return shape.type === 'text' ? [{ path, schema }] : [];
  if (shape.kind === 'list') return texts(shape.item, `${path}[]`);
  if (shape.kind === 'record') return texts(shape.value, `${path}.*`);
  return Object.entries(shape.keys).flatMap(([key, below]) =>
    texts(below, path === '' ? key : `${path}.${key}`),
  );
}

/** What may hold a line break: paths of files, which name something and go into no message. */
const PATHS = /\.(?:ca|cert|key|bundle|file)$/;

const BREAKS = ['\r\n', '\r\nX: y', '\n', '\r', '\0', '\u0100\r'];

test('no value of the configuration can begin another line or end a text', () => {
  const leaves = texts(configSchema).filter(({ path }) => !PATHS.test(path));
  assert.ok(leaves.length > 40, `${leaves.length} texts`);
  for (const { path, schema } of leaves) {
    const { default: written } = shapeOf(schema);
    const usual = typeof written === 'string' ? written : 'a';
    for (const end of BREAKS) {
      for (const value of [end, usual + end, end + usual, `${usual}${end}${usual}`])
        assert.equal(v.safeParse(schema, value).success, false, `${path} takes ${JSON.stringify(value)}`);
    }
  }
});
