/**
 * What is looked at before anything starts, and by `check` instead of starting: the configuration, and the
 * files of certificates that it names. What cannot work is a problem at the place of its key; what works,
 * but not as it seems to be meant, is a warning.
 */
import { readAuthorityFiles } from '../certificates/authority-files.ts';
import { inspectTlsFiles, TlsFileError } from '../certificates/tls-files.ts';
import type { Config } from '../config/config.ts';
import { lintFileLimit, openFilesMax } from '../config/file-limit.ts';
import type { Provenance } from '../config/layers.ts';
import { lint } from '../config/lint.ts';
import { configFiles, type LoadOptions, loadConfig } from '../config/load.ts';
import { openFiles } from '../config/open-files.ts';
import { at, ConfigError, type Problem, sortProblems } from '../config/problem.ts';
import { formatPath, locate, type MappingNode, type Path } from '../config/tree.ts';

export interface Inspected {
  readonly config: Config;
  /** What was written, merged, before routes inherit anything. */
  readonly written: MappingNode;
  /** Where each effective value came from. */
  readonly provenance: Provenance;
  /** In reading order. */
  readonly warnings: readonly Problem[];
}

/** Something about a value of the configuration. */
interface Finding {
  readonly path: Path;
  /** Completes a sentence that begins with the path. */
  readonly message: string;
}

/** Throws a ConfigError with every problem. */
export function inspect(options: LoadOptions): Inspected {
  const { config, written, provenance } = loadConfig(options);
  const order = configFiles(options.files, options.env);
  const placed = ({ path, message }: Finding): Problem =>
    at(locate(written, path).node.place, `${formatPath(path)} ${message}`);
  const routes = inspectRoutes(config, Date.now());
  const problems = [...routes.problems, ...inspectAuthority(config, Date.now())].map(placed);
  if (problems.length > 0) throw new ConfigError(sortProblems(problems, order));
  const warnings = [
    ...lint(config, written),
    ...openFiles(written),
    ...lintFileLimit(config, written, openFilesMax()),
    ...routes.warnings.map(placed),
  ];
  return { config, written, provenance, warnings: sortProblems(warnings, order) };
}

function inspectRoutes({ routes }: Config, nowMs: number): { problems: Finding[]; warnings: Finding[] } {
  const problems: Finding[] = [];
  const warnings: Finding[] = [];
  for (const [i, { tls }] of routes.entries()) {
    if (tls === null) continue;
    const finding = ({ key, file, problem }: Pick<TlsFileError, 'key' | 'file' | 'problem'>): Finding => ({
      path: ['routes', i, 'tls', key],
      message: `names the file ${file}, which ${problem}`,
    });
    try {
      warnings.push(...inspectTlsFiles(tls, nowMs).map(finding));
    } catch (error) {
      if (!(error instanceof TlsFileError)) throw error;
      problems.push(finding(error));
    }
  }
  return { problems, warnings };
}

/** Nobody reads the authority where no route intercepts. */
function inspectAuthority({ intercept: { ca }, routes }: Config, nowMs: number): Finding[] {
  if (ca === null || !routes.some(({ https }) => https === 'intercept')) return [];
  try {
    readAuthorityFiles({ certificateFile: ca.cert, keyFile: ca.key }, nowMs);
    return [];
  } catch (error) {
    // It begins with the name of the file.
    const { message } = error as Error;
    const key = message.startsWith(`${ca.key}: `) ? 'key' : 'cert';
    return [{ path: ['intercept', 'ca', key], message: `names ${message}` }];
  }
}
