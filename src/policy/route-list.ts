/**
 * Routes about one host, or about any, in the order of the configuration: the first that takes a request is found
 * without a look at each, where paths are what tells many of them apart.
 *
 * Rules: what is found is what a walk over all of them would find, for whoever asks decides of each route that could
 * be it. Where access depends on a path every reading of it is looked up (`path-guard.ts`). Pure.
 */
import type { PathGuard, PathLook } from './path-guard.ts';
import { PathLookup } from './path-lookup.ts';
import type { Route } from './policy.ts';

/** So many routes are looked at one by one. */
const FEW = 16;

/** A look-up costs about as much as so many routes that have another path. */
const LOOKUP = 4;

/** Decides whether a route takes what is asked for. */
export interface Asker {
  takes(route: number): boolean;
}

interface Index {
  /** By what was written: of a path as it came. */
  readonly written: PathLookup;
  /** By what denials compare with: of every reading of a path. */
  readonly denied: PathLookup;
  /** All that `denied` knows, for a path that nobody can read. */
  readonly denials: readonly number[];
  /** Without a path, or with one that is not indexed. */
  readonly others: readonly number[];
}

export class RouteList {
  /** Ascending. */
  readonly #numbers: readonly number[];
  readonly #index: Index | null;
  readonly #lists: (readonly number[])[] = [];

  constructor(numbers: readonly number[], routes: readonly Route[], guards: ReadonlyMap<Route, PathGuard>) {
    this.#numbers = numbers;
    this.#index = numbers.length > FEW ? indexOf(numbers, routes, guards) : null;
  }

  /** The first that is smaller than `best` and is taken; else `best`. `look` is at the path. */
  first(best: number, path: string, look: PathLook, asker: Asker): number {
    if (this.#index === null || path === '') return firstOf(this.#numbers, best, asker);
    const { written, denied, denials, others } = this.#index;
    const lists = this.#lists;
    lists.push(others);
    written.find(path, lists);
    if (denials.length > 0) {
      const { plain, folded } = look.at(path);
      if (plain) denied.find(path, lists);
      else if (folded === null) lists.push(denials);
      else for (const reading of folded) denied.find(reading, lists);
    }
    let first = best;
    for (const list of lists) first = firstOf(list, first, asker);
    lists.length = 0;
    return first;
  }
}

function firstOf(numbers: readonly number[], best: number, asker: Asker): number {
  for (const i of numbers) {
    if (i >= best) break;
    if (asker.takes(i)) return i;
  }
  return best;
}

/** Null: it would find nothing any sooner. */
function indexOf(
  numbers: readonly number[],
  routes: readonly Route[],
  guards: ReadonlyMap<Route, PathGuard>,
): Index | null {
  const written = new PathLookup();
  const denied = new PathLookup();
  const denials: number[] = [];
  const others: number[] = [];
  for (const i of numbers) {
    const route = routes[i] as Route;
    const { paths } = route.match;
    const folded = guards.get(route)?.denied ?? null;
    const texts = folded ?? paths.map(textOf);
    if (texts.length === 0 || texts.some(({ text }) => text.includes('?'))) {
      others.push(i);
      continue;
    }
    if (folded !== null) denials.push(i);
    for (const text of texts) {
      (folded === null ? written : denied).add(text, i);
      // A slash at the end makes no difference to a denial.
      if (folded !== null && !text.open) denied.add({ text: `${text.text}/`, open: false }, i);
    }
  }
  const indexed = numbers.length - others.length;
  return indexed > LOOKUP * (written.cost + denied.cost) ? { written, denied, denials, others } : null;
}

const textOf = (path: string) =>
  path.endsWith('*') ? { text: path.slice(0, -1), open: true } : { text: path, open: false };
