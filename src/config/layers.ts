/**
 * One tree out of many, and where each value of it came from. Mappings merge key by key; lists and scalars
 * replace; a route's policy is laid over the default policy in the same way.
 *
 * Defaults are no layer: the schema fills in what nobody wrote. So a partial `breaker` over `breaker: null`
 * starts from the built-in defaults.
 */
import { type Schema, shapeOf } from './shape.ts';
import { formatPath, type MappingNode, type Path, type TreeNode } from './tree.ts';

/** "default", `file:line`, or the name of an environment variable; by the path of each effective value. */
export type Provenance = ReadonlyMap<string, string>;

export function merge(base: TreeNode, over: TreeNode): TreeNode {
  if (base.kind !== 'mapping' || over.kind !== 'mapping') return over;
  const entries = new Map(base.entries);
  // Header names differ by case and are the same field; no two other keys differ by case alone.
  const written = new Map([...base.entries.keys()].map((key) => [key.toLowerCase(), key]));
  for (const [key, entry] of over.entries) {
    const other = written.get(key.toLowerCase());
    const before = other === undefined ? undefined : entries.get(other);
    if (other !== undefined && other !== key) entries.delete(other);
    entries.set(key, before === undefined ? entry : { ...entry, node: merge(before.node, entry.node) });
  }
  return { kind: 'mapping', place: over.place, entries };
}

/** Lays every route's policy over the default policy. */
export function inheritPolicy(root: MappingNode): MappingNode {
  const base = root.entries.get('policy');
  const routes = root.entries.get('routes');
  if (base === undefined || routes?.node.kind !== 'list') return root;
  const items = routes.node.items.map((route): TreeNode => {
    if (route.kind !== 'mapping') return route;
    const own = route.entries.get('policy');
    const policy = own === undefined ? base : { ...own, node: merge(base.node, own.node) };
    return { ...route, entries: new Map(route.entries).set('policy', policy) };
  });
  const entries = new Map(root.entries).set('routes', { ...routes, node: { ...routes.node, items } });
  return { ...root, entries };
}

/** Where every effective value came from; `root` is the merged tree, without problems. */
export function traceProvenance(schema: Schema, root: TreeNode): Provenance {
  const sources = new Map<string, string>();
  visit(schema, root, [], sources);
  return sources;
}

function visit(schema: Schema, node: TreeNode | undefined, path: Path, sources: Map<string, string>): void {
  const shape = shapeOf(schema);
  const below = node?.kind === 'mapping' ? node.entries : undefined;
  if (shape.kind === 'mapping' && (node === undefined || below !== undefined)) {
    for (const [key, value] of Object.entries(shape.keys)) {
      visit(value, below?.get(key)?.node, [...path, key], sources);
    }
  } else if (shape.kind === 'record' && below !== undefined && below.size > 0) {
    for (const [key, entry] of below) visit(shape.value, entry.node, [...path, key], sources);
  } else if (shape.kind === 'list' && node?.kind === 'list' && shapeOf(shape.item).kind === 'mapping') {
    for (const [i, item] of node.items.entries()) visit(shape.item, item, [...path, i], sources);
    if (node.items.length === 0) sources.set(formatPath(path), sourceOf(node));
  } else {
    sources.set(formatPath(path), sourceOf(node));
  }
}

function sourceOf(node: TreeNode | undefined): string {
  if (node === undefined) return 'default';
  const { file, line } = node.place;
  return line === null ? file : `${file}:${line}`;
}
