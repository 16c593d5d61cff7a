/**
 * Who asks: whether a request brings the bearer token of the operator, and whether a page of another site
 * made a browser send it.
 *
 * Rules: the token is compared in constant time, its length included, and is nowhere in an answer; what a
 * browser says of where a request comes from (Origin, Sec-Fetch-Site) is believed when it is to the
 * request's disadvantage, for a page cannot change it. It knows no paths.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** RFC 6750, section 2.1: the scheme in any case, one token. */
const CREDENTIALS = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;

const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest();

export class BearerToken {
  readonly #digest: Buffer;

  constructor(token: string) {
    this.#digest = digestOf(token);
  }

  /** Digests are equally long, so that the time tells neither the length nor a part of the token. */
  isIn(authorization: string | undefined): boolean {
    const [, given = ''] = CREDENTIALS.exec(authorization ?? '') ?? [];
    return timingSafeEqual(digestOf(given), this.#digest) && given !== '';
  }
}

/**
 * Whether a browser says that another site is behind it. A page of the same host is told from no page at all
 * only by its Origin, which then is this very host; curl and Prometheus send neither field.
 */
export function isOfAnotherSite(headers: IncomingHttpHeaders): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  const { origin, host } = headers;
  // Either scheme: TLS may end in front of the listener.
  return origin !== undefined && origin.toLowerCase().replace(/^https?:\/\//, '') !== host?.toLowerCase();
}
