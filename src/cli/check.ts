/**
 * `outrigger check`: is the configuration valid? Says everything that is wrong with it, and starts nothing.
 */
import { configFiles, type LoadOptions, loadConfig } from '../config/load.ts';
import { ConfigError, formatProblem } from '../config/problem.ts';
import { DONE, INVALID } from './exit-code.ts';

/** Where lines go: standard output or standard error. */
export interface Output {
  write(text: string): unknown;
}

/**
 * Writes `ok: FILES` to `out`, or one line for each problem to `err`.
 * @returns the exit code, 0 or 2
 */
export function check(files: readonly string[], env: LoadOptions['env'], out: Output, err: Output): number {
  try {
    loadConfig({ files, env });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) err.write(`${formatProblem(problem)}\n`);
    return INVALID;
  }
  const names = configFiles(files, env);
  out.write(`ok: ${names.length === 0 ? 'no file, only defaults' : names.join(' ')}\n`);
  return DONE;
}
