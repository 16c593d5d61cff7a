/**
 * Configurations for the tests of this folder: texts become files in a directory of their own, which is gone
 * after the test.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LoadedConfig } from '../../../src/config/assembly.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { ConfigError, formatProblem } from '../../../src/config/problem.ts';

/** Runs with a fresh directory. */
export function inDirectory<T>(run: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-config-'));
  try {
    return run(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Loads texts as the files 0.yaml, 1.yaml and so on. */
export function loadTexts(
  texts: readonly (string | Buffer)[],
  env: Record<string, string> = {},
): LoadedConfig {
  return inDirectory((directory) => {
    const files = texts.map((text, i) => {
      const file = join(directory, `${i}.yaml`);
      writeFileSync(file, text);
      return file;
    });
    try {
      const { config, provenance, written } = loadConfig({ files, env });
      const short = [...provenance].map(
        ([path, source]) => [path, source.replace(`${directory}/`, '')] as const,
      );
      return { config, provenance: new Map(short), written };
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      throw new ConfigError(
        error.problems.map((problem) => ({ ...problem, file: problem.file.replace(`${directory}/`, '') })),
      );
    }
  });
}

/** The problems of texts, as they would be printed; empty: there are none. */
export function problemsOf(texts: readonly (string | Buffer)[], env: Record<string, string> = {}): string[] {
  try {
    loadTexts(texts, env);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(formatProblem);
  }
}
