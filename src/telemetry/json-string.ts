/**
 * A string of unknown origin as a JSON string that is safe in a log: plain ASCII, one line, bounded.
 *
 * Rules: nothing outside of printable ASCII leaves as it came, so no line separator, escape sequence or
 * broken UTF-16 reaches a terminal or a log reader; the value a JSON parser gives back is the input, cut
 * at the cap. It does not know what the strings mean.
 */

/** Printable ASCII that JSON need not escape. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;
const NOT_ASCII = /[\x7f-\uffff]/g;

const escapeUnit = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** The string in quotes, cut to `cap` UTF-16 units. */
export function jsonString(text: string, cap: number): string {
  const capped = text.length > cap ? text.slice(0, cap) : text;
  if (PLAIN.test(capped)) return `"${capped}"`;
  // A lone surrogate is no character, and some log readers refuse the whole line for it.
  return asciiJson(JSON.stringify(capped.toWellFormed()));
}

/** Finished JSON with everything outside of ASCII escaped; it means the same. */
export function asciiJson(json: string): string {
  return json.replace(NOT_ASCII, escapeUnit);
}
