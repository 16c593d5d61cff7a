/**
 * The paths of a route on which access depends: a denial takes what matches by any reading of the path, an
 * exception to one takes only what matches as it came and by every reading.
 *
 * Rules: a plain path is compared as it is, without allocation; the readings of another are worked out once for
 * all routes. A denial does not look at case, nor at a slash at the end of an exact path. Pure.
 */
import type { PathText } from './path-lookup.ts';
import { isPlainPath, readingsOf, withoutQuery } from './path-readings.ts';

/** What has been found out about a path; kept for the next route that asks for the same. */
export class PathLook {
  #path = '';
  #plain = true;
  #readings: readonly string[] | null = null;
  #folded: readonly string[] | null = null;

  at(path: string): this {
    if (path === this.#path) return this;
    this.#path = path;
    this.#plain = isPlainPath(path);
    if (this.#plain) return this;
    this.#readings = readingsOf(path);
    this.#folded = this.#readings && [...new Set(this.#readings.map((one) => one.toLowerCase()))];
    return this;
  }

  get path(): string {
    return this.#path;
  }

  get plain(): boolean {
    return this.#plain;
  }

  /** Null: nobody can tell. Only of a path that is not plain. */
  get readings(): readonly string[] | null {
    return this.#readings;
  }

  /** The same, in lower case. */
  get folded(): readonly string[] | null {
    return this.#folded;
  }
}

interface Pattern {
  /** Without its `*`. */
  readonly written: string;
  readonly open: boolean;
  /** What it may be written as. */
  readonly readings: readonly string[];
  /** The same, in lower case. */
  readonly folded: readonly string[];
}

export class PathGuard {
  readonly #denies: boolean;
  readonly #patterns: readonly Pattern[];

  constructor(paths: readonly string[], denies: boolean) {
    this.#denies = denies;
    this.#patterns = paths.map(patternOf);
  }

  /** Of a denial: what a reading in lower case has to begin with, or to be but for a slash; null: it is none. */
  get denied(): readonly PathText[] | null {
    if (!this.#denies) return null;
    return this.#patterns.flatMap(({ folded, open }) => folded.map((text) => ({ text, open })));
  }

  takes(look: PathLook): boolean {
    return this.#denies ? this.#denied(look) : this.#allowed(look);
  }

  #denied(look: PathLook): boolean {
    const { path, plain, folded } = look;
    // Who makes a path that cannot be read is taken for the worst.
    if (!plain && folded === null) return true;
    for (const { folded: patterns, open } of this.#patterns) {
      for (const pattern of patterns) {
        if (plain) {
          if (begins(path, pattern, open, true)) return true;
        } else if (folded?.some((reading) => begins(reading, pattern, open, true))) return true;
      }
    }
    return false;
  }

  #allowed(look: PathLook): boolean {
    const { path, plain, readings } = look;
    if (!this.#patterns.some(({ written, open }) => begins(path, written, open, false))) return false;
    if (plain) return true;
    return readings?.every((reading) => this.#patterns.some((pattern) => holds(pattern, reading))) ?? false;
  }
}

const holds = ({ readings, open }: Pattern, reading: string): boolean =>
  readings.some((pattern) => (open ? reading.startsWith(pattern) : reading === pattern));

/** Byte for byte. The query of the path does not count; `loose`: nor does a slash at the end of an exact path. */
function begins(path: string, pattern: string, open: boolean, loose: boolean): boolean {
  if (!path.startsWith(pattern)) return false;
  if (open) return true;
  let end = pattern.length;
  if (loose && path.charCodeAt(end) === 0x2f /* / */) end++;
  return end === path.length || path.charCodeAt(end) === 0x3f /* ? */;
}

function patternOf(path: string): Pattern {
  const open = path.endsWith('*');
  const written = open ? path.slice(0, -1) : path;
  // Where a pattern ends within a segment, that may go on: `/.*` is not the root.
  const whole = open ? written.lastIndexOf('/') + 1 : written.length;
  const tail = withoutQuery(written.slice(whole));
  const readings = new Set([written]);
  for (const head of readingsOf(written.slice(0, whole)) ?? [])
    for (const end of new Set([tail, ...(tail === '' ? [] : (readingsOf(tail) ?? []))]))
      readings.add(head + end);
  return {
    written,
    open,
    readings: [...readings],
    folded: [...new Set([...readings].map((it) => it.toLowerCase()))],
  };
}
