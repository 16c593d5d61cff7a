/**
 * Whether the process may have as many sockets open as the configuration lets it: a warning, for it is found out
 * only when they are needed, as `file_limit`.
 */
import { readFileSync } from 'node:fs';
import type { Config } from './config.ts';
import { at, type Problem } from './problem.ts';
import { locate, type MappingNode } from './tree.ts';

/** Listeners and who asks them, look-ups of names, files, standard streams. */
const OTHERS = 256;

/** Open files that this process may have; null: not known here. Node raises it as far as it may when it starts. */
export function openFilesMax(): number | null {
  try {
    const [, soft] =
      /^Max open files\s+(\d+|unlimited)\s/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined || soft === 'unlimited' ? null : Number(soft);
  } catch {
    return null;
  }
}

/** Spoken of at the place of the larger of the two limits that somebody wrote. */
export function lintFileLimit(
  { listen, limits }: Pick<Config, 'listen' | 'limits'>,
  written: MappingNode,
  max: number | null,
): Problem[] {
  const needed = limits.connections + listen.connections + OTHERS;
  if (max === null || needed <= max) return [];
  const callers = locate(written, ['listen', 'connections']);
  const origins = locate(written, ['limits', 'connections']);
  const larger = listen.connections >= limits.connections ? [callers, origins] : [origins, callers];
  const { keyPlace } = larger.find(({ exact }) => exact) ?? {
    keyPlace: { file: 'default', line: null, column: null },
  };
  return [
    at(
      keyPlace,
      `limits.connections (${limits.connections}) and listen.connections (${listen.connections}) are more than the ${max} files that this process may have open, with ${OTHERS} for everything else: lower them, or raise the limit (ulimit -n) to ${needed}`,
    ),
  ];
}
