/**
 * What a reload changes: which keys were written otherwise, and which of them cannot change while the sidecar runs.
 *
 * Rules: keys are named and values never; a route or client is named by its name, for its number says nothing once
 * others were put before it. What needs a restart keeps the value that runs, and everything else counts.
 */
import { isLoopback } from './address.ts';
import type { Config } from './config.ts';
import { formatPath, type MappingNode, type Path, type TreeNode } from './tree.ts';

/** Paths of keys, sorted. Both are as written, merged, before routes inherit anything. */
export function changes(before: MappingNode, after: MappingNode): string[] {
  const [old, now] = [flat(before), flat(after)];
  const names = new Set([...old.keys(), ...now.keys()]);
  const found = [...names].filter((name) => old.get(name) !== now.get(name));
  if (orderOf(before) !== orderOf(after)) found.push('routes: their order');
  return found.toSorted();
}

/** The names of routes that both have are compared in their order by whoever matches the first. */
function orderOf(root: MappingNode): string {
  const routes = root.entries.get('routes')?.node;
  return routes?.kind === 'list' ? routes.items.map((item, i) => nameOf(item, i)).join() : '';
}

function flat(root: MappingNode): Map<string, string> {
  const values = new Map<string, string>();
  const visit = (node: TreeNode, path: Path): void => {
    if (node.kind === 'mapping') {
      for (const [key, entry] of node.entries) visit(entry.node, [...path, key]);
    } else if (node.kind === 'list' && node.items.some((item) => item.kind === 'mapping')) {
      for (const [i, item] of node.items.entries()) visit(item, [...path, nameOf(item, i)]);
    } else values.set(formatPath(path), JSON.stringify(plain(node)));
  };
  visit(root, []);
  return values;
}

function plain(node: TreeNode): unknown {
  if (node.kind === 'scalar') return node.value;
  if (node.kind === 'list') return node.items.map(plain);
  return [...node.entries].map(([key, entry]) => [key, plain(entry.node)]);
}

function nameOf(node: TreeNode, i: number): string | number {
  const name = node.kind === 'mapping' ? node.entries.get('name')?.node : undefined;
  return name?.kind === 'scalar' && typeof name.value === 'string' ? name.value : i;
}

export interface Applicable {
  /** What counts now. */
  readonly config: Config;
  /** Keys that count after a restart only. */
  readonly restart: readonly string[];
}

/** @param intercepting there is a certificate authority: it and what it wrote stay */
export function applicable(running: Config, next: Config, intercepting: boolean): Applicable {
  const restart: string[] = [];
  const keep = <T>(key: string, is: T, wanted: T): T => {
    if (JSON.stringify(is) === JSON.stringify(wanted)) return wanted;
    restart.push(key);
    return is;
  };
  const listen = {
    ...next.listen,
    proxy: keep('listen.proxy', running.listen.proxy, next.listen.proxy),
    admin: keep('listen.admin', running.listen.admin, next.listen.admin),
    telemetry: keep('listen.telemetry', running.listen.telemetry, next.listen.telemetry),
  };
  // A listener that others can reach does not lose its token by a change of its address that does not count.
  const exposed = next.admin.token === null && !isLoopback(listen.admin);
  const admin = exposed
    ? {
        ...next.admin,
        token: keep('admin.token', running.admin.token, null),
        hosts: keep('admin.hosts', running.admin.hosts, next.admin.hosts),
      }
    : next.admin;
  const { ca, bundle, leaves } = running.intercept;
  const intercept = intercepting
    ? {
        ...next.intercept,
        ca: keep('intercept.ca', ca, next.intercept.ca),
        bundle: keep('intercept.bundle', bundle, next.intercept.bundle),
        leaves: keep('intercept.leaves', leaves, next.intercept.leaves),
      }
    : next.intercept;
  const log = { ...next.log, format: keep('log.format', running.log.format, next.log.format) };
  return { config: { ...next, listen, admin, intercept, log }, restart };
}
