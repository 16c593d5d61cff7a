/**
 * Which header fields the configuration may name: names are tokens, values fit on one line, and the fields
 * that frame a message or belong to one connection are the sidecar's own.
 */

/** RFC 9110, section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;

/** RFC 9110, section 5.5: visible characters, space, tab and obs-text; so no CR, LF or NUL. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]{0,8192}$/;

/** RFC 9110, section 7.6.1, and RFC 9112, section 6: editing one of these would break a message. */
const FRAMING = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'keep-alive',
  'via',
  'expect',
]);

export const isToken = (text: string): boolean => TOKEN.test(text);

export const isFieldValue = (text: string): boolean => VALUE.test(text);

/** Whether a field frames messages or belongs to one connection; any case. */
export function isFraming(name: string): boolean {
  const lower = name.toLowerCase();
  return FRAMING.has(lower) || lower.startsWith('proxy-');
}
