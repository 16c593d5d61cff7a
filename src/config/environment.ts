/**
 * `OUTRIGGER__POLICY__POOL__CONNECTIONS=32` as a layer of configuration, and `--set policy.pool.connections=32` as
 * another: the path of a key in any case, and its value as it would be written in a file.
 *
 * It knows no YAML: whoever calls it reads the values of lists and mappings.
 */
import { interpolate, type Surroundings } from './interpolation.ts';
import { nearest } from './nearest.ts';
import type { Place, Problem } from './problem.ts';
import { type Schema, type Shape, shapeOf } from './shape.ts';
import {
  formatPath,
  type MappingNode,
  mapping,
  type Path,
  resolvedScalar,
  scalar,
  type TreeNode,
} from './tree.ts';

const PREFIX = 'OUTRIGGER__';

/** One variable as a tree with a single branch, or what is wrong with it. */
export interface Override {
  readonly name: string;
  readonly tree: MappingNode | null;
  readonly problems: readonly Problem[];
}

export interface ReadValue {
  readonly node: TreeNode;
  readonly problems: readonly Problem[];
}

/** Reads a value as it would be written in a file; the path is where it belongs. */
export type ValueReader = (text: string, place: Place, path: Path) => ReadValue;

/** Every override, the shorter paths first, so that a single key is laid over the mapping that holds it. */
export function overrides(schema: Schema, env: Surroundings['env'], readValue: ValueReader): Override[] {
  const found = Object.entries(env)
    .filter(([name, value]) => value !== undefined && name.toUpperCase().startsWith(PREFIX))
    .map(([name, value]) => ({ name, value: value ?? '', segments: name.slice(PREFIX.length).split('__') }));
  return layered(schema, env, found, readValue);
}

/** Every `PATH=VALUE` of the command line, in the same order. What is set twice is a problem. */
export function settings(
  schema: Schema,
  env: Surroundings['env'],
  written: readonly string[],
  readValue: ValueReader,
): Override[] {
  const found = written.map((text) => {
    const equals = text.indexOf('=');
    const path = text.slice(0, equals);
    return { name: `--set ${path}`, value: text.slice(equals + 1), segments: path.split('.') };
  });
  return layered(schema, env, found, readValue);
}

interface Setting {
  readonly name: string;
  readonly value: string;
  readonly segments: readonly string[];
}

function layered(
  schema: Schema,
  env: Surroundings['env'],
  found: readonly Setting[],
  readValue: ValueReader,
): Override[] {
  const sorted = found.toSorted(
    (a, b) => a.segments.length - b.segments.length || (a.name < b.name ? -1 : 1),
  );
  const taken = new Map<string, string>();
  return sorted.map(({ name, value, segments }) => {
    const place: Place = { file: name, line: null, column: null };
    const failed = (message: string): Override => ({ name, tree: null, problems: [{ ...place, message }] });
    const target = follow(schema, segments);
    if ('problem' in target) return failed(target.problem);
    const path = formatPath(target.path);
    const other = taken.get(path.toLowerCase());
    if (other !== undefined) return failed(`sets ${path}, and so does ${other}`);
    taken.set(path.toLowerCase(), name);
    const { node, problems } = read(value, place, target, env, readValue);
    let tree = node;
    for (const key of target.path.toReversed()) tree = mapping(place, [[key, { place, node: tree }]]);
    return { name, tree: tree.kind === 'mapping' ? tree : null, problems };
  });
}

interface Target {
  readonly path: readonly string[];
  readonly shape: Shape;
}

function follow(schema: Schema, segments: readonly string[]): Target | { readonly problem: string } {
  let shape = shapeOf(schema);
  const path: string[] = [];
  for (const segment of segments) {
    const where = path.length === 0 ? 'at the top' : `in ${formatPath(path)}`;
    if (shape.kind === 'record' && /^(?!__proto__$|constructor$|prototype$)./.test(segment)) {
      path.push(segment);
      shape = shapeOf(shape.value);
      continue;
    }
    if (shape.kind !== 'mapping') return { problem: `${formatPath(path)} can only be set as a whole` };
    const names = Object.keys(shape.keys);
    const key = names.find((name) => name.toLowerCase() === segment.toLowerCase());
    const below = key === undefined ? undefined : shape.keys[key];
    if (key === undefined || below === undefined) {
      const near = nearest(segment, names);
      const advice = near === null ? `the keys there are ${names.join(', ')}` : `did you mean "${near}"?`;
      return { problem: `unknown key ${JSON.stringify(segment.slice(0, 60))} ${where}; ${advice}` };
    }
    path.push(key);
    shape = shapeOf(below);
  }
  return { path, shape };
}

/** A single value is taken as it is, so that `[::1]:3128` needs no quotes; quotes are removed where there are some. */
function read(
  written: string,
  place: Place,
  { path, shape }: Target,
  env: Surroundings['env'],
  readValue: ValueReader,
): ReadValue {
  const text = written.trim();
  if (text === '') return { node: scalar(place, null, 'empty'), problems: [] };
  if (shape.kind !== 'leaf' || /^["']/.test(text)) {
    const { node, problems } = readValue(text, place, path);
    const isText = node.kind === 'scalar' && node.origin === 'literal' && node.value !== null;
    return { node: isText && shape.kind === 'leaf' ? { ...node, origin: 'text' } : node, problems };
  }
  const result = interpolate(text, { env, file: null });
  if ('problem' in result) {
    return {
      node: scalar(place, null, 'broken'),
      problems: [{ ...place, message: `${formatPath(path)} ${result.problem}` }],
    };
  }
  const { resolved, parts } = result;
  const node = resolved ? resolvedScalar(place, result.text, parts) : scalar(place, result.text, 'text');
  return { node, problems: [] };
}
