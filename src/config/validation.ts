/**
 * A tree against the schema: what it makes of the tree, and every problem at its own place, in words that
 * name the key, what may be written, and the nearest word that is allowed.
 *
 * The schema judges values. Which keys exist and whether a mapping, a list or a scalar belongs somewhere is
 * judged here, because valibot reports one unknown key at a time and takes a list for a mapping.
 * What was resolved from the environment or a file, and whatever the schema calls secret, is never shown.
 */
import * as v from 'valibot';
import { nearest } from './nearest.ts';
import { at, type Problem } from './problem.ts';
import { configSchema, type Settings } from './schema.ts';
import { type Schema, type Shape, schemaOf, shapeOf } from './shape.ts';
import { formatPath, locate, type MappingNode, type Path, type ScalarNode, type TreeNode } from './tree.ts';

export interface Validated {
  /** Null when there are problems. */
  readonly settings: Settings | null;
  readonly problems: readonly Problem[];
}

/** @param part whether other sources may still change it: then rules between two keys wait */
export function validate(tree: MappingNode, part: boolean): Validated {
  const problems: Problem[] = [];
  const input = inputOf(tree, configSchema, [], problems);
  const result = v.safeParse(configSchema, input);
  for (const issue of result.issues ?? []) {
    const problem = problemOf(issue, tree, part);
    if (problem !== null) problems.push(problem);
  }
  return { settings: result.success && problems.length === 0 ? result.output : null, problems };
}

const KINDS = { mapping: 'a mapping', list: 'a list', scalar: 'a single value' } as const;

/** The tree as plain values; what has the wrong kind is reported, and left to fail unheard. */
function inputOf(node: TreeNode, schema: Schema, path: Path, problems: Problem[]): unknown {
  const shape = shapeOf(schema);
  if (node.kind === 'scalar') return scalarOf(node, shape, path, problems);
  const fits =
    node.kind === 'list' ? shape.kind === 'list' : shape.kind === 'mapping' || shape.kind === 'record';
  if (!fits) {
    problems.push(
      at(node.place, `${formatPath(path)} must be ${expectation(shape)}, not ${KINDS[node.kind]}`),
    );
    return WRONG;
  }
  if (node.kind === 'list') {
    return shape.kind === 'list'
      ? node.items.map((item, i) => inputOf(item, shape.item, [...path, i], problems))
      : WRONG;
  }
  const input: Record<string, unknown> = {};
  const seen = new Set<string>();
  for (const [key, { node: below, place }] of node.entries) {
    const known =
      shape.kind === 'record'
        ? shape.value
        : shape.kind === 'mapping'
          ? schemaOf(shape.keys, key)
          : undefined;
    if (known === undefined) {
      problems.push(at(place, unknownKey(key, path, shape)));
      continue;
    }
    if (seen.has(key.toLowerCase())) problems.push(at(place, `${formatPath([...path, key])} is set twice`));
    seen.add(key.toLowerCase());
    input[key] = inputOf(below, known, [...path, key], problems);
  }
  return input;
}

/** Fails every schema there is; whoever uses it has reported a problem already. */
const WRONG = Symbol('wrong');

function scalarOf(node: ScalarNode, shape: Shape, path: Path, problems: Problem[]): unknown {
  if (node.origin === 'broken') return WRONG;
  if (node.origin === 'empty') {
    const advice = shape.nullable ? ', or write null' : '';
    problems.push(
      at(node.place, `${formatPath(path)} has no value: leave the key out for its default${advice}`),
    );
    return WRONG;
  }
  if (node.value === null && shape.nullable) return null;
  if (shape.kind !== 'leaf') {
    const got = node.value === null ? 'null' : KINDS.scalar;
    problems.push(at(node.place, `${formatPath(path)} must be ${expectation(shape)}, not ${got}`));
    return WRONG;
  }
  if (node.origin === 'literal') return node.value;
  return typed(String(node.value), shape);
}

/** A text from outside the file has no type of its own: the key decides. */
function typed(text: string, shape: Shape): unknown {
  if (shape.nullable && text === 'null') return null;
  if (shape.kind !== 'leaf' || shape.type === 'text') return text;
  if (shape.type === 'flag') return text === 'true' ? true : text === 'false' ? false : text;
  return /^-?\d{1,16}(?:\.\d{1,9})?$/.test(text) ? Number(text) : text;
}

function expectation(shape: Shape): string {
  if (shape.kind === 'leaf') return shape.field.expected;
  const null_ = shape.nullable ? ', or null' : '';
  if (shape.kind === 'list') return `a list${null_}`;
  if (shape.kind === 'record') return `a mapping of names to values${null_}`;
  return `a mapping with the keys ${Object.keys(shape.keys).join(', ')}${null_}`;
}

function unknownKey(key: string, path: Path, shape: Shape): string {
  const allowed = shape.kind === 'mapping' ? Object.keys(shape.keys) : [];
  const near = nearest(key, allowed);
  const where = path.length === 0 ? 'at the top' : `in ${formatPath(path)}`;
  const advice = near === null ? `the keys there are ${allowed.join(', ')}` : `did you mean "${near}"?`;
  return `unknown key ${show(key)} ${where}; ${advice}`;
}

/** Null: reported already, or not to be judged yet. */
function problemOf(issue: v.BaseIssue<unknown>, tree: MappingNode, part: boolean): Problem | null {
  const items = issue.path ?? [];
  const path = items.map((item) => item.key as string | number);
  const { exact, keyPlace, node } = locate(tree, path);
  if (issue.input === WRONG || (node.kind === 'scalar' && node.origin === 'broken')) return null;
  const name = formatPath(path);
  if (issue.type === 'partial_check') return part ? null : at(node.place, `${name} ${issue.message}`);
  const key = items.at(-1)?.origin === 'key';
  if (issue.type === 'strict_object') {
    return key && !exact ? at(node.place, `${name} is missing`) : null;
  }
  if (issue.type === 'raw_check') return at(node.place, `${name} ${issue.message}`);
  if (key) return at(keyPlace, `${name} ${issue.message}`);
  return at(node.place, `${name} ${issue.message}${received(node, path)}`);
}

function received(node: TreeNode, path: Path): string {
  if (node.kind !== 'scalar' || node.origin === 'resolved') return '';
  let shape = shapeOf(configSchema);
  for (const key of path) {
    const below =
      shape.kind === 'mapping'
        ? schemaOf(shape.keys, String(key))
        : shape.kind === 'record'
          ? shape.value
          : undefined;
    shape = shapeOf(below ?? (shape.kind === 'list' ? shape.item : configSchema));
  }
  if (shape.kind !== 'leaf' || shape.field.secret === true) return '';
  const near = typeof node.value === 'string' ? nearest(node.value, shape.field.choices ?? []) : null;
  return `, not ${show(node.value)}${near === null ? '' : `; did you mean "${near}"?`}`;
}

/** User information of a URL is nobody's to see (RFC 3986, section 3.2.1). */
function show(value: unknown): string {
  if (typeof value !== 'string') return String(value);
  const open = value.replace(/\/\/[^/]*@/g, '//***@');
  return JSON.stringify(open.length > 60 ? `${open.slice(0, 60)}…` : open);
}
