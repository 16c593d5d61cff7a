/**
 * How long a body is: Content-Length and Transfer-Encoding, strictly. Anything that two hops could read
 * differently is invalid (RFC 9112, section 6.3 and section 11.2), so that no byte of one exchange becomes
 * part of another.
 */

export interface Framing {
  contentLength: number | null;
  chunked: boolean;
  /** Why the message cannot be trusted, or null; the first reason stays. */
  invalid: string | null;
}

/** Whether the line goes on: the first of several equal ones does. */
export function takeContentLength(framing: Framing, value: string): boolean {
  const length = parseNumber(value);
  if (length === null) framing.invalid ??= 'a Content-Length that is no number';
  else if (framing.contentLength === null) {
    framing.contentLength = length;
    return true;
  } else if (framing.contentLength !== length) framing.invalid ??= 'Content-Lengths that differ';
  return false;
}

/** RFC 9112, section 7: chunked, once and alone, is the only coding that we take off and put on. */
export function takeTransferEncoding(framing: Framing, value: string): void {
  if (framing.chunked || value.toLowerCase() !== 'chunked') {
    framing.invalid ??= 'a Transfer-Encoding other than chunked';
  }
  framing.chunked = true;
}

/** After the last line. RFC 9112, section 6.1: a message with both is a smuggler's. */
export function settleFraming(framing: Framing): void {
  if (framing.chunked && framing.contentLength !== null) {
    framing.invalid ??= 'Content-Length beside Transfer-Encoding';
  }
}

/** `timeout=5, max=100` of Keep-Alive; at most a day, and null where there is no number. */
export function keepAliveTimeoutMs(value: string): number | null {
  for (const parameter of value.split(',')) {
    const equals = parameter.indexOf('=');
    if (equals === -1 || parameter.slice(0, equals).trim().toLowerCase() !== 'timeout') continue;
    const seconds = parseNumber(parameter.slice(equals + 1).trim());
    return seconds === null ? null : Math.min(seconds, 86_400) * 1000;
  }
  return null;
}

/** 1*DIGIT (RFC 9110, section 8.6), as far as numbers are exact. */
function parseNumber(value: string): number | null {
  if (value.length === 0) return null;
  let number = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return null;
    number = number * 10 + digit;
    if (number > Number.MAX_SAFE_INTEGER) return null;
  }
  return number;
}
