/**
 * The schema, seen from outside: which keys a mapping has, what a list holds, what a leaf expects. The door
 * through which checks, environment variables, provenance and the printed reference walk along the schema.
 */
import * as v from 'valibot';
import type { FieldMetadata } from './field.ts';

export type Schema = v.GenericSchema;

interface Common {
  readonly description: string;
  readonly nullable: boolean;
  /** As it would be written; undefined: the key must be given. */
  readonly default: unknown;
}

export type Shape =
  | (Common & { readonly kind: 'mapping'; readonly keys: Readonly<Record<string, Schema>> })
  /** A mapping whose keys the operator chooses. */
  | (Common & { readonly kind: 'record'; readonly value: Schema })
  | (Common & { readonly kind: 'list'; readonly item: Schema })
  | (Common & {
      readonly kind: 'leaf';
      readonly type: 'text' | 'number' | 'flag';
      readonly field: FieldMetadata;
    });

/** What valibot keeps in a schema object and does not say in its general type. */
interface Inside {
  readonly type: string;
  readonly wrapped?: Schema;
  readonly default?: unknown;
  readonly entries?: Readonly<Record<string, Schema>>;
  readonly item?: Schema;
  readonly value?: Schema;
}

const inside = (schema: Schema): Inside => schema;

const shapes = new WeakMap<Schema, Shape>();

export function shapeOf(schema: Schema): Shape {
  const known = shapes.get(schema);
  if (known !== undefined) return known;
  const shape = inspect(schema);
  shapes.set(schema, shape);
  return shape;
}

function inspect(schema: Schema): Shape {
  let bare = schema;
  let nullable = false;
  let written: unknown;
  for (let it = inside(bare); it.wrapped !== undefined; it = inside(bare)) {
    if (it.type === 'nullable') nullable = true;
    else written = it.default;
    bare = it.wrapped;
  }
  const common: Common = { description: v.getDescription(bare) ?? '', nullable, default: written };
  const { type, entries, item, value } = inside(bare);
  if (entries !== undefined) return { ...common, kind: 'mapping', keys: entries };
  if (type === 'record' && value !== undefined) return { ...common, kind: 'record', value };
  if (item !== undefined) return { ...common, kind: 'list', item };
  const field = v.getMetadata(bare) as unknown as FieldMetadata;
  return {
    ...common,
    kind: 'leaf',
    type: type === 'number' ? 'number' : type === 'boolean' ? 'flag' : 'text',
    field,
  };
}

/** The schema of a key of a mapping, own keys only. */
export function schemaOf(keys: Readonly<Record<string, Schema>>, key: string): Schema | undefined {
  return Object.hasOwn(keys, key) ? keys[key] : undefined;
}
