/**
 * The head of a response: from text to status, reason phrase, version and fields.
 *
 * Keeps: RFC 9112, section 4: a status of three digits; the space behind it may be missing where there is no
 * reason phrase, which many origins leave out. Everything else is as strict as for a request.
 */
import { readFieldLines } from './field-lines.ts';
import { type HeadBounds, type HeadFault, malformed } from './head-fault.ts';
import { startLineTooLong } from './head-reader.ts';
import { IN_VALUE } from './octets.ts';
import { readVersion } from './request-head.ts';

export interface ResponseHead {
  /** 100 to 999. */
  readonly status: number;
  /** Latin-1. */
  readonly reason: string;
  /** Of HTTP/1.x. */
  readonly minorVersion: 0 | 1;
  /** Flat list of names and values. */
  readonly fields: string[];
}

const SP = 0x20;

/** `HTTP/1.1 200` */
const STATUS_END = 12;

/** `text` ends with its last line, without the line end. */
export function readResponseHead(text: string, bounds: HeadBounds): ResponseHead | HeadFault {
  let lineEnd = text.indexOf('\r\n');
  if (lineEnd < 0) lineEnd = text.length;
  if (lineEnd > bounds.startLineBytes) return startLineTooLong(bounds);
  const minorVersion = readVersion(text, 0, 8);
  if (minorVersion === null || text.charCodeAt(8) !== SP || lineEnd < STATUS_END)
    return malformed('a status line that is not of HTTP/1.0 or HTTP/1.1');
  const status = readStatus(text);
  if (status === null || (lineEnd > STATUS_END && text.charCodeAt(STATUS_END) !== SP))
    return malformed('a status that is not a number of three digits');
  for (let i = STATUS_END; i < lineEnd; i++) {
    if (IN_VALUE[text.charCodeAt(i)] === 0) return malformed('a control character in the reason phrase');
  }
  const fields: string[] = [];
  const fault = readFieldLines(text, lineEnd + 2, bounds.fields, fields);
  if (fault !== null) return fault;
  return { status, reason: text.slice(STATUS_END + 1, lineEnd), minorVersion, fields };
}

function readStatus(text: string): number | null {
  let status = 0;
  for (let i = 9; i < STATUS_END; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return null;
    status = status * 10 + digit;
  }
  return status < 100 ? null : status;
}
