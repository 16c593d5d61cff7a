/**
 * What is looked at before anything starts, and by `check` instead of starting: the configuration, and the
 * files that its routes name. What cannot work is a problem at the place of its key; what works, but not as
 * it seems to be meant, is a warning.
 */
import { readAuthorityFiles } from '../certificates/authority-files.ts';
import { inspectTlsFiles, TlsFileError } from '../certificates/tls-files.ts';
import type { LoadedConfig } from '../config/assembly.ts';
import type { Config } from '../config/config.ts';
import { lint } from '../config/lint.ts';
import { configFiles, type LoadOptions, loadConfig } from '../config/load.ts';
import { at, ConfigError, type Problem, sortProblems } from '../config/problem.ts';
import { formatPath, locate, type Path } from '../config/tree.ts';

export interface Inspected {
  readonly config: Config;
  /** In reading order. */
  readonly warnings: readonly Problem[];
}

/** Throws a ConfigError with every problem. */
export function inspect(options: LoadOptions): Inspected {
  const loaded = loadConfig(options);
  const problems: Problem[] = [];
  const warnings = lint(loaded.config, loaded.written);
  inspectFiles(loaded, problems, warnings);
  const order = configFiles(options.files, options.env);
  if (problems.length > 0) throw new ConfigError(sortProblems(problems, order));
  return { config: loaded.config, warnings: sortProblems(warnings, order) };
}

function inspectFiles({ config, written }: LoadedConfig, problems: Problem[], warnings: Problem[]): void {
  const note = (list: Problem[], path: Path, file: string, problem: string): void => {
    list.push(
      at(locate(written, path).node.place, `${formatPath(path)} names the file ${file}, which ${problem}`),
    );
  };
  const { ca } = config.intercept;
  if (ca !== null) {
    try {
      readAuthorityFiles({ certificateFile: ca.cert, keyFile: ca.key }, Date.now());
    } catch (error) {
      const { place } = locate(written, ['intercept', 'ca']).node;
      problems.push(at(place, `intercept.ca cannot be used: ${(error as Error).message}`));
    }
  }
  for (const [i, { tls }] of config.routes.entries()) {
    if (tls === null) continue;
    const path = ['routes', i, 'tls'];
    try {
      for (const { key, file, problem } of inspectTlsFiles(tls, Date.now()))
        note(warnings, [...path, key], file, problem);
    } catch (error) {
      if (!(error instanceof TlsFileError)) throw error;
      note(problems, [...path, error.key], error.file, error.problem);
    }
  }
}
