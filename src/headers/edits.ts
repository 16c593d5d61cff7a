/**
 * The edits that a policy makes to a header list: first what is removed, then what is set, each in place.
 * They come last, so a policy has the final word over what the sidecar itself adds. It knows nothing of
 * which fields are wise to edit: the configuration refuses framing and hop-by-hop names before an exchange
 * is there.
 */
import type { HeaderEdits } from '../policy/policy.ts';
import { isNamed } from './field-names.ts';

/**
 * Returns the same list. Setting replaces every line of the name with one, at the place of the first or at
 * the end.
 */
export function applyEdits(list: string[], edits: HeaderEdits): string[] {
  removeFields(list, edits.remove);
  for (const [name, value] of edits.set)
    setField(list, name, typeof value === 'string' ? value : value.value);
  return list;
}

/** Whether a field goes on as the caller sent it; lower case. */
export function leaves(edits: HeaderEdits, lower: string): boolean {
  return !edits.remove.includes(lower) && !edits.set.some(([name]) => isNamed(name, lower));
}

/**
 * Of what a caller sends behind its body, what says nothing of the fields that are settled in the head: some
 * origins put the two together. `credentials`: of the caller, which the route does not pass on; lower case.
 */
export function withoutSettled(
  trailers: readonly string[],
  edits: HeaderEdits,
  credentials: readonly string[],
): string[] {
  const kept = [...trailers];
  removeFields(kept, edits.remove);
  removeFields(kept, credentials);
  for (const [name] of edits.set) removeFrom(kept, name.toLowerCase(), 0);
  return kept;
}

/** One line of that name, at the place of the first or at the end. */
export function setField(list: string[], name: string, value: string): void {
  const lower = name.toLowerCase();
  const at = indexOf(list, lower);
  if (at === -1) list.push(name, value);
  else {
    list[at] = name;
    list[at + 1] = value;
    removeFrom(list, lower, at + 2);
  }
}

/** The first of these names that is there; lower case. */
export function findField(list: readonly string[], names: readonly string[]): string | null {
  for (const lower of names) if (indexOf(list, lower) !== -1) return lower;
  return null;
}

export function removeFields(list: string[], names: readonly string[]): void {
  for (const lower of names) removeFrom(list, lower, 0);
}

function indexOf(list: readonly string[], lower: string): number {
  for (let i = 0; i + 1 < list.length; i += 2) if (isNamed(list[i] as string, lower)) return i;
  return -1;
}

function removeFrom(list: string[], lower: string, from: number): void {
  let kept = from;
  for (let i = from; i + 1 < list.length; i += 2) {
    if (isNamed(list[i] as string, lower)) continue;
    list[kept] = list[i] as string;
    list[kept + 1] = list[i + 1] as string;
    kept += 2;
  }
  list.length = kept;
}
