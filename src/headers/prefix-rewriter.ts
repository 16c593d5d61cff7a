/**
 * What an origin says about its own URLs, in the words of a caller that reaches it by a prefix: Location,
 * Content-Location and Set-Cookie, rewritten in place in a flat header list.
 *
 * A reference (RFC 3986, section 4.1) to the origin, beneath its base path, becomes the URL by which the
 * caller reaches the same thing: an absolute URL stays absolute, an absolute path stays a path. All else
 * stays byte for byte: other hosts, other relative references, paths beside the base path or that climb
 * out of it, and what cannot be read in one way only. Where one prefix lies within another, the URL may
 * belong to the longer one: the table decides, not the rewriter. Behind the prefix `/` the base path itself
 * can only be asked for with a slash at its end. It knows no sockets and no exchange.
 */
import type { RouteOrigin } from '../policy/policy.ts';
import { isNamed } from './field-names.ts';
import { spellHost } from './host.ts';
import { withoutFinalSlash } from './prefix.ts';
import { rescopeCookie } from './set-cookie.ts';

/** A scheme or none, and an authority without user information; no spelling of one that clients read differently. */
const AUTHORITY = /^(?:(https?):)?\/\/(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{0,5}))?(?=[/?#]|$)/i;
/** What RFC 3986, section 5.2.4 takes away, in every spelling that clients read so. */
const DOT_SEGMENT = /^(?:\.|%2e){1,2}$/i;
const SAFE_AUTHORITY = /^[A-Za-z0-9._:[\]-]+$/;

export class PrefixRewriter {
  readonly #origin: RouteOrigin;
  readonly #prefix: string;
  readonly #basePath: string;

  constructor(prefix: string, origin: RouteOrigin) {
    this.#origin = origin;
    this.#prefix = withoutFinalSlash(prefix);
    this.#basePath = withoutFinalSlash(origin.basePath);
  }

  /**
   * Returns the same list. `authority` is the one by which the caller reached us, of its Host or
   * `:authority`; with null, or one that is none, absolute URLs become absolute paths.
   */
  rewrite(list: string[], authority: string | null): string[] {
    for (let i = 0; i + 1 < list.length; i += 2) {
      const name = list[i] as string;
      switch (name.length) {
        case 8:
          if (!isNamed(name, 'location')) continue;
          break;
        case 10:
          if (isNamed(name, 'set-cookie'))
            list[i + 1] = rescopeCookie(
              list[i + 1] as string,
              this.#origin.host,
              this.#basePath,
              this.#prefix,
            );
          continue;
        case 16:
          if (!isNamed(name, 'content-location')) continue;
          break;
        default:
          continue;
      }
      list[i + 1] = this.reference(list[i + 1] as string, authority);
    }
    return list;
  }

  /** One URL or relative reference. */
  reference(value: string, authority: string | null): string {
    const absolute = AUTHORITY.exec(value);
    if (absolute === null && (!value.startsWith('/') || value.startsWith('//'))) return value;
    if (absolute !== null && !this.#isOrigin(absolute)) return value;
    const path = absolute === null ? value : value.slice(absolute[0].length);
    const rest = this.#beneathBase(path);
    if (rest === null) return value;
    const ours = this.#prefix + rest;
    // Two slashes would begin an authority.
    if (absolute !== null || ours.startsWith('//')) {
      if (authority !== null && SAFE_AUTHORITY.test(authority)) return `http://${authority}${ours}`;
      if (ours.startsWith('//')) return value;
    }
    return ours.startsWith('/') ? ours : `/${ours}`;
  }

  /**
   * The same scheme, host and port. An origin behind TLS that calls itself http, each on its default port,
   * is the same; one that sends its callers from http on to https is not: they would come back here forever.
   */
  #isOrigin([, schemeText, hostText = '', portText = '']: RegExpExecArray): boolean {
    const { scheme: ownScheme, host, port: ownPort } = this.#origin;
    const scheme = schemeText?.toLowerCase() ?? ownScheme;
    const port = portText !== '' ? Number(portText) : scheme === 'https' ? 443 : 80;
    const samePlace =
      scheme === ownScheme ? port === ownPort : scheme === 'http' && port === 80 && ownPort === 443;
    return samePlace && spellHost(hostText) === host;
  }

  /** What follows the base path, or null. */
  #beneathBase(reference: string): string | null {
    const base = this.#basePath;
    const found = reference.search(/[?#]/);
    const end = found === -1 ? reference.length : found;
    if (!reference.startsWith(base) || base.length > end) return null;
    if (base.length < end && reference[base.length] !== '/') return null;
    const path = reference.slice(base.length, end);
    return isAmbiguous(path) || climbsOut(path) ? null : reference.slice(base.length);
  }
}

/** Clients drop tabs and other controls, and read a backslash as a slash (WHATWG URL, section 4.4). */
function isAmbiguous(path: string): boolean {
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code < 0x20 || code === 0x5c || code === 0x7f) return true;
  }
  return false;
}

/** Whether its dot segments lead above where it begins, be it only on the way. */
function climbsOut(path: string): boolean {
  if (!/\/(?:\.|%2e)/i.test(path)) return false;
  let depth = 0;
  for (const segment of path.split('/').slice(1)) {
    if (!DOT_SEGMENT.test(segment)) depth++;
    else if (segment !== '.' && segment.toLowerCase() !== '%2e' && --depth < 0) return true;
  }
  return false;
}
