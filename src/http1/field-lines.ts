/**
 * Field lines, of heads and of trailers: from text to a flat list of names and values, in their order and
 * spelling.
 *
 * Keeps: RFC 9112, section 5: no white space between name and colon, and none in front of a name; section
 * 5.2: a value that goes on in the next line (obs-fold) is refused in both directions, for what one hop unfolds
 * another does not. RFC 9110, section 5.5: white space round a value is none of it.
 */
import { HeadFault, malformed } from './head-fault.ts';
import { IN_TOKEN, IN_VALUE } from './octets.ts';

const COLON = 0x3a;
const SP = 0x20;
const HTAB = 0x09;

/**
 * Reads the lines of `text` from `from` on, which has no line end behind its last line; null: all is well, and
 * they are in `out`.
 */
export function readFieldLines(text: string, from: number, max: number, out: string[]): HeadFault | null {
  let at = from;
  while (at < text.length) {
    if (out.length >= max * 2) return new HeadFault('too many fields', `more than ${max} fields`);
    let colon = at;
    while (colon < text.length && IN_TOKEN[text.charCodeAt(colon)] === 1) colon++;
    if (colon === at || text.charCodeAt(colon) !== COLON) return nameFault(text, at, colon);
    let end = text.indexOf('\r\n', colon);
    if (end < 0) end = text.length;
    let first = colon + 1;
    while (first < end && isBlank(text.charCodeAt(first))) first++;
    let last = end;
    while (last > first && isBlank(text.charCodeAt(last - 1))) last--;
    for (let i = first; i < last; i++) {
      if (IN_VALUE[text.charCodeAt(i)] === 0) return malformed('a control character in a field value');
    }
    out.push(text.slice(at, colon), text.slice(first, last));
    at = end + 2;
  }
  return null;
}

function isBlank(code: number): boolean {
  return code === SP || code === HTAB;
}

function nameFault(text: string, at: number, colon: number): HeadFault {
  const code = text.charCodeAt(colon);
  if (colon === at && isBlank(code)) return malformed('a line that begins with white space');
  if (colon === at && code === COLON) return malformed('a field without a name');
  if (isBlank(code)) return malformed('white space between the name of a field and its colon');
  return malformed('a field name that is no token');
}
