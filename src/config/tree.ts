/**
 * A configuration as written: values that remember their place. Every source becomes such a tree; trees are
 * merged, checked, and only then turned into values.
 *
 * It knows neither YAML nor the keys that exist.
 */
import type { SecretPart } from '../policy/secret-text.ts';
import type { Place } from './problem.ts';

/**
 * Where a scalar comes from. Literal: the file. Text: an environment variable, so the key decides its type.
 * Resolved: `${...}`, likewise, and never shown. Empty: nothing was written. Broken: already reported.
 */
export type Origin = 'literal' | 'text' | 'resolved' | 'empty' | 'broken';

export interface ScalarNode {
  readonly kind: 'scalar';
  readonly place: Place;
  readonly value: string | number | boolean | null;
  readonly origin: Origin;
  /** What a text with the content of files in it is made of. */
  readonly parts?: readonly SecretPart[];
}

interface ListNode {
  readonly kind: 'list';
  readonly place: Place;
  readonly items: readonly TreeNode[];
}

export interface Entry {
  /** The place of the key. */
  readonly place: Place;
  readonly node: TreeNode;
}

export interface MappingNode {
  readonly kind: 'mapping';
  readonly place: Place;
  readonly entries: ReadonlyMap<string, Entry>;
}

export type TreeNode = ScalarNode | ListNode | MappingNode;

export type Path = readonly (string | number)[];

export const scalar = (place: Place, value: ScalarNode['value'], origin: Origin): ScalarNode => ({
  kind: 'scalar',
  place,
  value,
  origin,
});

/** What `${...}` made of a text; `parts` null: no file is part of it. */
export const resolvedScalar = (
  place: Place,
  text: string,
  parts: readonly SecretPart[] | null,
): ScalarNode => ({
  ...scalar(place, text, 'resolved'),
  ...(parts === null ? {} : { parts }),
});

export const mapping = (place: Place, entries: Iterable<[string, Entry]> = []): MappingNode => ({
  kind: 'mapping',
  place,
  entries: new Map(entries),
});

/** `policy.pool.connections`, `routes[0].name`. */
export function formatPath(path: Path): string {
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : i === 0 ? key : `.${key}`)).join('');
}

/** What was written at a path, with the place of its key; where nothing was, whatever is nearest above. */
export function locate(root: TreeNode, path: Path): { exact: boolean; keyPlace: Place; node: TreeNode } {
  let node = root;
  let keyPlace = root.place;
  for (const key of path) {
    const entry = node.kind === 'mapping' ? node.entries.get(String(key)) : undefined;
    const below = node.kind === 'list' ? node.items[Number(key)] : entry?.node;
    if (below === undefined) return { exact: false, keyPlace, node };
    node = below;
    keyPlace = entry?.place ?? below.place;
  }
  return { exact: true, keyPlace, node };
}
