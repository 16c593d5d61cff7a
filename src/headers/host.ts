/** The one spelling of a host, by which targets, keys and references are compared. Pure. */

/**
 * Case, a final dot, and the forms of an address, as the URL standard spells them (WHATWG URL, section 3.5); an
 * IPv6 address without brackets, and IPv4 mapped into it (RFC 4291, section 2.5.5.2) as the IPv4 that it reaches. Null: the URL standard has no such host. Whoever asks has made sure that the
 * text is a host and nothing more.
 */
export function spellHost(text: string): string | null {
  let host: string;
  try {
    host = new URL(`http://${text}/`).hostname;
  } catch {
    return null;
  }
  if (host.startsWith('[')) return unmapped(host.slice(1, -1));
  // One spelling for one name: the final dot of a fully qualified name is not part of it.
  return host.endsWith('.') ? host.slice(0, -1) : host;
}

/**
 * `uri-host [ ":" port ]` (RFC 9110, section 7.2; RFC 3986, section 3.2.2), without the comma, which hops have
 * taken for two hosts, and not empty: whatever a proxy is asked for has a host.
 */
const HOST_FIELD = /^(?:\[[0-9a-f:.]+\]|(?:[a-z0-9._~!$&'()*+;=-]|%[0-9a-f]{2})+)(?::[0-9]{0,5})?$/i;

export function isHostField(value: string): boolean {
  return HOST_FIELD.test(value);
}

/** `::ffff:7f00:1`, as the URL standard spells it, is `127.0.0.1`. */
function unmapped(host: string): string {
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(host) ?? [];
  if (high === undefined || low === undefined) return host;
  const [a, b] = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return `${a >> 8}.${a & 0xff}.${b >> 8}.${b & 0xff}`;
}
