/**
 * Which of many routes may be about a path: those that have a pattern that the path begins with, or is.
 *
 * Rules: it leaves out no route that takes the path, and may name some that do not, so whoever asks looks at each; an
 * answer costs a look-up for each length that patterns have, and not one for each pattern. A query does not count;
 * a pattern with a `?` in it is not for here. Pure.
 */

/** What a path has to begin with; where it is not `open`, what it has to be. */
export interface PathText {
  readonly text: string;
  readonly open: boolean;
}

export class PathLookup {
  /** Ascending numbers of routes. */
  readonly #exact = new Map<string, number[]>();
  readonly #open = new Map<string, number[]>();
  #lengths: readonly number[] = [];

  /** Numbers come in ascending order. */
  add({ text, open }: PathText, route: number): void {
    const index = open ? this.#open : this.#exact;
    const numbers = index.get(text);
    if (numbers === undefined) index.set(text, [route]);
    else if (numbers.at(-1) !== route) numbers.push(route);
    if (open && !this.#lengths.includes(text.length))
      this.#lengths = [...this.#lengths, text.length].sort((a, b) => a - b);
  }

  /** How many look-ups an answer takes. */
  get cost(): number {
    return this.#lengths.length + 1;
  }

  /** Adds the lists of the routes that may be about the path, each ascending. */
  find(path: string, lists: (readonly number[])[]): void {
    const query = path.indexOf('?');
    const bare = query < 0 ? path : path.slice(0, query);
    const exact = this.#exact.get(bare);
    if (exact !== undefined) lists.push(exact);
    for (const length of this.#lengths) {
      if (length > bare.length) return;
      const open = this.#open.get(bare.slice(0, length));
      if (open !== undefined) lists.push(open);
    }
  }
}
