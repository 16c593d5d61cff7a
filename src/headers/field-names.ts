/**
 * Field names by what may become of them, and how they are compared. Names are case-insensitive (RFC 9110,
 * section 5.1).
 */

/**
 * What Connection may not remove, though RFC 9110, section 7.6.1 has it removed: naming these is no option
 * of a connection but a way to have a proxy strip what the origin relies upon.
 */
// biome-ignore format: a group a line
const END_TO_END: ReadonlySet<string> = new Set([
  // Framing and routing: without them the next hop reads another message, or another's.
  'host', 'content-length', 'transfer-encoding', 'max-forwards', 'via', 'forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto',
  // Who is asking, and what the answer grants.
  'authorization', 'cookie', 'set-cookie', 'www-authenticate', 'origin', 'access-control-allow-origin', 'strict-transport-security', 'content-security-policy',
  // By which hops know each other.
  'x-request-id', 'traceparent', 'tracestate', 'proxy-status', 'date',
  // What the body is, who may keep it (Cache-Control is the RFC's own example), and where it is.
  'content-type', 'content-encoding', 'content-range', 'content-location', 'cache-control', 'vary', 'location',
  // Without a condition a guarded write is an unguarded one; without a key a repeat is a second order.
  'if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range', 'range', 'idempotency-key',
]);

/** RFC 9110, section 6.5.1; everything that begins with `content-` is meant, too. */
// biome-ignore format: a group a line
const NOT_IN_TRAILERS: ReadonlySet<string> = new Set([
  // Framing and the hop.
  'transfer-encoding', 'connection', 'keep-alive', 'proxy-connection', 'upgrade', 'http2-settings', 'te', 'trailer',
  // Routing.
  'host', 'max-forwards', 'via', 'forwarded', 'origin',
  // Authentication.
  'authorization', 'authentication-info', 'www-authenticate', 'proxy-authenticate', 'proxy-authorization', 'proxy-authentication-info', 'cookie', 'set-cookie',
  // Request modifiers and response control.
  'expect', 'pragma', 'cache-control', 'range', 'age', 'expires', 'date', 'location', 'retry-after', 'vary', 'warning',
  'if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range',
]);

/** Equal but for ASCII case. `lower` is lower case. */
export function isNamed(name: string, lower: string): boolean {
  if (name.length !== lower.length) return false;
  for (let i = 0; i < lower.length; i++) {
    let code = name.charCodeAt(i);
    if (code >= 0x41 && code <= 0x5a) code += 0x20;
    if (code !== lower.charCodeAt(i)) return false;
  }
  return true;
}

/** Whether a list of tokens, as of Connection or Upgrade, has this one. `lower` is lower case. */
export function hasToken(list: string, lower: string): boolean {
  if (isNamed(list, lower)) return true;
  if (!list.includes(',')) return false;
  for (const one of list.split(',')) if (isNamed(one.trim(), lower)) return true;
  return false;
}

export function mayBeInTrailers(name: string): boolean {
  const lower = name.toLowerCase();
  return !NOT_IN_TRAILERS.has(lower) && !lower.startsWith('content-');
}

/**
 * The names that Connection names and may remove, lower case; null where it only says close or keep-alive.
 */
export function namedByConnection(raw: readonly string[]): ReadonlySet<string> | null {
  let named: Set<string> | null = null;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (!isNamed(raw[i] as string, 'connection')) continue;
    const value = raw[i + 1] as string;
    if (isNamed(value, 'keep-alive') || isNamed(value, 'close')) continue;
    for (const option of value.split(',')) {
      const lower = option.trim().toLowerCase();
      if (lower === '' || END_TO_END.has(lower)) continue;
      named ??= new Set();
      named.add(lower);
    }
  }
  return named;
}
