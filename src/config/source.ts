/**
 * Where a configuration came from and can be read from again, with what there is to say about it: what the
 * sidecar needs to reload. It reads nothing itself.
 */
import type { Config } from './config.ts';
import type { Digests } from './file-watch.ts';
import type { Provenance } from './layers.ts';
import type { Problem } from './problem.ts';
import type { MappingNode, Path, TreeNode } from './tree.ts';

/** A configuration without problems. */
export interface Loaded {
  readonly config: Config;
  /** What was written, merged, before routes inherit anything. */
  readonly written: MappingNode;
  /** Where each effective value came from. */
  readonly provenance: Provenance;
  readonly warnings: readonly Problem[];
  /** Its files, and what they held when they were read. */
  readonly digests: Digests;
}

export interface ConfigSource {
  /** Throws a ConfigError with every problem. */
  load(): Loaded;
}

/** Values that are exchanged while they are in use, and so need no reload. */
const LIVE = /(?:^|\/)(?:headers\/(?:request|response)\/set\/[^/]+|credentials\/oauth2\/clientSecret)$/;

/** The files of `${file:PATH}` whose content is part of the configuration. */
export function contentFiles(node: TreeNode, path: Path = []): string[] {
  if (node.kind === 'list') return node.items.flatMap((item, i) => contentFiles(item, [...path, i]));
  if (node.kind === 'mapping')
    return [...node.entries].flatMap(([key, { node: below }]) => contentFiles(below, [...path, key]));
  if (LIVE.test(path.join('/'))) return [];
  return (node.parts ?? []).flatMap((part) => (typeof part === 'string' ? [] : [part.file]));
}
