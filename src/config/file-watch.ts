/**
 * Files that are looked at again and again, by content, for a file can be exchanged in too many ways to be told of
 * each: an editor renames, Kubernetes swaps a symlink two directories up.
 *
 * Rules: whoever is told is told once of each state, and not before a second look, a moment later, has found the
 * same; a file that is not there is a state like any other. Contents are remembered as digests. It knows nothing of
 * what the files mean.
 */
import { createHash } from 'node:crypto';
import { constants, readFileSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Between the look that finds a change and the one that confirms it, milliseconds. */
const SETTLE_MS = 100;

/** Of a file; what is larger is no configuration. */
const LIMIT = 1_048_576;

/** By path. */
export type Digests = ReadonlyMap<string, string>;

/** What the files hold now, for whoever is about to read them. */
export function digestsOf(files: Iterable<string>): Map<string, string> {
  const digests = new Map<string, string>();
  for (const file of files) digests.set(file, digestSync(file));
  return digests;
}

export class FileWatch {
  readonly #settle: () => Promise<unknown>;
  readonly #changed: () => void;
  #seen: Digests = new Map();
  #intervalMs: number | null = null;
  #timer: NodeJS.Timeout | null = null;
  #looking = false;
  #closed = false;

  /**
   * @param changed somebody should read the files
   * @param settle waits between the look that finds a change and the one that confirms it
   */
  constructor(
    changed: () => void,
    settle: () => Promise<unknown> = () => sleep(SETTLE_MS, undefined, { ref: false }),
  ) {
    this.#changed = changed;
    this.#settle = settle;
  }

  /** From now on, against what was there when they were read. `intervalMs` null: nobody looks. */
  follow(seen: Digests, intervalMs: number | null): void {
    this.#seen = seen;
    this.#intervalMs = intervalMs;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (!this.#looking) this.#later();
  }

  /** What the files hold now, for whoever is about to read them without this watch's asking. */
  current(): Digests {
    return digestsOf(this.#seen.keys());
  }

  /** That was read, whatever came of it. */
  acknowledge(seen: Digests): void {
    this.#seen = seen;
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #later(): void {
    if (this.#closed || this.#intervalMs === null || this.#seen.size === 0) return;
    this.#timer = setTimeout(() => void this.look(), this.#intervalMs).unref();
  }

  /** Once, now; and again after the interval. */
  async look(): Promise<void> {
    this.#looking = true;
    this.#timer = null;
    try {
      await this.#look();
    } finally {
      this.#looking = false;
      if (this.#timer === null) this.#later();
    }
  }

  async #look(): Promise<void> {
    const seen = this.#seen;
    const first = await digestsLater(seen.keys());
    if (isSame(first, seen)) return;
    await this.#settle();
    const second = await digestsLater(seen.keys());
    // Somebody has read the files meanwhile; or they are still being written, and the next look will tell.
    if (this.#closed || seen !== this.#seen || this.#intervalMs === null || !isSame(first, second)) return;
    this.#seen = second;
    if (!isSame(second, seen)) this.#changed();
  }
}

function isSame(a: Digests, b: Digests): boolean {
  for (const [file, digest] of a) if (b.get(file) !== digest) return false;
  return a.size === b.size;
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64');

const failed = (error: unknown): string => `cannot be read: ${(error as NodeJS.ErrnoException).code ?? ''}`;

const TOO_LARGE = 'too large';

function digestSync(file: string): string {
  try {
    const stats = statSync(file);
    if (!stats.isFile()) return 'no file';
    return stats.size > LIMIT ? TOO_LARGE : digest(readFileSync(file));
  } catch (error) {
    return failed(error);
  }
}

async function digestsLater(files: Iterable<string>): Promise<Map<string, string>> {
  const digests = new Map<string, string>();
  for (const file of files) digests.set(file, await digestLater(file));
  return digests;
}

async function digestLater(path: string): Promise<string> {
  let file: FileHandle | null = null;
  try {
    // A pipe without a writer would keep a thread of the pool for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (!stats.isFile()) return 'no file';
    return stats.size > LIMIT ? TOO_LARGE : digest(await file.readFile());
  } catch (error) {
    return failed(error);
  } finally {
    await file?.close().catch(() => {});
  }
}
