/**
 * A configuration as an operator may see it: every effective value as it would be written, with where it came from
 * and without its secrets.
 *
 * Rules: masked is what the schema calls a secret, and whatever came out of `${...}`, be it a variable or a file: a
 * mask too many does no harm. So are queries of URLs. Nothing else decides, so that a new key is masked by being declared. It is for
 * whole configurations without problems.
 */
import { inheritPolicy } from './layers.ts';
import { type Schema, shapeOf } from './shape.ts';
import { formatPath, type MappingNode, type Path, type TreeNode } from './tree.ts';

/** In the place of a secret. */
const MASK = '(secret)';

type Value = string | number | boolean | null | readonly Value[] | { readonly [key: string]: Value };

/** One value, or what holds others. */
type Disclosed =
  | { readonly kind: 'value'; readonly value: Value; readonly from: string }
  | { readonly kind: 'mapping'; readonly entries: readonly (readonly [string, Disclosed])[] }
  | { readonly kind: 'list'; readonly items: readonly Disclosed[] };

export interface Disclosure {
  /** YAML, each value with a comment that tells where it came from. */
  readonly yaml: string;
  readonly values: Value;
  /** "default", `file:line`, or the name of a variable, by path. */
  readonly from: Readonly<Record<string, string>>;
}

/** @param written merged, before routes inherit anything */
export function disclose(schema: Schema, written: MappingNode): Disclosure {
  const whole = disclosed(schema, inheritPolicy(written));
  const from: Record<string, string> = {};
  collect(whole, [], from);
  return { yaml: `${linesOf(whole, '').join('\n')}\n`, values: valueOf(whole), from };
}

function disclosed(schema: Schema, given: TreeNode | undefined): Disclosed {
  const shape = shapeOf(schema);
  const node = given?.kind === 'scalar' && given.origin === 'empty' && !shape.nullable ? undefined : given;
  const below = node?.kind === 'mapping' ? node.entries : undefined;
  const from = sourceOf(node);
  if (shape.kind === 'mapping' && (below !== undefined || (node === undefined && shape.default !== null))) {
    const entries = Object.entries(shape.keys).map(
      ([key, value]) => [key, disclosed(value, below?.get(key)?.node)] as const,
    );
    return { kind: 'mapping', entries };
  }
  if (shape.kind === 'record' && below !== undefined && below.size > 0) {
    const entries = [...below].map(([key, entry]) => [key, disclosed(shape.value, entry.node)] as const);
    return { kind: 'mapping', entries };
  }
  if (shape.kind === 'list' && node?.kind === 'list') {
    const items = node.items.map((item) => disclosed(shape.item, item));
    if (items.length > 0 && shapeOf(shape.item).kind === 'mapping') return { kind: 'list', items };
    return { kind: 'value', value: items.map(valueOf), from };
  }
  if (node === undefined) return { kind: 'value', value: (shape.default ?? null) as Value, from };
  const isSecret = shape.kind === 'leaf' && shape.field.secret === true;
  if (node.kind !== 'scalar') return { kind: 'value', value: MASK, from };
  const isMasked = node.value !== null && (isSecret || node.origin === 'resolved');
  const value = shape.kind === 'leaf' ? typed(node.value, shape.type) : node.value;
  return { kind: 'value', value: isMasked ? MASK : withoutQuery(value), from };
}

/** A text of the environment becomes what its key is. */
function typed(value: string | number | boolean | null, type: 'text' | 'number' | 'flag') {
  if (typeof value !== 'string' || type === 'text') return value;
  return type === 'number' ? Number(value) : value === 'true';
}

/** A query may carry a key, and whether it does is for its owner to know; so may what stands before a host. */
function withoutQuery(value: string | number | boolean | null): string | number | boolean | null {
  if (typeof value !== 'string' || !/^[a-z][a-z0-9+.-]*:\/\//i.test(value)) return value;
  return value.replace(/^([^/]*\/\/)[^/@]*@/, `$1${MASK}@`).replace(/\?.*$/s, `?${MASK}`);
}

function sourceOf(node: TreeNode | undefined): string {
  if (node === undefined) return 'default';
  const { file, line } = node.place;
  return line === null ? file : `${file}:${line}`;
}

function valueOf(it: Disclosed): Value {
  if (it.kind === 'value') return it.value;
  if (it.kind === 'list') return it.items.map(valueOf);
  return Object.fromEntries(it.entries.map(([key, entry]) => [key, valueOf(entry)]));
}

function collect(it: Disclosed, path: Path, from: Record<string, string>): void {
  if (it.kind === 'value') from[formatPath(path)] = it.from;
  else if (it.kind === 'list') for (const [i, item] of it.items.entries()) collect(item, [...path, i], from);
  else for (const [key, entry] of it.entries) collect(entry, [...path, key], from);
}

function linesOf(it: Disclosed, indent: string): string[] {
  if (it.kind === 'value') return [`${indent}${scalarText(it.value)} # ${comment(it.from)}`];
  if (it.kind === 'list') {
    return it.items.flatMap((item) => {
      const [first = '', ...rest] = linesOf(item, `${indent}  `);
      return [`${indent}- ${first.trimStart()}`, ...rest];
    });
  }
  return it.entries.flatMap(([key, entry]) => {
    const name = `${indent}${scalarText(key)}:`;
    if (entry.kind === 'value') return [`${name} ${scalarText(entry.value)} # ${comment(entry.from)}`];
    return [name, ...linesOf(entry, `${indent}  `)];
  });
}

/** Nothing in a file's name ends the line. */
const comment = (from: string): string => from.replace(/[\p{Cc}\u2028\u2029]/gu, '?');

/** Words that YAML takes for text, whatever its version, and our own units; everything else is quoted. */
const PLAIN = /^(?:[A-Za-z][A-Za-z0-9._/-]*|\d+(?:\.\d+)?(?:ms|s|m|h|d|B|KiB|MiB|GiB|%))$/;
const WORDS = /^(?:true|false|null|yes|no|on|off|y|n)$/i;

/** YAML is a superset of JSON. */
function scalarText(value: Value): string {
  if (typeof value !== 'string') return JSON.stringify(value);
  return PLAIN.test(value) && !WORDS.test(value) ? value : JSON.stringify(value);
}
