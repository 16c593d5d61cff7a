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

/** What means something else to callers and origins; as the field of the request ID it would be replaced by one. */
// biome-ignore format: a group a line
const TAKEN = new Set([
  'authorization', 'cookie', 'set-cookie', 'www-authenticate', 'origin', 'referer', 'user-agent', 'idempotency-key',
  'accept', 'accept-encoding', 'accept-language', 'content-type', 'content-encoding', 'content-range', 'range', 'date',
  'location', 'retry-after', 'cache-control', 'etag', 'vary', 'age', 'max-forwards', 'forwarded', 'x-forwarded-for',
  'if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range', 'traceparent', 'tracestate',
]);

/** Whether a field is free to carry the request ID; any case. */
export function mayCarryRequestId(name: string): boolean {
  return isToken(name) && !isFraming(name) && !TAKEN.has(name.toLowerCase());
}

export const isToken = (text: string): boolean => TOKEN.test(text);

export const isFieldValue = (text: string): boolean => VALUE.test(text);

/** Whether a field frames messages or belongs to one connection; any case. */
export function isFraming(name: string): boolean {
  const lower = name.toLowerCase();
  return FRAMING.has(lower) || lower.startsWith('proxy-');
}
