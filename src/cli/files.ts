/**
 * The configuration as the command line names it: read at the start, and again whenever it is to be reloaded, from the
 * same files and the same environment.
 *
 * Rules: what the files hold is noted before they are read, so that a change in between is seen as one afterwards.
 */
import { digestsOf } from '../config/file-watch.ts';
import { configFiles, type LoadOptions } from '../config/load.ts';
import { type ConfigSource, contentFiles, type Loaded } from '../config/source.ts';
import { inspect } from './inspection.ts';

export class Files implements ConfigSource {
  readonly #options: LoadOptions;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  /** Throws a ConfigError with every problem. */
  load(): Loaded {
    const { files, env } = this.#options;
    const before = digestsOf(configFiles(files, env));
    const inspected = inspect(this.#options);
    const others = contentFiles(inspected.written).filter((file) => !before.has(file));
    return { ...inspected, digests: new Map([...before, ...digestsOf(others)]) };
  }
}
