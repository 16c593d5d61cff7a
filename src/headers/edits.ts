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
  for (const name of edits.remove) removeFrom(list, name, 0);
  for (const [name, value] of edits.set) {
    const lower = name.toLowerCase();
    const at = indexOf(list, lower);
    if (at === -1) list.push(name, value);
    else {
      list[at] = name;
      list[at + 1] = value;
      removeFrom(list, lower, at + 2);
    }
  }
  return list;
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
