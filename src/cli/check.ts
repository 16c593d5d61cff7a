/**
 * `outrigger check`: is the configuration valid? Says everything that is wrong with it, and what it says in
 * vain, and starts nothing.
 */
import { configFiles, type LoadOptions } from '../config/load.ts';
import { formatWarning } from '../config/problem.ts';
import { DONE } from './exit-code.ts';
import { inspect } from './inspection.ts';
import { type Output, reportInvalid } from './invalid-configuration.ts';

/**
 * Writes `ok: FILES` to `out`, or one line for each problem to `err`; warnings go there too, and change nothing.
 * @returns the exit code, 0 or 2
 */
export function check(
  files: readonly string[],
  env: LoadOptions['env'],
  out: Output,
  err: Output,
  set: readonly string[] = [],
): number {
  try {
    for (const warning of inspect({ files, env, set }).warnings) err.write(`${formatWarning(warning)}\n`);
  } catch (error) {
    return reportInvalid(error, err);
  }
  const names = configFiles(files, env);
  out.write(`ok: ${names.length === 0 ? 'no file, only defaults' : names.join(' ')}\n`);
  return DONE;
}
