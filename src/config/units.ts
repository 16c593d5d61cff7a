/**
 * Durations, sizes and ratios as operators write them: `250ms`, `64KiB`, `20%`. What is read is exact:
 * a value that is not a whole number of milliseconds or bytes is refused instead of rounded.
 *
 * A parser returns null for what is not a value at all; the bounds of a key are the schema's business.
 * It knows no YAML and no key.
 */

/** In milliseconds. */
export const HOUR = 3_600_000;
/** The longest duration there is, in milliseconds; well within what a timer can hold. */
export const DAY = 24 * HOUR;

/** In bytes. */
export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;

const DURATION_UNITS = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', HOUR],
]);

const SIZE_UNITS = new Map([
  ['B', 1],
  ['KiB', KIB],
  ['MiB', MIB],
  ['GiB', GIB],
]);

/** At most 16 digits before and 9 after the point: more than any bound needs. */
const QUANTITY = /^(\d{1,16})(?:\.(\d{1,9}))?([A-Za-z]+)$/;

/** A decimal number times a unit, exactly; null unless it is whole and a safe integer. */
function parseQuantity(text: string, units: ReadonlyMap<string, number>): number | null {
  const [, whole, fraction = '', unit = ''] = QUANTITY.exec(text) ?? [];
  const factor = units.get(unit);
  if (whole === undefined || factor === undefined) return null;
  const scaled = BigInt(whole + fraction) * BigInt(factor);
  const divisor = 10n ** BigInt(fraction.length);
  if (scaled % divisor !== 0n) return null;
  const value = Number(scaled / divisor);
  return Number.isSafeInteger(value) ? value : null;
}

/** The largest unit that leaves a whole number. */
function formatQuantity(value: number, units: ReadonlyMap<string, number>, smallest: string): string {
  let best = `${value}${smallest}`;
  if (value === 0) return best;
  for (const [unit, factor] of units) if (value % factor === 0) best = `${value / factor}${unit}`;
  return best;
}

/** Milliseconds, 0 to 24 h; null where the text is not such a duration. */
export function parseDuration(text: string): number | null {
  const ms = parseQuantity(text, DURATION_UNITS);
  return ms !== null && ms <= DAY ? ms : null;
}

/** @param ms whole milliseconds, 0 to 24 h */
export function formatDuration(ms: number): string {
  return formatQuantity(ms, DURATION_UNITS, 'ms');
}

/** Bytes, a safe integer; null where the text is not a size. */
export function parseSize(text: string): number | null {
  return parseQuantity(text, SIZE_UNITS);
}

/** @param bytes a safe integer, not negative */
export function formatSize(bytes: number): string {
  return formatQuantity(bytes, SIZE_UNITS, 'B');
}

/** A share, where `20%` is 0.2; null where the text is not a percentage. At most 9 digits before and after the point. */
export function parseRatio(text: string): number | null {
  const [, percent] = /^(\d{1,9}(?:\.\d{1,9})?)%$/.exec(text) ?? [];
  // Not divided: the reading of a decimal rounds once, so 0.7% is 0.007.
  return percent === undefined ? null : Number(`${percent}e-2`);
}

/** @param ratio not negative; written with at most 12 significant digits */
export function formatRatio(ratio: number): string {
  return `${Number((ratio * 100).toPrecision(12))}%`;
}

/** What to write instead, for messages: "a duration from 1ms to 24h, such as 250ms, 2s, 5m or 1h". */
export function describeDuration(minMs: number, maxMs: number): string {
  return `a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}, such as 250ms, 2s, 5m or 1h`;
}

export function describeSize(minBytes: number, maxBytes: number): string {
  return `a size from ${formatSize(minBytes)} to ${formatSize(maxBytes)}, such as 512B, 64KiB, 16MiB or 1GiB`;
}

export function describeRatio(min: number, max: number, minAllowed: boolean): string {
  return `a percentage ${minAllowed ? `from ${formatRatio(min)}` : `above ${formatRatio(min)}`} to ${formatRatio(max)}, such as 20%`;
}
