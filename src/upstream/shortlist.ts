/**
 * The least of many by a measure that changes all the time, without a look at all of them each time: a look at all
 * makes a list of the least, from which several can be taken.
 *
 * Rules: what is taken was the least of all at the last look, and is what it was then; whose measure has changed is
 * ordered anew, or is no longer on the list. It knows nothing of what it orders.
 */

/** The list is that part of all. */
const PART = 8;

interface Entry<T> {
  readonly one: T;
  readonly measure: number;
}

export class Shortlist<T> {
  readonly #all: () => Iterable<T>;
  readonly #measure: (one: T) => number;
  /** The least last. */
  #list: Entry<T>[] = [];
  /** The greatest measure on the list at the last look. */
  #most = 0;

  /** `measure` Infinity: not to be had. */
  constructor(all: () => Iterable<T>, measure: (one: T) => number) {
    this.#all = all;
    this.#measure = measure;
  }

  /** Null: none is to be had. It stays on the list for as long as it is to be had. */
  least(): T | null {
    const list = this.#list;
    for (let last = list.at(-1); last !== undefined; last = list.at(-1)) {
      const measure = this.#measure(last.one);
      if (measure === last.measure) return last.one;
      list.pop();
      if (measure <= this.#most) this.#insert({ one: last.one, measure });
    }
    this.#look();
    return this.#list.at(-1)?.one ?? null;
  }

  #look(): void {
    const found: Entry<T>[] = [];
    let count = 0;
    for (const one of this.#all()) {
      count++;
      const measure = this.#measure(one);
      if (measure < Number.POSITIVE_INFINITY) found.push({ one, measure });
    }
    found.sort((a, b) => a.measure - b.measure);
    found.length = Math.min(found.length, Math.max(1, Math.floor(count / PART)));
    this.#most = found.at(-1)?.measure ?? 0;
    this.#list = found.reverse();
  }

  #insert(entry: Entry<T>): void {
    const list = this.#list;
    let at = list.length;
    while (at > 0 && (list[at - 1] as Entry<T>).measure < entry.measure) at--;
    list.splice(at, 0, entry);
  }
}
