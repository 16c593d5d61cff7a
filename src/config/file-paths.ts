/**
 * The paths of files that a configuration names: relative to the file in which they were written, so that
 * it does not matter where the sidecar was started. What comes from the environment is relative to that place.
 */
import { dirname, resolve } from 'node:path';
import type { MappingNode, TreeNode } from './tree.ts';

/** `*` is every item of a list. */
const FILES: readonly (readonly string[])[] = [
  ['intercept', 'bundle'],
  ['intercept', 'ca', 'cert'],
  ['intercept', 'ca', 'key'],
  ['routes', '*', 'tls', 'ca'],
  ['routes', '*', 'tls', 'cert'],
  ['routes', '*', 'tls', 'key'],
];

export function resolveFilePaths(root: MappingNode): MappingNode {
  return FILES.reduce<TreeNode>((tree, path) => resolveAt(tree, path), root) as MappingNode;
}

function resolveAt(node: TreeNode, path: readonly string[]): TreeNode {
  const [key, ...rest] = path;
  if (key === undefined) {
    const { line, file } = node.place;
    if (node.kind !== 'scalar' || typeof node.value !== 'string' || node.value === '') return node;
    return line === null ? node : { ...node, value: resolve(dirname(file), node.value) };
  }
  if (key === '*')
    return node.kind === 'list' ? { ...node, items: node.items.map((item) => resolveAt(item, rest)) } : node;
  const entry = node.kind === 'mapping' ? node.entries.get(key) : undefined;
  if (node.kind !== 'mapping' || entry === undefined) return node;
  const below = resolveAt(entry.node, rest);
  return below === entry.node
    ? node
    : { ...node, entries: new Map(node.entries).set(key, { ...entry, node: below }) };
}
