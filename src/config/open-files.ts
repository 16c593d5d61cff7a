/**
 * Files of `${file:PATH}` that everybody on the machine may read, though what is read from a file is taken for
 * a secret everywhere else. Warnings, for nothing breaks by them.
 *
 * Rules: one for each place that names such a file; what cannot be looked at is not spoken of, it was read a
 * moment ago. It does not know which keys exist.
 */
import { statSync } from 'node:fs';
import { at, type Problem } from './problem.ts';
import { formatPath, type Path, type TreeNode } from './tree.ts';

const EVERYBODY_READS = 0o004;

export function openFiles(node: TreeNode, path: Path = []): Problem[] {
  if (node.kind === 'list') return node.items.flatMap((item, i) => openFiles(item, [...path, i]));
  if (node.kind === 'mapping')
    return [...node.entries].flatMap(([key, { node: below }]) => openFiles(below, [...path, key]));
  const files = new Set((node.parts ?? []).flatMap((part) => (typeof part === 'string' ? [] : [part.file])));
  const found: Problem[] = [];
  for (const file of files) {
    const mode = modeOf(file);
    if (mode === null || (mode & EVERYBODY_READS) === 0) continue;
    const said = `its mode is 0${(mode & 0o777).toString(8)}; chmod o-r, or defaultMode: 0440 of a mounted Secret`;
    found.push(
      at(node.place, `${formatPath(path)} names the file ${file}, which can be read by everybody: ${said}`),
    );
  }
  return found;
}

function modeOf(file: string): number | null {
  try {
    return statSync(file).mode;
  } catch {
    return null;
  }
}
