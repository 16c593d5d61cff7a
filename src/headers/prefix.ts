/**
 * From a prefix of the sidecar's own paths to a path of the origin: `/fraud/v1/score` is `/v1/score` of the
 * route whose prefix is `/fraud`, behind the base path of its origin.
 *
 * The longest prefix that ends at a segment wins. Everything is byte for byte: no dot segment is resolved
 * and no escape decoded, neither to find the prefix nor in what goes on. So it is guaranteed that the path
 * begins with the base path, and not that it stays beneath it: `/fraud/../x` is `/base/../x`, and the
 * origin decides what that is. A prefix chooses an origin; it keeps nobody out of one. It knows no
 * configuration and no routes: what a prefix stands for is a value that is handed in.
 */

export interface PrefixEntry<V> {
  /** `/fraud`; `/` is every path. A slash at the end says nothing. */
  readonly prefix: string;
  /** Of the origin: `/base`, or `/` or '' for none. A slash at the end says nothing. */
  readonly basePath: string;
  readonly value: V;
}

export interface PrefixMatch<V> {
  readonly value: V;
  /** For the origin, with the query. */
  readonly path: string;
}

interface Known<V> {
  readonly basePath: string;
  readonly value: V;
}

export class PrefixTable<V> {
  readonly #known = new Map<string, Known<V>>();
  /** How long prefixes are, the longest first: one look-up for each that ends at a segment. */
  readonly #lengths: readonly number[];

  /** Of two entries with one prefix the first counts, as with routes. */
  constructor(entries: Iterable<PrefixEntry<V>>) {
    const lengths = new Set<number>();
    for (const { prefix, basePath, value } of entries) {
      const key = withoutFinalSlash(prefix);
      if (this.#known.has(key)) continue;
      this.#known.set(key, { basePath: withoutFinalSlash(basePath), value });
      lengths.add(key.length);
    }
    this.#lengths = [...lengths].sort((a, b) => b - a);
  }

  /** `target` is in origin form (RFC 9112, section 3.2.1); anything else has no prefix. */
  find(target: string): PrefixMatch<V> | null {
    if (target.charCodeAt(0) !== SLASH) return null;
    for (const length of this.#lengths) {
      if (!endsSegment(target, length)) continue;
      const known = this.#known.get(target.slice(0, length));
      if (known === undefined) continue;
      const path = known.basePath + target.slice(length);
      // An origin without a base path has no emptier path than its root (RFC 9110, section 4.2.3).
      return { value: known.value, path: path.charCodeAt(0) === SLASH ? path : `/${path}` };
    }
    return null;
  }
}

const SLASH = 0x2f;

/** Whether a segment of the path, or all of it, ends in front of this place. */
function endsSegment(path: string, at: number): boolean {
  if (at >= path.length) return at === path.length;
  const code = path.charCodeAt(at);
  return code === SLASH || code === 0x3f /* ? */;
}

/** The form in which prefixes and base paths are put together: what follows brings its own slash. */
export function withoutFinalSlash(path: string): string {
  let end = path.length;
  while (end > 0 && path.charCodeAt(end - 1) === SLASH) end--;
  return end === path.length ? path : path.slice(0, end);
}
