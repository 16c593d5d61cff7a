/**
 * Every effective value of a configuration as it would be written, with the place that it came from: for
 * whoever explains, compares or shows a configuration.
 *
 * Rules: a secret is never part of what is shown, only whether it is the same as another; what came from the
 * environment or a file is a secret, unless its key can only hold a number, a time, a size or a word of a list.
 */
import type { LoadedConfig } from './assembly.ts';
import { inheritPolicy } from './layers.ts';
import { configSchema } from './schema.ts';
import { type Schema, type Shape, shapeOf } from './shape.ts';
import { formatPath, type Path, type ScalarNode, type TreeNode } from './tree.ts';

/** In the place of a secret. */
export const MASK = '***';

export type Plain = string | number | boolean | null | readonly Plain[] | { readonly [key: string]: never };

const EMPTY = Object.freeze({});

export class EffectiveValue {
  readonly path: Path;
  /** As it would be written; a secret is masked. */
  readonly shown: Plain;
  /** "default", `file:line`, the name of a variable, or the flag. */
  readonly from: string;
  /** Part of it is masked. */
  readonly secret: boolean;
  /** What is hidden of it included; never shown. */
  readonly #identity: string;

  constructor(path: Path, shown: Plain, from: string, secret: boolean, identity: string) {
    this.path = path;
    this.shown = shown;
    this.from = from;
    this.secret = secret;
    this.#identity = identity;
  }

  get key(): string {
    return formatPath(this.path);
  }

  is(other: EffectiveValue): boolean {
    return this.#identity === other.#identity;
  }

  toJSON(): object {
    return { key: this.key, value: this.shown, from: this.from };
  }
}

export interface Effective {
  readonly values: ReadonlyMap<string, EffectiveValue>;
  /** Those below a path, in the order of the schema. */
  below(path: string): EffectiveValue[];
}

export function effectiveValues({
  written,
  provenance,
}: Pick<LoadedConfig, 'written' | 'provenance'>): Effective {
  const values = new Map<string, EffectiveValue>();
  visit(configSchema, inheritPolicy(written), [], (path, shown, secret, identity) => {
    const key = formatPath(path);
    values.set(key, new EffectiveValue(path, shown, provenance.get(key) ?? 'default', secret, identity));
  });
  return {
    values,
    below: (path) =>
      [...values.values()].filter(({ key }) => {
        return key === path || key.startsWith(`${path}.`) || key.startsWith(`${path}[`);
      }),
  };
}

type Found = (path: Path, shown: Plain, secret: boolean, identity: string) => void;

/** On one line, as it would be written in YAML's flow style. */
export function plainText(value: Plain): string {
  if (Array.isArray(value)) return `[${value.map((it: Plain) => plainText(it)).join(', ')}]`;
  if (typeof value === 'object' && value !== null) return '{}';
  return String(value);
}

/** The same walk as that of the provenance, so that every value has a place. */
function visit(schema: Schema, node: TreeNode | undefined, path: Path, found: Found): void {
  const shape = shapeOf(schema);
  const below = node?.kind === 'mapping' ? node.entries : undefined;
  if (node === undefined && shape.default === null) found(path, null, false, 'null');
  else if (shape.kind === 'mapping' && (node === undefined || below !== undefined)) {
    for (const [key, value] of Object.entries(shape.keys))
      visit(value, below?.get(key)?.node, [...path, key], found);
  } else if (shape.kind === 'record' && below !== undefined && below.size > 0) {
    for (const [key, entry] of below) visit(shape.value, entry.node, [...path, key], found);
  } else if (shape.kind === 'list' && node?.kind === 'list' && shapeOf(shape.item).kind === 'mapping') {
    for (const [i, item] of node.items.entries()) visit(shape.item, item, [...path, i], found);
    if (node.items.length === 0) found(path, [], false, '[]');
  } else leaf(shape, node, path, found);
}

function leaf(shape: Shape, node: TreeNode | undefined, path: Path, found: Found): void {
  if (node === undefined) {
    const plain = shape.default as Plain;
    found(path, plain, false, JSON.stringify(plain));
    return;
  }
  if (node.kind === 'mapping') {
    found(path, EMPTY, false, '{}');
    return;
  }
  if (node.kind === 'scalar') {
    const secret = isSecret(node, shape);
    const value = valueOf(node, shape);
    found(path, secret ? MASK : value, secret, JSON.stringify(value));
    return;
  }
  const item = shape.kind === 'list' ? shapeOf(shape.item) : shape;
  const scalars = node.items.flatMap((it) => (it.kind === 'scalar' ? [it] : []));
  const secret = scalars.some((it) => isSecret(it, item));
  const shown = scalars.map((it) => (isSecret(it, item) ? MASK : valueOf(it, item)));
  found(path, shown, secret, JSON.stringify(scalars.map((it) => valueOf(it, item))));
}

/** Whether nobody may see it: by its key, or because it came from outside and could be anything. */
function isSecret({ origin, value }: ScalarNode, shape: Shape): boolean {
  if (shape.kind !== 'leaf' || value === null) return false;
  if (shape.field.secret === true) return true;
  return origin === 'resolved' && shape.type === 'text' && shape.field.closed !== true;
}

/** What came from outside the file has no type of its own. */
function valueOf({ value, origin }: ScalarNode, shape: Shape): Plain {
  if (origin === 'literal' || typeof value !== 'string') return value;
  if (shape.nullable && value === 'null') return null;
  if (shape.kind !== 'leaf' || shape.type === 'text') return value;
  if (shape.type === 'flag') return value === 'true';
  return Number(value);
}
