/**
 * The scope of a cookie, moved from an origin to the prefix by which a caller reaches it: a value of
 * Set-Cookie in, the value for the caller out.
 *
 * Rules: RFC 6265, section 5.2 (how it is read: the last of several attributes counts), section 5.1.3 (the
 * domain), section 5.1.4 (the path). The domain goes, so that the cookie is the host's that set it; the
 * path gets the prefix; Secure goes, since the hop to the sidecar is plain, and with it what browsers take
 * only beside it: `SameSite=None` and Partitioned. A name that begins `__Secure-` keeps them, and
 * `__Host-` keeps everything, for without it the cookie would be refused. All else stays byte for byte
 * and in order. It knows no jar: whether a caller accepts the cookie is the caller's.
 */
import { isNamed } from './field-names.ts';

interface Attribute {
  /** As it came, with its white space. */
  readonly text: string;
  readonly name: string;
  readonly value: string;
}

/** `host` is the origin's, lower case; `basePath` and `prefix` end without a slash and may be ''. */
export function rescopeCookie(cookie: string, host: string, basePath: string, prefix: string): string {
  const end = cookie.indexOf(';');
  if (end === -1) return cookie;
  const pair = cookie.slice(0, end);
  const bound = prefixOfName(pair);
  if (bound === '__host-') return cookie;
  const attributes = cookie
    .slice(end + 1)
    .split(';')
    .map(attributeOf);
  const domain = attributes.findLast(({ name, value }) => isNamed(name, 'domain') && value !== '');
  const hostOnly = domain !== undefined && domainMatches(host, domain.value);
  const plain = bound === null && attributes.some(({ name }) => isNamed(name, 'secure'));
  let rescoped = pair;
  for (const attribute of attributes) {
    if (hostOnly && isNamed(attribute.name, 'domain')) continue;
    if (plain && needsSecure(attribute)) continue;
    rescoped += `;${isNamed(attribute.name, 'path') ? rescopePath(attribute, basePath, prefix) : attribute.text}`;
  }
  return rescoped;
}

/** Which of the two prefixes a name has that browsers hold it to; in any case of letters, as they do. */
function prefixOfName(pair: string): '__host-' | '__secure-' | null {
  const name = trimmed(pair).toLowerCase();
  if (name.startsWith('__host-')) return '__host-';
  return name.startsWith('__secure-') ? '__secure-' : null;
}

function attributeOf(text: string): Attribute {
  const equals = text.indexOf('=');
  return equals === -1
    ? { text, name: trimmed(text), value: '' }
    : { text, name: trimmed(text.slice(0, equals)), value: trimmed(text.slice(equals + 1)) };
}

function needsSecure({ name, value }: Attribute): boolean {
  return (
    isNamed(name, 'secure') ||
    isNamed(name, 'partitioned') ||
    (isNamed(name, 'samesite') && isNamed(value, 'none'))
  );
}

/** RFC 6265, section 5.1.3; a dot in front says nothing (section 5.2.3), an address has no domain. */
function domainMatches(host: string, value: string): boolean {
  const domain = (value.startsWith('.') ? value.slice(1) : value).toLowerCase();
  if (host === domain) return true;
  return domain !== '' && host.endsWith(`.${domain}`) && !/^[0-9.]+$|:/.test(host);
}

/** The attribute with the path by which the caller asks, or as it is. */
function rescopePath({ text, value }: Attribute, basePath: string, prefix: string): string {
  // Without a slash in front it counts as none (RFC 6265, section 5.2.4).
  if (!value.startsWith('/')) return text;
  const path = pathFor(value, basePath, prefix);
  if (path === null || path === value) return text;
  const at = text.indexOf(value, text.indexOf('=') + 1);
  return text.slice(0, at) + path + text.slice(at + value.length);
}

function pathFor(path: string, basePath: string, prefix: string): string | null {
  // All that is reached by the prefix lies beneath it.
  if (pathMatches(basePath, path)) return prefix === '' ? '/' : prefix;
  return pathMatches(path, basePath) ? prefix + path.slice(basePath.length) : null;
}

/** RFC 6265, section 5.1.4; without a final slash, '' is the root. */
function pathMatches(path: string, cookiePath: string): boolean {
  if (path === cookiePath || cookiePath === '/' || cookiePath === '') return true;
  return path.startsWith(cookiePath) && (cookiePath.endsWith('/') || path[cookiePath.length] === '/');
}

/** Spaces and tabs only: what else JavaScript trims is part of a cookie. */
function trimmed(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
