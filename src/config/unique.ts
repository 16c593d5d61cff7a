/**
 * A list of which no two items may have the same text under a key: every item that has what an earlier one has is
 * reported, at the place of its key.
 */
import * as v from 'valibot';

/** `list` is how the list is called in messages. */
export const unique = <T extends readonly object[]>(list: string, key: Extract<keyof T[number], string>) =>
  v.rawCheck<T>(({ dataset, addIssue }) => {
    const items = dataset.value as readonly ({ readonly [name: string]: unknown } | undefined)[];
    if (!Array.isArray(items)) return;
    const known = new Map<string, number>();
    for (const [i, item] of items.entries()) {
      const value: unknown = item?.[key];
      if (typeof value !== 'string') continue;
      const first = known.get(value);
      if (first === undefined) {
        known.set(value, i);
        continue;
      }
      const path: [v.ArrayPathItem, v.ObjectPathItem] = [
        { type: 'array', origin: 'value', input: items, key: i, value: item },
        { type: 'object', origin: 'value', input: { ...item }, key, value },
      ];
      addIssue({ message: `must be unique, and ${list}[${first}] has the same`, path });
    }
  });
