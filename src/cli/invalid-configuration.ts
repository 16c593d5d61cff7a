/** What every command does about a configuration that is not valid: one line for each problem, and the exit code. */
import { ConfigError, formatProblem } from '../config/problem.ts';
import { INVALID } from './exit-code.ts';

/** Where lines go: standard output or standard error. */
export interface Output {
  write(text: string): unknown;
}

/** Throws on what is no ConfigError. */
export function reportInvalid(error: unknown, err: Output): typeof INVALID {
  if (!(error instanceof ConfigError)) throw error;
  for (const problem of error.problems) err.write(`${formatProblem(problem)}\n`);
  return INVALID;
}
