/** `outrigger env`: the environment of the application, for `eval "$(outrigger env)"`. It starts nothing. */

import { existsSync } from 'node:fs';
import { type LoadOptions, loadConfig } from '../config/load.ts';
import { applicationEnvironment, bundlePathOf } from './application-environment.ts';
import { DONE, INVALID } from './exit-code.ts';
import { type Output, reportInvalid } from './invalid-configuration.ts';

/** For a POSIX shell: nothing inside single quotes means anything but themselves. */
const quoted = (value: string): string => `'${value.replaceAll("'", "'\\''")}'`;

/** @returns the exit code, 0 or 2 */
export function printEnv(
  files: readonly string[],
  env: LoadOptions['env'],
  out: Output,
  err: Output,
  set: readonly string[] = [],
): number {
  try {
    // Not inspected: the application's user need not be able to read the keys that it names.
    const { config } = loadConfig({ files, env, set });
    if (config.listen.proxy.port === 0) {
      err.write('outrigger: listen.proxy takes any free port (0), which nobody can know before the start\n');
      return INVALID;
    }
    const lines = applicationEnvironment(config, env).map(
      ([name, value]) => `export ${name}=${quoted(value)}\n`,
    );
    out.write(lines.join(''));
    const bundle = bundlePathOf(config);
    if (bundle !== null && !existsSync(bundle))
      err.write(`outrigger: ${bundle} is not there yet: the sidecar writes it when it starts\n`);
    return DONE;
  } catch (error) {
    return reportInvalid(error, err);
  }
}
