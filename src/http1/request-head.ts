/**
 * The head of a request: from text to method, target, version and fields.
 *
 * Keeps: RFC 9112, section 3: one space between the parts of the request line and none around them; a method is
 * a token, of any name (RFC 9110, section 9.1); a target has nothing but visible ASCII; section 2.3: HTTP/1.0 and
 * HTTP/1.1, and nothing else. What the target means is read elsewhere.
 */
import { readFieldLines } from './field-lines.ts';
import { type HeadBounds, type HeadFault, malformed } from './head-fault.ts';
import { startLineTooLong } from './head-reader.ts';
import { IN_TARGET, IN_TOKEN } from './octets.ts';

export interface RequestHead {
  readonly method: string;
  readonly target: string;
  /** Of HTTP/1.x. */
  readonly minorVersion: 0 | 1;
  /** Flat list of names and values. */
  readonly fields: string[];
}

const SP = 0x20;

/** In characters; what is longer is the method of nobody. */
export const METHOD_MAX = 64;

/** RFC 9113, section 3.4: the line that HTTP/2 begins with. */
const HTTP2_PREFACE_LINE = 'PRI * HTTP/2.0';

/** `text` ends with its last line, without the line end. */
export function readRequestHead(text: string, bounds: HeadBounds): RequestHead | HeadFault {
  let lineEnd = text.indexOf('\r\n');
  if (lineEnd < 0) lineEnd = text.length;
  if (lineEnd > bounds.startLineBytes) return startLineTooLong(bounds);
  let methodEnd = 0;
  while (methodEnd < lineEnd && IN_TOKEN[text.charCodeAt(methodEnd)] === 1) methodEnd++;
  if (methodEnd === 0 || text.charCodeAt(methodEnd) !== SP) return malformed('a method that is no token');
  if (methodEnd > METHOD_MAX) return malformed(`a method of more than ${METHOD_MAX} characters`);
  const targetAt = methodEnd + 1;
  let targetEnd = targetAt;
  while (targetEnd < lineEnd && IN_TARGET[text.charCodeAt(targetEnd)] === 1) targetEnd++;
  if (targetEnd === targetAt) return malformed('a request line without a target');
  if (targetEnd === lineEnd) return malformed('a request line without a version');
  if (text.charCodeAt(targetEnd) !== SP) return malformed('a character in the target that must be escaped');
  const minorVersion = readVersion(text, targetEnd + 1, lineEnd);
  if (minorVersion === null) return malformed('not HTTP/1.0 or HTTP/1.1');
  const fields: string[] = [];
  const fault = readFieldLines(text, lineEnd + 2, bounds.fields, fields);
  if (fault !== null) return fault;
  return { method: text.slice(0, methodEnd), target: text.slice(targetAt, targetEnd), minorVersion, fields };
}

/** Whether it is no request but the beginning of HTTP/2 with prior knowledge. */
export function isHttp2Preface(text: string): boolean {
  return text === HTTP2_PREFACE_LINE;
}

/** Of `HTTP/1.x` that ends at `end`; null: another. */
export function readVersion(text: string, at: number, end: number): 0 | 1 | null {
  if (end - at !== 8 || !text.startsWith('HTTP/1.', at)) return null;
  const minor = text.charCodeAt(at + 7) - 0x30;
  return minor === 0 || minor === 1 ? minor : null;
}
