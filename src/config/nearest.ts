/**
 * The did-you-mean: the word an operator most likely meant, by Damerau-Levenshtein distance (a letter
 * left out, doubled, exchanged, or two letters swapped count as one mistake each).
 *
 * It knows no keys of its own; whoever has a list of allowed words asks.
 */

/** Edits between two words; words of very different length are simply `Infinity` apart. */
function distance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return Infinity;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (beforeLast[j - 2] ?? 0) + 1);
      }
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? Infinity;
}

/**
 * The nearest of the allowed words, or null where none is near: two mistakes in a word of five
 * letters, and so on in proportion, but at least one. Case does not count, so `Connections` is near `connections`.
 */
export function nearest(word: string, allowed: Iterable<string>): string | null {
  const limit = Math.max(1, Math.round(Math.min(word.length, 64) * 0.4));
  let best: string | null = null;
  let bestDistance = limit + 1;
  for (const candidate of allowed) {
    const apart = distance(word.toLowerCase(), candidate.toLowerCase(), limit);
    if (apart < bestDistance) {
      best = candidate;
      bestDistance = apart;
    }
  }
  return best;
}
