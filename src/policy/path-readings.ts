/**
 * The paths that an origin may take a path for: as it came, and with escapes decoded (once, twice, and so
 * on), dot segments resolved, empty segments left out, backslashes as slashes, parameters of segments and what
 * follows a NUL, `?` or `#` left out, overlong and full-width characters as what they stand for. A denial holds
 * by any of them, an exception to a denial only by all.
 *
 * Rules: RFC 3986, sections 5.2.4 and 6.2.2; what programs do beyond it is wider here than any one of them, for
 * a reading too many denies too much, and one too few lets somebody in. What would take too long to read is
 * `null`, and to be taken for the worst. Only matching is about this; the path goes on as it came. Pure.
 */

/** Paths that are longer and not plain are not read. */
const READ_MAX = 4_096;

/** So often an escape may be escaped; who goes further means no good. */
const DECODED_MAX = 4;

/** More readings than this are nobody's honest path. */
const READINGS_MAX = 96;

/** Characters that have one reading. Case is one: `/A` is not `/a`, except where it is denied. */
export function isPlainPath(path: string): boolean {
  let last = 0;
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code === 0x3f /* ? */) return true;
    if (code === 0x25 /* % */ || code === 0x5c /* \ */ || code === 0x3b /* ; */ || code > 0x7e) return false;
    if (code >= 0x41 && code <= 0x5a) return false;
    if (last === 0x2f && (code === 0x2f || code === 0x2e)) return false;
    last = code;
  }
  return true;
}

/** Every reading, the path as it came first, without a query; null: too many to tell. */
export function readingsOf(path: string): readonly string[] | null {
  const raw = withoutQuery(path);
  if (!/[%\\;\x80-\uffff]|\/[/.]/.test(raw)) return [raw];
  if (raw.length > READ_MAX) return null;
  const readings = new Set([raw]);
  addForms(raw, readings);
  addForms(unreservedDecoded(raw), readings);
  // Some resolve or leave out before they decode, and again after: each form is decoded.
  let forms: ReadonlySet<string> = new Set(readings);
  for (let n = 0; ; n++) {
    const decoded = decodedOnce(forms);
    if (decoded.size === 0) return [...readings];
    if (n === DECODED_MAX) return null;
    const next = new Set<string>();
    for (const text of decoded) {
      addForms(text, next);
      if (next.size > READINGS_MAX) return null;
    }
    for (const form of next) readings.add(form);
    if (readings.size > READINGS_MAX) return null;
    forms = next;
  }
}

/** What has escapes, without one layer of them. */
function decodedOnce(forms: ReadonlySet<string>): ReadonlySet<string> {
  const decoded = new Set<string>();
  for (const form of forms) {
    const text = allDecoded(form);
    if (text !== form) decoded.add(text).add(folded(text)).add(cut(text));
  }
  return decoded;
}

/** The path in front of its query. */
export function withoutQuery(path: string): string {
  const query = path.indexOf('?');
  return query === -1 ? path : path.slice(0, query);
}

function addForms(text: string, readings: Set<string>): void {
  // Parameters belong to their segment (RFC 3986, section 3.3); some programs drop them first, some last.
  const bare = withoutParameters(text);
  const starts = new Set([text, bare, withoutParameters(resolveDots(text))]);
  if (text.includes('\\'))
    starts
      .add(slashed(text))
      .add(slashed(bare))
      .add(withoutParameters(slashed(text)));
  for (const it of starts) {
    const collapsed = collapse(it);
    const resolved = resolveDots(it);
    readings.add(it).add(collapsed).add(resolved).add(collapse(resolved)).add(resolveDots(collapsed));
  }
}

const slashed = (path: string): string => path.replaceAll('\\', '/');

const withoutParameters = (path: string): string => (path.includes(';') ? path.replace(/;[^/]*/g, '') : path);

const collapse = (path: string): string => (path.includes('//') ? path.replace(/\/{2,}/g, '/') : path);

/** RFC 3986, section 5.2.4. */
function resolveDots(path: string): string {
  if (!path.includes('/.')) return path;
  const segments = path.split('/');
  const out: string[] = [];
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i] as string;
    if (segment !== '.' && segment !== '..') {
      out.push(segment);
      continue;
    }
    if (segment === '..') out.pop();
    if (i === segments.length - 1) out.push('');
  }
  return `/${out.join('/')}`;
}

/** RFC 3986, section 6.2.2.2: these mean the same with and without the escape. */
const unreservedDecoded = (path: string): string =>
  path.replace(/%(?:2[de]|3[0-9]|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9ae])/gi, character);

const character = (escape: string): string => String.fromCharCode(Number.parseInt(escape.slice(-2), 16));

/** One pass over all escapes; one character for each byte. Overlong UTF-8 is what careless decoders make of it. */
function allDecoded(path: string): string {
  if (!path.includes('%')) return path;
  return path
    .replace(/%u00[0-7][0-9a-f]|%(?!u)[0-9a-f]{2}/gi, character)
    .replace(/%uff([0-5][0-9a-f])/gi, (_, low: string) =>
      String.fromCharCode(Number.parseInt(low, 16) + 0x20),
    )
    .replace(/[\xc0\xc1][\x80-\xbf]|\xe0[\x80\x81][\x80-\xbf]/g, (bytes) => {
      const lead = bytes.charCodeAt(bytes.length - 2);
      const high = bytes.length === 2 ? lead & 0x1f : lead & 0x3f;
      return String.fromCharCode(((high << 6) | (bytes.charCodeAt(bytes.length - 1) & 0x3f)) & 0x7f);
    });
}

const utf8 = new TextDecoder();

/** Bytes as UTF-8, and what is compatible with other characters as these: full-width, ligatures, and the like. */
function folded(bytes: string): string {
  if (!/[\x80-\xff]/.test(bytes)) return bytes;
  return utf8.decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0))).normalize('NFKC');
}

/** Where a program may end the path that has decoded it first. */
function cut(path: string): string {
  const [, before = path] = /^([^\0?#]*)[\0?#]/.exec(path) ?? [];
  return before;
}
