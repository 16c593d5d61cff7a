/**
 * The kinds of value that a key can have, each as a valibot schema which knows its default, its bounds and
 * what to say when the value is wrong. Every message completes the sentence that begins with the key's path:
 * "policy.retry.attempts" + "must be a whole number from 1 to 10".
 *
 * A message never holds the value itself: whoever reports it knows whether the value is a secret.
 */
import * as v from 'valibot';
import {
  describeDuration,
  describeRatio,
  describeSize,
  parseDuration,
  parseRatio,
  parseSize,
} from './units.ts';

/** What a description carries for the machines that read the schema. */
export interface FieldMetadata {
  /** What may be written, in words: "a whole number from 1 to 10". */
  readonly expected: string;
  /** The words to choose from, for a did-you-mean. */
  readonly choices?: readonly string[];
  /** Never shown, neither in messages nor to an operator. */
  readonly secret?: boolean;
  /** It can hold nothing but a time, a size, a share or one of some words: wherever it is from, it may be shown. */
  readonly closed?: boolean;
  /** The same as JSON Schema, as far as that can say it. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** A text which `parse` turns into a value; null is refused. */
export function text<T>(
  description: string,
  expected: string,
  parse: (text: string) => T | null,
  extra: Partial<FieldMetadata> = {},
) {
  const message = `must be ${expected}`;
  return v.pipe(
    v.string(message),
    v.description(description),
    v.metadata({ expected, json: { type: 'string' }, ...extra }),
    v.rawTransform<string, T>(({ dataset, addIssue, NEVER }) => {
      const value = parse(dataset.value);
      if (value !== null) return value;
      addIssue({ message });
      return NEVER;
    }),
  );
}

const within = (value: number | null, min: number, max: number): number | null =>
  value !== null && value >= min && value <= max ? value : null;

/** A number and one of some units. */
const quantity = (units: string): Partial<FieldMetadata> => ({
  closed: true,
  json: { type: 'string', pattern: `^[0-9]+(?:\\.[0-9]+)?(?:${units})$` },
});

/** Milliseconds. The bounds are in milliseconds too. */
export const duration = (description: string, minMs: number, maxMs: number) =>
  text(
    description,
    describeDuration(minMs, maxMs),
    (written) => within(parseDuration(written), minMs, maxMs),
    quantity('ms|s|m|h'),
  );

/** Bytes. The bounds are in bytes too. */
export const size = (description: string, minBytes: number, maxBytes: number) =>
  text(
    description,
    describeSize(minBytes, maxBytes),
    (written) => within(parseSize(written), minBytes, maxBytes),
    quantity('B|KiB|MiB|GiB'),
  );

/** A share, where 0.2 is 20 %. `minAllowed`: whether the lower bound itself may be written. */
export const ratio = (description: string, min: number, max: number, minAllowed: boolean) =>
  text(
    description,
    describeRatio(min, max, minAllowed),
    (written) => {
      const share = within(parseRatio(written), min, max);
      return share === min && !minAllowed ? null : share;
    },
    quantity('%'),
  );

export function integer(description: string, min: number, max: number) {
  const expected = `a whole number from ${min} to ${max}`;
  const message = `must be ${expected}`;
  return v.pipe(
    v.number(message),
    v.description(description),
    v.metadata({ expected, json: { type: 'integer', minimum: min, maximum: max } }),
    v.check((value) => Number.isSafeInteger(value) && value >= min && value <= max, message),
  );
}

export function decimal(description: string, min: number, max: number) {
  const expected = `a number from ${min} to ${max}`;
  const message = `must be ${expected}`;
  return v.pipe(
    v.number(message),
    v.description(description),
    v.metadata({ expected, json: { type: 'number', minimum: min, maximum: max } }),
    v.check((value) => value >= min && value <= max, message),
  );
}

export function flag(description: string) {
  const expected = 'true or false';
  return v.pipe(
    v.boolean(`must be ${expected}`),
    v.description(description),
    v.metadata({ expected, json: { type: 'boolean' } }),
  );
}

export function choice<const T extends readonly string[]>(description: string, choices: T) {
  const expected = choices.length === 2 ? choices.join(' or ') : `one of ${choices.join(', ')}`;
  return v.pipe(
    v.picklist(choices, `must be ${expected}`),
    v.description(description),
    v.metadata({ expected, choices, closed: true, json: { enum: choices } }),
  );
}

/** More than a person keeps in order. */
export const LIST_MAX = 1000;

/** A list that may be empty. */
export function list<const S extends v.GenericSchema>(description: string, item: S) {
  const expected = `a list of at most ${LIST_MAX} items`;
  return v.pipe(
    v.array(item, 'must be a list'),
    v.description(description),
    v.metadata({ expected }),
    v.check((items) => items.length <= LIST_MAX, `must be ${expected}`),
  );
}

/** A mapping whose keys are all known. */
export const section = <const E extends v.ObjectEntries>(description: string, entries: E) =>
  v.pipe(v.strictObject(entries), v.description(description));

/** A text that stays as it is. */
export const keep =
  (test: (text: string) => boolean) =>
  (written: string): string | null =>
    test(written) ? written : null;
