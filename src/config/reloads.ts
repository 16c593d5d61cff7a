/**
 * Reloads, one at a time: when (a signal, an operator, a change of the files), what came of each, and what to tell.
 *
 * Rules: all or nothing, for whoever applies a configuration does so whole or throws; who asks while a reload is under
 * way gets one of their own after it, for the files may have changed since it began, and whoever else asks meanwhile
 * shares that. A failure changes nothing and is told with every problem, once; while files are watched it is tried again now
 * and then, for what was missing may be a file that nobody had named before. It knows no listener, no log and no metrics.
 */
import { type Digests, FileWatch } from './file-watch.ts';
import { ConfigError, formatProblem } from './problem.ts';
import type { ConfigSource, Loaded } from './source.ts';

/** After a failure, milliseconds. */
const AGAIN_MS = 5_000;

export type ReloadCause = 'signal' | 'request' | 'file';

/** What a configuration that counts now came to. */
export interface Applied {
  /** Keys, by path. */
  readonly changed: readonly string[];
  /** Those that count after a restart only. */
  readonly restart: readonly string[];
}

export type ReloadResult =
  | (Applied & { readonly ok: true; readonly warnings: readonly string[] })
  | { readonly ok: false; readonly problems: readonly string[] };

export interface ReloadOptions {
  readonly source: ConfigSource;
  /** Throws, or rejects, with what is wrong; then nothing has changed. */
  readonly apply: (loaded: Loaded) => Promise<Applied>;
  /** Of a result, once. */
  readonly told: (cause: ReloadCause, result: ReloadResult) => void;
  /** What an error that is no ConfigError says. */
  readonly problemsOf: (error: unknown) => readonly string[];
}

export class Reloads {
  readonly #options: ReloadOptions;
  readonly #watch: FileWatch;
  #underway: Promise<ReloadResult> | null = null;
  #next: Promise<ReloadResult> | null = null;
  /** Of the last one; null: it went well. */
  #problem: string | null = null;
  #watching = false;
  #again: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: ReloadOptions) {
    this.#options = options;
    this.#watch = new FileWatch(() => void this.reload('file'));
  }

  /** What is wrong with the files as they are; null: they are what runs. */
  get problem(): string | null {
    return this.#problem;
  }

  /** `intervalMs` null: nobody looks. */
  follow(digests: Digests, intervalMs: number | null): void {
    if (this.#closed) return;
    this.#watching = intervalMs !== null;
    this.#watch.follow(digests, intervalMs);
  }

  close(): void {
    this.#closed = true;
    if (this.#again !== null) clearTimeout(this.#again);
    this.#watch.close();
  }

  reload(cause: ReloadCause): Promise<ReloadResult> {
    if (this.#underway === null) {
      this.#underway = this.#once(cause).finally(() => {
        this.#underway = null;
      });
      return this.#underway;
    }
    this.#next ??= this.#underway.then(() => {
      this.#next = null;
      return this.reload(cause);
    });
    return this.#next;
  }

  async #once(cause: ReloadCause): Promise<ReloadResult> {
    if (this.#again !== null) clearTimeout(this.#again);
    this.#again = null;
    const seen = this.#watch.current();
    const result = await this.#try();
    const before = this.#problem;
    this.#problem = result.ok ? null : result.problems.join('\n');
    if (!result.ok) {
      this.#watch.acknowledge(seen);
      if (this.#watching && !this.#closed)
        this.#again = setTimeout(() => void this.reload('file'), AGAIN_MS).unref();
    }
    // Nobody has asked, and it is still as it was.
    const isKnown = cause === 'file' && before !== null && before === this.#problem;
    if (!isKnown) this.#options.told(cause, result);
    return result;
  }

  async #try(): Promise<ReloadResult> {
    const { source, apply, problemsOf } = this.#options;
    try {
      const loaded = source.load();
      const applied = await apply(loaded);
      return { ok: true, ...applied, warnings: loaded.warnings.map(formatProblem) };
    } catch (error) {
      if (error instanceof ConfigError) return { ok: false, problems: error.problems.map(formatProblem) };
      return { ok: false, problems: problemsOf(error) };
    }
  }
}
