/**
 * Header lists between HTTP/1.1's spelling, which the whole sidecar uses, and HTTP/2's. Pure: flat lists in
 * and out, order and duplicates kept.
 *
 * Keeps: RFC 9113, section 8.2 (names in lower case), section 8.2.2 (nothing that is about one connection,
 * but `te: trailers`), section 8.3.1 (the pseudo-fields come first, and Host is `:authority`).
 */
import { isNamed } from '../headers/field-names.ts';

/** Of fields that HTTP/2 does not know, lower case; `host` is sent as `:authority`. */
const NOT_SENT: ReadonlySet<string> = new Set([
  'connection',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

export interface Http2Request {
  readonly method: string;
  readonly scheme: string;
  /** Path and query. */
  readonly path: string;
  /** A flat raw list with Host in it. */
  readonly headers: readonly string[];
  /** The caller takes trailers, and says so (RFC 9110, section 10.1.4). */
  readonly teTrailers: boolean;
}

export function requestFields(request: Http2Request): string[] {
  const { headers } = request;
  const out = [':method', request.method, ':scheme', request.scheme, ':authority', '', ':path', request.path];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase();
    const value = headers[i + 1] as string;
    if (name === 'host') out[5] = value;
    if (NOT_SENT.has(name)) continue;
    out.push(name, value);
  }
  if (request.teTrailers) out.push('te', 'trailers');
  return out;
}

/** What is left of a response's or trailer's list without the pseudo-fields, which come first. */
export function responseFields(raw: readonly string[]): string[] {
  let from = 0;
  while (from + 1 < raw.length && (raw[from] as string).startsWith(':')) from += 2;
  return raw.slice(from);
}

/** `:status`, or 0. */
export function statusOf(raw: readonly string[]): number {
  return raw.length >= 2 && isNamed(raw[0] as string, ':status') ? Number(raw[1]) : 0;
}

/** Bytes of a list as limits.headerBytes counts them in HTTP/1.1: names, values, and what stands between. */
export function fieldBytes(raw: readonly string[]): number {
  let bytes = 0;
  for (const part of raw) bytes += part.length + 2;
  return bytes;
}
